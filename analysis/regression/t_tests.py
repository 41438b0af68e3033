"""Two samples of few values: the difference of their means with Student's t-interval and the p of no difference.

Invariant: `(mean, low, high, p)` of now − was at the report's confidence, from scipy; where both are the same in every
trial, counts and sizes, there is no chance to speak of: the interval is a point and p is 0 or 1. Called by `baseline`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from rtbench.analysis.statistics.compare import CONFIDENCE

Floats = npt.NDArray[np.float64]


def welch(was: Floats, now: Floats) -> tuple[float, float, float, float]:
    """Difference of means now − was with Welch's t-interval, and the two-sided p of no difference. Two values a side at
    least."""
    vary = not (_nothing(now - now[0], now) and _nothing(was - was[0], was))
    return _tested(float(now.mean() - was.mean()), was, now, vary, lambda: stats.ttest_ind(now, was, equal_var=False))


def paired(was: Floats, now: Floats) -> tuple[float, float, float, float]:
    """The same of values that belong together, one pair a block."""
    differences = now - was
    vary = not _nothing(differences - differences[0], was, now)
    return _tested(float(differences.mean()), was, now, vary, lambda: stats.ttest_rel(now, was))


def _tested(
    mean: float, was: Floats, now: Floats, vary: bool, test: Callable[[], Any]
) -> tuple[float, float, float, float]:
    if not vary:
        return mean, mean, mean, 1.0 if _nothing(np.array([mean]), was, now) else 0.0
    with warnings.catch_warnings():  # scipy doubts a variance of 0; here one side may well be the same in every trial
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        found = test()
        interval = found.confidence_interval(CONFIDENCE)
    return mean, float(interval.low), float(interval.high), float(found.pvalue)


def _nothing(amounts: Floats, *beside: Floats) -> bool:
    """Whether amounts are nothing but rounding: counts and sizes are often the same in every trial."""
    largest = max(float(np.abs(values).max()) for values in beside)
    return float(np.abs(amounts).max()) <= 1e-12 * max(1.0, largest)
