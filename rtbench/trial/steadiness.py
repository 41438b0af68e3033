"""Tests whether the window was steady: the drift of latency and of CPU per message (R14).

The window is split into batches of equal duration. Each batch has a median latency of the messages due in it, and the
CPU per message that arrived in it; a line is fitted through these values. Batches are used because a thousand copies of
one broadcast are one event, and neighbouring ticks are not independent. Called by the trial's judge; the counters are
read at the batches' edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

BATCHES = 12
"""An even number: the middle edge divides the window into halves."""
LEAST = 6
"""The least number of batches with arrivals for a test."""
LEVEL = 0.01

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drift:
    """`share`: the fitted change from the window's start to its end, relative to the mean; `p`: of the t-test."""

    share: float
    p: float
    batches: int

    @property
    def significant(self) -> bool:
        """Whether chance alone is unlikely to explain the change."""
        return self.p < LEVEL


def edges(window: tuple[int, int]) -> list[int]:
    """The edges of the batches, ns, including the window's own edges."""
    return [window[0] + (window[1] - window[0]) * number // BATCHES for number in range(BATCHES + 1)]


def drift(due_ns: Ints, received_ns: Ints, window: tuple[int, int]) -> Drift | None:
    """The drift of the median of `received_ns − due_ns` over the window (one entry a delivery due in it).

    None if too little arrived.
    """
    batch = (due_ns - window[0]) * BATCHES // (window[1] - window[0])
    numbers = np.unique(batch)
    if numbers.size < LEAST:
        return None
    latency = received_ns - due_ns
    return fit((numbers + 0.5) / BATCHES, [float(np.median(latency[batch == number])) for number in numbers])


@dataclass(frozen=True, slots=True)
class Spent:
    """The readings of a cumulative CPU counter (`at_ns` rising; -1: not readable) and the arrival times of messages."""

    at_ns: Ints
    cpu_ns: Ints
    arrived_ns: Ints

    def per_message(self, begin_ns: int, end_ns: int) -> float | None:
        """CPU a message, ns, from the first reading at or after `begin_ns` to the first at or after `end_ns`.

        None without such a reading, or if nothing arrived meanwhile.
        """
        first, last = np.searchsorted(self.at_ns, (begin_ns, end_ns))
        if last >= self.at_ns.size or min(self.cpu_ns[first], self.cpu_ns[last]) < 0:
            return None
        used = int(self.cpu_ns[last] - self.cpu_ns[first])
        count = int(np.diff(np.searchsorted(self.arrived_ns, self.at_ns[[first, last]]))[0])
        return used / count if count > 0 and used >= 0 else None

    def drift(self, window: tuple[int, int]) -> Drift | None:
        """The drift of CPU per message over the window; None with too few batches."""
        at = edges(window)
        costs = [self.per_message(begin, end) for begin, end in pairwise(at)]
        known = [(number + 0.5, cost) for number, cost in enumerate(costs) if cost is not None]
        if len(known) < LEAST:
            return None
        return fit([number / BATCHES for number, _ in known], [cost for _, cost in known])


def fit(at: Any, values: Any) -> Drift | None:
    """A line through `values` at `at` (0…1): its change over the whole relative to the mean, and its t-test."""
    from scipy.stats import linregress

    mean = float(np.mean(values))
    if mean <= 0:
        return None
    line = linregress(at, values)
    p = float(line.pvalue)
    return Drift(float(line.slope) / mean, 1.0 if np.isnan(p) else p, len(values))
