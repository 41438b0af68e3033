"""Student's t distribution: critical values and p-values. Called by everything that makes an interval or a test of it.

scipy.special has it without scipy.stats, whose import takes a second.
"""

from __future__ import annotations

from functools import lru_cache

from scipy import special


@lru_cache(maxsize=1024)
def critical(freedom: float, confidence: float) -> float:
    """What |t| does not exceed with probability `confidence`. Cached for the search for `blocks_needed`."""
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def p_value(mean: float, error: float, freedom: float) -> float:
    """Two-sided, of a true mean of 0. Without any spread it is 1 for a mean of 0 and 0 for any other."""
    return 2 * float(special.stdtr(freedom, -abs(mean) / error)) if error > 0 else float(mean == 0)
