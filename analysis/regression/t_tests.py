"""Two samples of few values: the difference of their means with its standard error and degrees of freedom.

Invariant: where both are the same in every trial, as counts and sizes are, the error is 0.
Called by `verdicts`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import student

Floats = npt.NDArray[np.float64]


class Mean(NamedTuple):
    """A difference of means, now − was."""

    difference: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided, of no difference."""
        return student.p_value(self.difference, self.error, self.freedom)


def welch(was: Floats, now: Floats) -> Mean:
    """Of two samples that share no blocks (Welch, Biometrika 34:28, 1947). Two values a side at least."""
    if _nothing(now - now[0], now) and _nothing(was - was[0], was):
        return _exact(float(now.mean() - was.mean()), was, now)
    one, other = (float(side.var(ddof=1)) / side.size for side in (was, now))
    freedom = (one + other) ** 2 / (one**2 / (was.size - 1) + other**2 / (now.size - 1))
    return Mean(float(now.mean() - was.mean()), (one + other) ** 0.5, freedom)


def paired(was: Floats, now: Floats) -> Mean:
    """The same of values that belong together, one pair a block."""
    differences = now - was
    if _nothing(differences - differences[0], was, now):
        return _exact(float(differences.mean()), was, now)
    return Mean(float(differences.mean()), float(differences.std(ddof=1)) / was.size**0.5, was.size - 1)


def _exact(difference: float, was: Floats, now: Floats) -> Mean:
    return Mean(0.0 if _nothing(np.array([difference]), was, now) else difference, 0.0, 1)


def _nothing(amounts: Floats, *beside: Floats) -> bool:
    """Whether amounts are nothing but rounding: counts and sizes are often the same in every trial."""
    largest = max(float(np.abs(values).max()) for values in beside)
    return float(np.abs(amounts).max()) <= 1e-12 * max(1.0, largest)
