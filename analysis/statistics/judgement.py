"""The judgement: one function decides what each comparison of a family may claim, for all of them at once (R8, R9).

Invariant: there are four statements, and none is a mixture of two. "a lower" and "a higher": the interval excludes 1,
the Benjamini–Hochberg q in the family (J. R. Stat. Soc. B 57:289, 1995) is at most LEVEL, and the effect is beyond the
A/A noise floor. "equivalent": no difference is claimed, and two one-sided tests at LEVEL each (Schuirmann, J.
Pharmacokinet. Biopharm. 15:657, 1987: the 90 % interval) put the ratio between 1/(1 + margin) and 1 + margin; never
with fewer than ENOUGH blocks or where the noise floor is wider than the margin, because one subject under two labels
may differ by more there. "too few blocks": no interval, or fewer than ENOUGH blocks and no significant difference. "not
resolved": everything else. An effect that is significant but inside the noise floor is not called a difference;
`within_floor` marks it. Every verdict of this project comes from `judge`: called by the evidence, `rtbench compare`,
the advice, a sweep's key effects and the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from rtbench.analysis.statistics.compare import LEVEL, Estimate, bounded_exp
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.analysis.statistics.power import Floor, blocks_needed

Verdict = Literal["a lower", "a higher", "equivalent", "not resolved", "too few blocks"]

DIFFERENT: tuple[Verdict, Verdict] = ("a lower", "a higher")
_SWAPPED: Mapping[Verdict, Verdict] = {"a lower": "a higher", "a higher": "a lower"}

ENOUGH = 3
"""Blocks without which only a significant difference is a statement."""

Floors = Callable[[str], Floor | None]
"""A metric's noise floor as a function of the number of blocks (a ratio ≥ 1), or None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Estimate):
    """An estimate with its verdict."""

    verdict: Verdict
    family: str = ""
    """The comparisons that were judged together with it."""
    q: float | None = None
    """p, adjusted for how many comparisons its family has."""
    margin: float = 0.0
    """Equivalence is a ratio between 1/(1 + margin) and 1 + margin."""
    noise_floor: float | None = None
    """The ratio (≥ 1) that one subject under two labels stays within over so many blocks; None: not known."""
    within_floor: bool = False
    """Whether a difference is seen (interval and q) that the noise floor does not allow to claim."""
    limited_by: str | None = None
    """Why nothing is claimed: "blocks", "interval", "multiplicity" or "noise floor"; None where something is."""
    blocks_needed: int | None = None
    """Blocks that would settle it (`power`); None where it is settled, not known, or more than 10,000 are needed."""

    @property
    def different(self) -> bool:
        return self.verdict in DIFFERENT

    @property
    def could_be_up_to(self) -> float | None:
        """How far the ratio can be from 1, either way, as a share (0.33: up to 1.33× or 1/1.33×), by the 95 % interval.
        None where something is claimed, and without an interval."""
        if self.limited_by is None or self.low is None or self.high is None:
            return None
        return bounded_exp(max(abs(math.log(self.low)), abs(math.log(self.high)))) - 1

    def inverse(self) -> Comparison:
        """b against a."""
        low = 1 / self.high if self.high else None
        high = 1 / self.low if self.low else None
        verdict = _SWAPPED.get(self.verdict, self.verdict)
        return replace(self, a=self.b, b=self.a, ratio=1 / self.ratio, low=low, high=high, verdict=verdict)

    def row(self) -> dict[str, Any]:
        """The row of report.json."""
        names = (
            "metric", "a", "b", "ratio", "low", "high", "confidence", "verdict", "margin", "could_be_up_to",
            "within_floor", "blocks", "campaigns", "pooled", "p", "q", "family", "noise_floor", "limited_by",
            "blocks_needed",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in names}, "cell": dict(self.cell)}


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons that were judged together."""

    name: str
    comparisons: int
    """How many were made: those with a p-value."""
    metrics: int
    """In how many metrics."""
    alone: int
    """How many have p ≤ LEVEL, each looked at alone."""
    differences: int
    """How many are called a difference in the end."""

    @property
    def size(self) -> str:
        """`50 comparisons in 5 metrics`."""
        parts = ((self.comparisons, "comparison"), (self.metrics, "metric"))
        return " in ".join(f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in parts)

    def row(self) -> dict[str, Any]:
        """As report.json has it under `multiplicity`."""
        return {
            "family": self.name, "comparisons": self.comparisons, "metrics": self.metrics, "alone": self.alone,
            "differences": self.differences,
        }  # fmt: skip


def judge(
    estimates: Sequence[Estimate], family: str, margin: float, floors: Floors
) -> tuple[tuple[Comparison, ...], Family]:
    """All comparisons of one family judged, in their order, and what the family is.

    Comparisons share subjects and blocks, hence are positively dependent, where the false-discovery control holds (Ann.
    Stat. 29:1165, 2001); `benchmarks/coverage.py` simulates it.
    """
    tested = [i for i, one in enumerate(estimates) if one.p is not None]
    p = np.array([estimates[i].p for i in tested], dtype=np.float64)
    q = dict(zip(tested, adjust(p).tolist(), strict=True))
    rejected = sum(value <= LEVEL for value in q.values())
    # One more rejection would be held to this level: what a difference that is not seen yet has to reach.
    level = LEVEL * min(1.0, (rejected + 1) / max(1, len(tested)))
    found = tuple(_decided(one, family, q.get(i), level, margin, floors(one.metric)) for i, one in enumerate(estimates))
    metrics = len({estimates[i].metric for i in tested})
    differences = sum(one.different for one in found)
    return found, Family(family, len(tested), metrics, int((p <= LEVEL).sum()), differences)


def _decided(
    one: Estimate, family: str, q: float | None, level: float, margin: float, floor: Floor | None
) -> Comparison:
    limit = None if floor is None else floor(one.blocks)
    excludes = one.low is not None and one.high is not None and not one.low <= 1 <= one.high
    significant = excludes and q is not None and q <= LEVEL
    inside = limit is not None and abs(math.log(one.ratio)) <= math.log(limit)
    fits = _within(one, margin)
    verdict: Verdict
    why = needed = None
    if significant and not inside:
        verdict = "a lower" if one.ratio < 1 else "a higher"
    elif one.low is None or (one.blocks < ENOUGH and not significant):
        verdict, why = "too few blocks", "blocks"
    elif fits and one.blocks >= ENOUGH and (limit is None or limit <= 1 + margin):
        verdict = "equivalent"
    else:
        verdict = "not resolved"
        why = "noise floor" if significant or fits else "multiplicity" if excludes else "interval"
    if why is not None and one.sd is not None:
        needed = _needed(one, level, margin, floor)
    known = {item.name: getattr(one, item.name) for item in fields(Estimate)}
    return Comparison(
        **known, verdict=verdict, family=family, q=q, margin=margin, noise_floor=limit,
        within_floor=significant and inside, limited_by=why, blocks_needed=needed,
    )  # fmt: skip


def _within(one: Estimate, margin: float) -> bool:
    """Whether two one-sided tests at LEVEL each put the ratio within the margin."""
    limits = one.limits(1 - 2 * LEVEL)
    return limits is not None and -math.log1p(margin) <= limits[0] and limits[1] <= math.log1p(margin)


def _needed(one: Estimate, level: float, margin: float, floor: Floor | None) -> int | None:
    """Blocks that would settle it. Of several campaigns: whole campaigns of as many blocks as these have."""
    each = one.blocks / one.campaigns if one.campaigns > 1 else 1
    held = None if floor is None else lambda count: floor(round(count * each))
    found = blocks_needed(one.sd or 0.0, level=level, margin=margin, floor=held)
    return None if found is None else math.ceil(found * each)
