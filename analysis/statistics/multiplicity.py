"""How many comparisons a report makes, and which of their verdicts stand: false-discovery control (R8).

Invariant: a verdict "a lower" or "a higher" needs three things: an interval that excludes 1, an effect beyond the noise
floor (R9), and a Benjamini–Hochberg q (J. R. Stat. Soc. B 57:289, 1995) of at most LEVEL in its family, so that of the
differences a family names at most one in twenty is expected to be none. There are two families: the headline metrics
(every pair of every matrix that the page shows) and all other metrics, so that a metric added to the second does not
change what the first says. Comparisons share subjects and blocks, hence are positively dependent, where the procedure
holds (Ann. Stat. 29:1165, 2001); `benchmarks/coverage.py` simulates it. What stays undecided says how many blocks would
resolve RESOLVE. Called by the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics.compare import LEVEL, Comparison, verdict
from rtbench.analysis.statistics.power import RESOLVE, blocks_needed

Floor = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons that are controlled together."""

    name: str
    """"headline" or "other"."""
    comparisons: int
    """How many were made: those with a p-value."""
    alone: int
    """How many have p ≤ LEVEL, each looked at alone."""
    differences: int
    """How many are called a difference in the end."""

    def row(self) -> dict[str, Any]:
        """As report.json has it under `multiplicity`."""
        return {
            "family": self.name, "comparisons": self.comparisons, "alone": self.alone, "differences": self.differences,
        }  # fmt: skip


def control(
    comparisons: Sequence[Comparison], headline: Collection[str], floors: Callable[[str], Floor | None]
) -> tuple[tuple[Comparison, ...], tuple[Family, ...]]:
    """The same comparisons with q, verdict, `limited_by` and `blocks_needed`, and what their families are.

    `headline`: the metrics of the first family. `floors`: a metric's noise floor as a function of the number of blocks
    (a ratio ≥ 1), or None.
    """
    found = list(comparisons)
    families = []
    for name in ("headline", "other"):
        mine = [i for i, one in enumerate(found) if one.p is not None and _family(one, headline) == name]
        p = np.array([found[i].p for i in mine], dtype=np.float64)
        q = adjust(p)
        rejected = int((q <= LEVEL).sum())
        # One more rejection would be held to this level: what a difference that is not seen yet has to reach.
        level = LEVEL * min(1.0, (rejected + 1) / max(1, len(mine)))
        for i, adjusted in zip(mine, q.tolist(), strict=True):
            found[i] = _judged(found[i], adjusted, floors(found[i].metric), level)
        differences = sum(found[i].verdict != NONE for i in mine)
        families.append(Family(name, len(mine), int((p <= LEVEL).sum()), differences))
    return tuple(found), tuple(families)


NONE = "no difference seen"


def _judged(one: Comparison, q: float, floor: Floor | None, level: float) -> Comparison:
    limit = floor(one.blocks) if floor is not None else None
    said = verdict(one.ratio, one.low, one.high, limit, q)
    if said != NONE:
        return replace(one, q=q, verdict=said, limited_by=None, blocks_needed=None)
    if verdict(one.ratio, one.low, one.high) == NONE:
        why = "interval"
    elif q > LEVEL:
        why = "multiplicity"
    else:
        why = "noise floor"
    needed = None
    if one.sd is not None:
        needed = blocks_needed(one.sd, level=level, floor=floor, effect=RESOLVE)
    return replace(one, q=q, verdict=said, limited_by=why, blocks_needed=needed)


def adjust(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Benjamini–Hochberg adjusted p-values, in the order given: q[i] ≤ α exactly when p[i] is rejected at rate α.

    `scipy.stats.false_discovery_control` rounds the last bit otherwise, which would change every stored report.json; a
    test holds the two together.
    """
    count = p.size
    order = np.argsort(p)
    scaled = p[order] * count / np.arange(1, count + 1)
    q = np.empty(count)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q


def _family(one: Comparison, headline: Collection[str]) -> str:
    return "headline" if one.metric in headline else "other"
