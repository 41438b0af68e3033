"""Quantiles of a distribution that is partly "later than we waited", and when a tail may be claimed at all.

Invariant: a quantile is a value that was observed (nearest rank, no interpolation) or None; a message that never
arrived sits at plus infinity (R1), so losses move percentiles up and at last censor them, and never make a subject
look faster. Called by the metrics and by the series behind the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}

INSTANTS_NEEDED = {"p99": 368, "p999": 3688}
"""Distinct due instants without which a tail in time is not claimed (R8). Copies of one broadcast share what befalls an
instant, so the sample is one of instants. p50, p90 and max are always given: the first two are not tails, and the
maximum claims nothing beyond the observation."""


def rank(count: int, level: float) -> int:
    """The index (from 0) of the nearest-rank quantile among `count` sorted values."""
    # 0.99 * 1000 is 990.0000000000001 in floating point on some levels: do not let that cost a rank
    return min(count - 1, max(0, math.ceil(level * count - 1e-9) - 1))


def quantiles(ordered: npt.NDArray[Any], levels: Sequence[float], lost: int = 0) -> list[float | None]:
    """Nearest-rank quantiles of `ordered` (sorted) followed by `lost` values at plus infinity; None where it falls on
    one of these, or where there is nothing at all."""
    count = ordered.size + lost
    places = [rank(count, level) for level in levels] if count else [0] * len(levels)
    return [float(ordered[place]) if place < ordered.size else None for place in places]


def eligible(name: str, instants: int) -> bool:
    """Whether the percentile `name` may be claimed from that many distinct due instants."""
    return instants >= INSTANTS_NEEDED.get(name, 0)


def within_groups(
    values: npt.NDArray[np.int64], group: npt.NDArray[np.int64], expected: npt.NDArray[np.int64], level: float
) -> npt.NDArray[np.float64]:
    """The quantile at `level` inside every group: of the groups' `values` and as many at infinity as are missing to
    `expected[group]`. `values` and `group` must be sorted by group, then value (see `sorted_by_group`)."""
    have = np.bincount(group, minlength=expected.size)
    start = np.concatenate(([0], np.cumsum(have)[:-1])).astype(np.int64)
    place = np.maximum(0, np.ceil(level * expected - 1e-9).astype(np.int64) - 1)
    result = np.full(expected.size, np.inf)
    seen = (place < have) & (expected > 0)
    result[seen] = values[(start + place)[seen]]
    return result[expected > 0]


_VALUE_BITS = 44  # 2^44 ns are 4.8 hours either side of the due time


def sorted_by_group(
    values: npt.NDArray[np.int64], group: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Values and groups sorted by group, then value: one sort of packed integers, several times faster than lexsort."""
    half = 1 << (_VALUE_BITS - 1)
    packed = (group << _VALUE_BITS) | (np.clip(values, -half, half - 1) + half)
    packed.sort()
    return (packed & ((1 << _VALUE_BITS) - 1)) - half, packed >> _VALUE_BITS
