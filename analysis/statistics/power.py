"""How many blocks it would take to settle a comparison: to call a difference of the margin, or the lack of one (R8).

Invariant: the number is for a campaign as noisy as this one, whose standard deviation is itself an estimate from few
blocks: read it as a size, not as a promise. Exact for normal residuals and the pair's own variance (noncentral t for
the difference, a mean over the variance's distribution for equivalence); a table of more subjects, whose variance is
pooled about every other time, needs no more. Simulated by `benchmarks/coverage.py`. Called by the judgement, for every
comparison that is not settled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import LEVEL

Floor = Callable[[int], float]
"""The noise floor, a ratio ≥ 1, by number of blocks."""

POWER = 0.80

FEWEST = 3
"""Blocks below which nothing is called equivalent."""

MOST = 10_000
"""Blocks beyond which the answer is None: not in this way."""

_CERTAIN = 30.0
"""A noncentrality beyond which the power is 1 and the series of the noncentral t need not be asked."""

_STEPS = (np.arange(100) + 0.5) / 100
"""Probabilities at which the distribution of an estimated variance is looked at."""


def blocks_needed(
    sd: float, *, level: float, margin: float, floor: Floor | None = None, power: float = POWER
) -> int | None:
    """The fewest blocks in which, each with probability `power`, a ratio of 1 + margin is called a difference and a
    ratio of 1 is called equivalent.

    `sd`: standard deviation of the pair's log-ratio in one block. `level`: two-sided, of the test of a difference.
    None when MOST would not be enough.
    """

    def enough(blocks: int) -> bool:
        if floor is not None:
            limit = floor(blocks)
            if limit > 1 + margin or _beyond(limit, sd, blocks, 1 + margin) < power:
                return False
        return power_of_equivalence(sd, blocks, margin) >= power and power_of(sd, blocks, level, 1 + margin) >= power

    if not enough(MOST):
        return None
    low, high = FEWEST - 1, MOST
    while high - low > 1:  # `enough` is monotonous: more blocks, more power
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power_of(sd: float, blocks: int, level: float, effect: float) -> float:
    """The probability that a t-test at `level` over so many blocks finds a true ratio of `effect`."""
    if blocks < 2:
        return 0.0
    if sd <= 0:
        return 1.0
    freedom = blocks - 1
    critical = student.critical(freedom, 1 - level)
    shift = math.log(effect) * math.sqrt(blocks) / sd
    if shift - critical > _CERTAIN:
        return 1.0
    return 1.0 - float(special.nctdtr(freedom, min(shift, _CERTAIN), critical))


def power_of_equivalence(sd: float, blocks: int, margin: float) -> float:
    """The probability that two one-sided t-tests over so many blocks put a true ratio of 1 within the margin."""
    if blocks < FEWEST:
        return 0.0
    if sd <= 0:
        return 1.0
    freedom = blocks - 1
    room = math.log1p(margin) * math.sqrt(blocks) / sd - _critical(freedom)
    return float(np.mean(np.where(room > 0, 2 * special.ndtr(room) - 1, 0.0)))


@lru_cache(maxsize=512)
def _critical(freedom: int) -> npt.NDArray[np.float64]:
    """The one-sided critical value of t times an estimated standard deviation, in true ones, over its distribution."""
    spread = np.sqrt(special.chdtri(freedom, 1 - _STEPS) / freedom)
    return student.critical(freedom, 1 - 2 * LEVEL) * np.asarray(spread, dtype=np.float64)


def _beyond(floor: float, sd: float, blocks: int, effect: float) -> float:
    """The probability that the mean log-ratio of a true `effect` comes out beyond the noise floor."""
    margin = math.log(effect) - math.log(floor)
    if sd <= 0:
        return float(margin > 0)
    return float(special.ndtr(margin * math.sqrt(blocks) / sd))
