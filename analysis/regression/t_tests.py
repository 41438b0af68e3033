"""Two samples of few values: the difference of their means with Student's t-interval and the p of no difference.

Invariant: `(mean, low, high, p)` of now − was at the report's confidence; where both are the same in every trial,
counts and sizes, there is no chance to speak of: the interval is a point and p is 0 or 1. Called by `baseline`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from rtbench.analysis.statistics.compare import CONFIDENCE

Floats = npt.NDArray[np.float64]


def welch(was: Floats, now: Floats) -> tuple[float, float, float, float]:
    """Difference of means now − was with Welch's t-interval, and the two-sided p of no difference. Two values a side at
    least."""
    mean = float(now.mean() - was.mean())
    parts = float(now.var(ddof=1)) / now.size, float(was.var(ddof=1)) / was.size
    error = math.sqrt(sum(parts))
    if _exact(error, was, now):
        return mean, mean, mean, 1.0 if _exact(abs(mean), was, now) else 0.0
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (now.size - 1) + parts[1] ** 2 / (was.size - 1))
    return _student(mean, error, freedom)


def paired(was: Floats, now: Floats) -> tuple[float, float, float, float]:
    """The same of values that belong together, one pair a block."""
    differences = now - was
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(differences.size)
    if _exact(error, was, now):
        return mean, mean, mean, 1.0 if _exact(abs(mean), was, now) else 0.0
    return _student(mean, error, differences.size - 1)


def _exact(amount: float, was: Floats, now: Floats) -> bool:
    """Whether an amount is nothing but rounding: counts and sizes are often the same in every trial."""
    return amount <= 1e-12 * max(1.0, float(np.abs(was).max()), float(np.abs(now).max()))


def _student(mean: float, error: float, freedom: float) -> tuple[float, float, float, float]:
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom))
