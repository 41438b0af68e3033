"""Was the window steady? A drift test on the latency of what was due in it (R14).

Deliveries are put into batches of equal duration by their due times; each batch gives its median latency; a line is
fitted through these. Batch medians, not messages: a thousand copies of one broadcast are one event, and neighbouring
ticks are not independent. Called by the trial's judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BATCHES = 12
LEAST = 6
"""Batches with something in them, below which nothing is said."""
LEVEL = 0.01

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drift:
    """`share`: the fitted change from the window's start to its end, relative to the mean; `p`: of there being none."""

    share: float
    p: float
    batches: int

    @property
    def significant(self) -> bool:
        """Whether chance explains it badly."""
        return self.p < LEVEL


def drift(due_ns: Ints, received_ns: Ints, window: tuple[int, int]) -> Drift | None:
    """The drift of the median of `received_ns − due_ns` over the window (one entry a delivery due in it).

    None where too little arrived to say.
    """
    batch = (due_ns - window[0]) * BATCHES // (window[1] - window[0])
    numbers = np.unique(batch)
    if numbers.size < LEAST:
        return None
    latency = received_ns - due_ns
    return fit((numbers + 0.5) / BATCHES, [float(np.median(latency[batch == number])) for number in numbers])


def fit(at: Any, values: Any) -> Drift | None:
    """A line through `values` at `at` (0…1): its change over the whole relative to the mean, and its t-test."""
    from scipy.stats import linregress

    mean = float(np.mean(values))
    if mean <= 0:
        return None
    line = linregress(at, values)
    p = float(line.pvalue)
    return Drift(float(line.slope) / mean, 1.0 if np.isnan(p) else p, len(values))
