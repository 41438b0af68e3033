"""The slope of a quantity that is read once a second while nothing else changes: a leak's figure.

Memory moves in steps, and readings a second apart are not independent: the line goes through the means of PARTS equal
parts of the window. Its interval is Student's t with PARTS − 2 degrees of freedom. Called by the metrics of growth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE

PARTS = 12
HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Growth:
    """Units an hour, with the ends of the interval."""

    slope: float
    low: float
    high: float


def line(at_ns: npt.NDArray[np.int64], values: npt.NDArray[np.int64], window: tuple[int, int]) -> Growth | None:
    """The line through the means of the window's parts; None if a part has no reading (-1: not known)."""
    start, end = window
    inside = (at_ns >= start) & (at_ns < end) & (values >= 0)
    part = (at_ns[inside] - start) * PARTS // (end - start)
    count = np.bincount(part, minlength=PARTS)
    if not count.all():
        return None
    kept = values[inside]
    # From the first reading on: what stays the same is exactly 0, and its interval holds 0.
    means = np.bincount(part, weights=kept - kept[0], minlength=PARTS) / count
    x = (np.arange(PARTS) + 0.5 - PARTS / 2) / PARTS
    square = float((x**2).sum())
    slope = float((x * means).sum()) / square
    left = means - means.mean() - slope * x
    error = math.sqrt(float((left**2).sum()) / (PARTS - 2) / square)
    half = student.critical(PARTS - 2, CONFIDENCE) * error
    hours = (end - start) / HOUR_NS
    return Growth(slope / hours, (slope - half) / hours, (slope + half) / hours)
