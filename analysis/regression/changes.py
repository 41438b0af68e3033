"""The result of comparing two sides: the change of each metric of each subject.

Invariant: plain values; `baseline` decides what a regression is. Made by `baseline`, printed by `formats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.evidence.origin import Side
from rtbench.analysis.statistics.judgement import Comparison

FAULTS = ("lost", "duplicated", "reordered", "corrupted", "connections_failed")
"""Metrics that count faults: exact numbers, without a ratio."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one subject, now relative to the baseline. `ratio` is None for faults and where there is none."""

    subject: str
    """The subject's name, with its cell when there is a sweep."""
    metric: str
    unit: str
    before: float | None
    """Over the trials: the geometric mean where there is a ratio, else the median; of a fault: the sum."""
    now: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    """"worse", "better", "equivalent", "not resolved", "too few blocks" or "not comparable"; of counts and of values
    without a ratio also "unchanged"."""
    regression: bool
    why: str = ""
    """The reason of the verdict, when that is not the interval alone."""
    q: float | None = None
    """Of values without a ratio: p, adjusted for all such comparisons."""
    judged: Comparison | None = None
    """The ratio with its verdict; None without a ratio."""

    def text(self) -> str:
        """`8.71 ms → 9.90 ms, 1.14× [1.08, 1.20], worse`; `8.71 ms → 8.80 ms, equivalent within ±5 % (…)`."""
        values = f"{format.quantity(self.before, self.unit)} → {format.quantity(self.now, self.unit)}"
        verdict = self.verdict if self.judged is None or self.judged.different else ""
        ratio = "" if self.judged is None else format.statement(self.judged)
        return ", ".join(part for part in (values, ratio, verdict + (f" ({self.why})" if self.why else "")) if part)

    def row(self) -> dict[str, Any]:
        """For JSON; `p` and `q` with the family that they are adjusted in."""
        known = {name: getattr(self, name) for name in self.__slots__ if name != "judged"}
        names = ("p", "q", "family", "margin", "could_be_up_to", "within_floor", "noise_floor", "blocks_needed")
        more = {name: getattr(self.judged, name) for name in names} if self.judged else dict.fromkeys(names)
        return {**known, **more, "q": more["q"] if self.judged else self.q}


@dataclass(frozen=True, slots=True)
class Difference:
    """Every change between the two sides."""

    baseline: str
    current: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """How the changes were judged, and permitted differences: versions, subjects of one side only."""
    too_few: tuple[str, ...] = ()
    """Subjects without enough valid trials to conclude, each with its count and side."""
    sides: tuple[Side, ...] = ()
    """The campaigns: the baseline's and the current one's, or the one that both subjects are of."""
    headings: Mapping[str, str] = field(default_factory=dict)
    """A subject's name, with its cell, to its name in words."""

    def heading(self, change: Change) -> str:
        """`SSE on aiohttp`; without words for it, the subject's name."""
        return self.headings.get(change.subject, change.subject)

    @property
    def regressions(self) -> list[Change]:
        return [c for c in self.changes if c.regression]

    def count(self, verdict: str) -> int:
        return sum(c.verdict == verdict for c in self.changes)

    @property
    def exit_code(self) -> int:
        """1: a regression; 3: some subject has too few valid trials; else 0 (interface.md)."""
        return 1 if self.regressions else 3 if self.too_few else 0
