"""A claim of the article as values: what is tested, what a campaign found, and what that rests on.

Made by the files of this package, one a claim; judged by the package itself; shown by the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rtbench.analysis.evidence import Evidence

Outcome = Literal[
    "supported", "contradicted", "equivalent", "depends on the stack", "not resolved", "not tested by this campaign"
]
NOT_TESTED: Outcome = "not tested by this campaign"


@dataclass(frozen=True, slots=True)
class Point:
    """One piece of evidence: a comparison of two subjects, or one subject's number (then `b` is empty).

    `value`: the ratio a/b, or the number in `unit`; `low` and `high` its 95 % interval, None without one.
    """

    metric: str
    a: str
    b: str
    value: float
    low: float | None
    high: float | None
    unit: str
    verdict: str
    text: str

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one campaign says of a claim. `flips`: the condition under which it would say otherwise, if known."""

    outcome: Outcome
    text: str
    points: tuple[Point, ...] = ()
    flips: str = ""
    campaign: str = ""

    def row(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "outcome": self.outcome,
            "text": self.text,
            "evidence": [p.row() for p in self.points],
            "flips": self.flips,
        }


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A claim of the article. `judge` gives None for a campaign that does not test it.

    `claim`: the article's words; `hypothesis`: what is tested, in measurable terms; `test`: what decides; `scenario`:
    the command that tests it; `metric`: the one that it is mainly about.
    """

    number: int
    claim: str
    hypothesis: str
    test: str
    scenario: str
    metric: str
    judge: Callable[[Evidence], Finding | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with every campaign's finding about it, the deciding one first."""

    hypothesis: Hypothesis
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        return self.findings[0].outcome if self.findings else NOT_TESTED

    @property
    def text(self) -> str:
        """What decided, in one paragraph; where campaigns disagree, that they do."""
        if not self.findings:
            return f"Not tested by this campaign; `{self.hypothesis.scenario}` tests it."
        others = [f"{f.campaign}: {f.outcome}" for f in self.findings[1:] if f.outcome != self.outcome]
        apart = f" Another campaign says otherwise ({'; '.join(others)})." if others else ""
        return self.findings[0].text + apart

    @property
    def flips(self) -> str:
        return next((f.flips for f in self.findings if f.flips), "")

    @property
    def points(self) -> tuple[Point, ...]:
        return self.findings[0].points if self.findings else ()

    def row(self) -> dict[str, Any]:
        """The row of report.json's `claims[]`: `text` and `metric` as every row there has them, and the rest."""
        one = self.hypothesis
        return {
            "text": f"{one.claim} {self.outcome[0].upper()}{self.outcome[1:]}. {self.text}",
            "metric": one.metric,
            "number": one.number,
            "claim": one.claim,
            "hypothesis": one.hypothesis,
            "test": one.test,
            "outcome": self.outcome,
            "evidence": [p.row() for p in self.points],
            "flips": self.flips,
            "scenario": one.scenario,
            "findings": [f.row() for f in self.findings],
        }
