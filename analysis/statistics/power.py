"""How many blocks it would take to see a difference of a given size (R8).

Invariant: the number is for a campaign as noisy as this one, whose standard deviation is itself an estimate from few
blocks: read it as a size, not as a promise. Exact for normal residuals (noncentral t) and the pair's own variance; a
table of more subjects, whose variance is pooled about every other time, needs no more. Simulated by
`benchmarks/coverage.py`. Called by the multiplicity control, for every verdict "no difference seen".
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import special

POWER = 0.80
RESOLVE = 1.05
"""The difference that the report's numbers of blocks are for: 5 %."""

MOST = 10_000
"""Blocks beyond which the answer is None: not in this way."""

_CERTAIN = 30.0
"""A noncentrality beyond which the power is 1 and the series of the noncentral t need not be asked."""


def blocks_needed(
    sd: float,
    *,
    level: float,
    floor: Callable[[int], float] | None = None,
    effect: float = RESOLVE,
    power: float = POWER,
) -> int | None:
    """The fewest blocks (2 or more) in which a ratio of `effect` is called a difference with probability `power`.

    `sd`: standard deviation of the pair's log-ratio in one block. `level`: two-sided, of the test. `floor`: noise floor
    by number of blocks, a ratio ≥ 1. None when MOST would not be enough.
    """

    def enough(blocks: int) -> bool:
        reached = power_of(sd, blocks, level, effect)
        if floor is not None:
            reached = min(reached, _beyond(floor(blocks), sd, blocks, effect))
        return reached >= power

    if not enough(MOST):
        return None
    low, high = 1, MOST
    while high - low > 1:  # `enough` is monotonous: more blocks, more power
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power_of(sd: float, blocks: int, level: float, effect: float = RESOLVE) -> float:
    """The probability that a t-test at `level` over so many blocks finds a true ratio of `effect`."""
    if blocks < 2:
        return 0.0
    if sd <= 0:
        return 1.0
    freedom = blocks - 1
    critical = float(special.stdtrit(freedom, 1 - level / 2))
    shift = math.log(effect) * math.sqrt(blocks) / sd
    if shift - critical > _CERTAIN:
        return 1.0
    return 1.0 - float(special.nctdtr(freedom, min(shift, _CERTAIN), critical))


def _beyond(floor: float, sd: float, blocks: int, effect: float) -> float:
    """The probability that the mean log-ratio of a true `effect` comes out beyond the noise floor."""
    margin = math.log(effect) - math.log(floor)
    if sd <= 0:
        return float(margin > 0)
    return float(special.ndtr(margin * math.sqrt(blocks) / sd))
