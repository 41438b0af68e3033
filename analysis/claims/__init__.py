"""The article's eight claims as hypotheses, one file each: what is claimed, how a campaign tests it, what it found.

Invariant: a finding comes from one campaign alone, so that times of two machines or two scenarios are never mixed; a
claim's outcome is that of the first campaign that tests it, and what the others found stands beside it. A claim that no
campaign tests says so and names the command that would. Every module of this package that defines `HYPOTHESIS` is one:
no list to edit. Called by the report.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence
from rtbench.analysis.metrics import find
from rtbench.analysis.sweep.cells import Cell, cells

Outcome = Literal["supported", "contradicted", "no difference seen", "not tested by this campaign"]
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
    """A claim with what every campaign said of it, the deciding one first."""

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


@cache
def hypotheses() -> tuple[Hypothesis, ...]:
    """All, by their number."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = [module.HYPOTHESIS for module in modules if hasattr(module, "HYPOTHESIS")]
    return tuple(sorted(found, key=lambda one: one.number))


def judge(campaigns: Sequence[Evidence]) -> list[Judged]:
    """Every claim against every campaign, each by itself. `campaigns`: the report's own first."""
    split = [(evidence, cells(evidence)) for evidence in campaigns]
    return [Judged(one, tuple(_findings(one, split))) for one in hypotheses()]


def _findings(one: Hypothesis, campaigns: Sequence[tuple[Evidence, Sequence[Cell]]]) -> Iterator[Finding]:
    for evidence, parts in campaigns:
        name = str(evidence.campaign.document.get("campaign", "this campaign"))
        found = [(cell, finding) for cell in parts if (finding := one.judge(cell.evidence)) is not None]
        swept = "; ".join(f"{cell.name}: {finding.outcome}" for cell, finding in found if cell.name)
        for cell, finding in found:
            flips = f"Measured over the sweep: {swept}. {finding.flips}".strip() if cell.name else finding.flips
            where = finding.campaign or (f"{name}, {cell.name}" if cell.name else name)
            text = f"At {cell.name}: {finding.text}" if cell.name else finding.text
            yield Finding(finding.outcome, text, finding.points, flips, where)
            if finding.campaign:  # a finding that is no campaign's
                return


# What the files share


def compared(evidence: Evidence, metric: str, a: str, b: str) -> Point | None:
    """The comparison as evidence; None when there is none with an interval."""
    found = evidence.comparison(metric, a, b)
    if found is None or found.low is None:
        return None
    said = {"a lower": "lower", "a higher": "higher"}.get(found.verdict, found.verdict)
    text = f"{a} {format.ratio(found)} of {b} ({said})"
    return Point(metric, a, b, found.ratio, found.low, found.high, "ratio", found.verdict, text)


def measured(evidence: Evidence, metric: str, subject: str) -> Point | None:
    """A subject's median trial as evidence; None where it was not measured."""
    found = evidence.summary(subject, metric)
    if found is None or found.median is None:
        return None
    text = f"{subject} {format.summary(found)}"
    return Point(metric, subject, "", found.median, found.low, found.high, found.unit, "", text)


def counted(evidence: Evidence, metric: str, subject: str) -> Point | None:
    """The exact total of a count over a subject's measured trials, the invalid ones too (R3)."""
    values = [r.metrics.get(metric) for r in evidence.of(subject) if r.metrics]
    known = [v for v in values if v is not None]
    if not known:
        return None
    text = f"{subject} {sum(known):,.0f}"
    return Point(metric, subject, "", sum(known), None, None, find(metric).unit, "", text)


def plain(evidence: Evidence, *transports: str) -> list[ComparedSubject]:
    """Subjects of these transports that are compared as themselves: under no second label, behind no proxy."""
    return [s for s in evidence.subjects if s.transport in transports and "@" not in s.name and not proxy_of(s)]


def proxy_of(subject: ComparedSubject) -> str:
    """The proxy that it was measured behind; empty: none."""
    return str(subject.row.get("proxy") or "")


def pairs(
    evidence: Evidence, one: Sequence[str], other: Sequence[str]
) -> list[tuple[ComparedSubject, ComparedSubject]]:
    """Subjects of these transports on one stack, written in one way: what tells transports apart, not stacks (R10)."""
    return [
        (a, b)
        for a in plain(evidence, *one)
        for b in plain(evidence, *other)
        if (a.stack, a.arm, a.technique) == (b.stack, b.arm, b.technique)
    ]


def direction(points: Sequence[Point], claimed: str) -> Outcome:
    """Supported when every comparison has the verdict that is claimed; contradicted when one has the opposite."""
    verdicts = {p.verdict for p in points}
    if verdicts - {claimed, "no difference seen"}:
        return "contradicted"
    return "supported" if verdicts == {claimed} else "no difference seen"


def sentence(points: Sequence[Point]) -> str:
    """The evidence's texts as one sentence, a metric at a time; empty without any."""
    by: dict[str, list[str]] = {}
    for point in points:
        by.setdefault(find(point.metric).title, []).append(point.text)
    return "; ".join(f"{title}: {', '.join(texts)}" for title, texts in by.items()) + "." * bool(by)


def rate_hz(evidence: Evidence) -> float | None:
    """Messages a second that one subscriber gets, from the measured trials (median)."""
    found = sorted(
        delivered / r.trial.subscribers
        for r in evidence.results
        if (delivered := r.metrics.get("delivered_hz")) and r.trial.subscribers
    )
    return found[len(found) // 2] if found else None
