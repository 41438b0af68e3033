"""What has become of one metric of one subject, and all of that together: the result of comparing two sides.

Invariant: plain values; what makes a change a regression is decided in `baseline`, not here. Made by `baseline`,
said by `baseline_formats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtbench.analysis import format


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
    """"worse", "better", "no difference seen" or "not comparable"."""
    regression: bool
    why: str = ""
    """What the verdict hangs on, when that is not the interval alone."""
    p: float | None = None
    """Adjusted for all comparisons (Benjamini-Hochberg); None where nothing was tested."""

    def text(self) -> str:
        """`8.71 ms → 9.90 ms, 1.14× [1.08, 1.20], worse`."""
        parts = [f"{format.quantity(self.before, self.unit)} → {format.quantity(self.now, self.unit)}"]
        if self.ratio is not None:
            interval = "" if self.low is None or self.high is None else f" [{_short(self.low)}, {_short(self.high)}]"
            parts.append(f"{_short(self.ratio)}×{interval}")
        return ", ".join([*parts, f"{self.verdict}{f' ({self.why})' if self.why else ''}"])

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _short(ratio: float) -> str:
    return format.number(ratio) if 1e-6 < ratio < 1e9 else f"{ratio:.3g}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Every change, and whose they are."""

    baseline: str
    current: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """How it was judged, and what differs between the two and may: versions, subjects that only one has."""
    too_few: tuple[str, ...] = ()
    """Subjects without enough valid trials to conclude, each with its count and side."""

    @property
    def regressions(self) -> list[Change]:
        return [c for c in self.changes if c.regression]

    def count(self, verdict: str) -> int:
        return sum(c.verdict == verdict for c in self.changes)

    @property
    def exit_code(self) -> int:
        """1: a regression; 3: some subject has too few valid trials; else 0 (interface.md)."""
        return 1 if self.regressions else 3 if self.too_few else 0
