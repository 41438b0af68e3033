"""What the files of the claims share: evidence as points, which subjects to set side by side, and the outcome of both.

Invariant: a comparison is a point only with an interval; a count is exact. Called by the claims and the advice.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Outcome, Point
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming, stacks
from rtbench.analysis.metrics import find
from rtbench.analysis.statistics.judgement import DIFFERENT, Verdict


def compared(evidence: Evidence, metric: str, a: str, b: str) -> Point | None:
    """The comparison as evidence; None when there is none with an interval."""
    found = evidence.comparison(metric, a, b)
    if found is None or found.low is None:
        return None
    said = {"a lower": " (lower)", "a higher": " (higher)"}.get(found.verdict, "")
    text = f"{named(evidence, a)} {format.statement(found, named(evidence, b))}{said}"
    return Point(metric, a, b, found.ratio, found.low, found.high, "ratio", found.verdict, text)


def measured(evidence: Evidence, metric: str, subject: str) -> Point | None:
    """A subject's median over trials as evidence; None where it was not measured."""
    found = evidence.summary(subject, metric)
    if found is None or found.median is None:
        return None
    text = f"{named(evidence, subject)} {format.summary(found)}"
    return Point(metric, subject, "", found.median, found.low, found.high, found.unit, "", text)


def counted(evidence: Evidence, metric: str, subject: str) -> Point | None:
    """The exact total of a count over a subject's measured trials, the invalid ones too (R3)."""
    values = [r.metrics.get(metric) for r in evidence.of(subject) if r.metrics]
    known = [v for v in values if v is not None]
    if not known:
        return None
    text = f"{named(evidence, subject)} {sum(known):,.0f}"
    return Point(metric, subject, "", sum(known), None, None, find(metric).unit, "", text)


def named(evidence: Evidence, subject: str) -> str:
    """A subject in words, without its cell: `long polling on Go`."""
    return next((naming.title(s) for s in evidence.subjects if s.name == subject), subject)


def plain(evidence: Evidence, *transports: str) -> list[ComparedSubject]:
    """Subjects of these transports that are compared as themselves: under no second label, behind no proxy."""
    return [s for s in evidence.subjects if s.transport in transports and "@" not in s.name and not s.proxy]


def pairs(
    evidence: Evidence, one: Sequence[str], other: Sequence[str]
) -> list[tuple[ComparedSubject, ComparedSubject]]:
    """Subjects of these transports on one stack: what tells transports apart, not stacks (R10).

    Both stand for their transport there, as in the matrix, or both are written in one way.
    """
    return [
        (a, b)
        for a in plain(evidence, *one)
        for b in plain(evidence, *other)
        if a.stack == b.stack
        and ((stacks.plain(a) and stacks.plain(b)) or (a.arm, a.technique) == (b.arm, b.technique))
    ]


OVER_STACKS = "Of several stacks that have both, what holds on every one decides."
"""A part of a claim's test."""


def direction(points: Sequence[Point], claimed: Verdict) -> Outcome:
    """Supported when every comparison has the verdict that is claimed; contradicted when one has the opposite;
    equivalent when all are."""
    verdicts = {p.verdict for p in points}
    if verdicts & ({*DIFFERENT} - {claimed}):
        return "contradicted"
    if verdicts == {claimed}:
        return "supported"
    return "equivalent" if verdicts == {"equivalent"} else "not resolved"


def judged(evidence: Evidence, points: Sequence[Point], claimed: Verdict) -> Outcome:
    """The outcome of comparisons of one metric, each between two transports of one stack (R17).

    Of one stack: their `direction`. Of several: what holds over the stacks, so that one stack neither carries a claim
    about a transport nor refutes it. Pairs of transports that only one stack has count by themselves.
    """
    subjects = {s.name: s for s in evidence.subjects}
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        a, b = subjects[point.a], subjects[point.b]
        groups.setdefault((point.metric, a.transport, b.transport), []).append(point)
    if len({subjects[p.a].stack for p in points}) < 2:
        return direction(points, claimed)
    outcomes = {_over_stacks(evidence, key, group, claimed) for key, group in groups.items()}
    weightiest: tuple[Outcome, ...] = ("contradicted", "depends on the stack", "not resolved")
    for one in weightiest:
        if one in outcomes:
            return one
    return outcomes.pop() if len(outcomes) == 1 else "not resolved"


def _over_stacks(evidence: Evidence, key: tuple[str, str, str], points: Sequence[Point], claimed: Verdict) -> Outcome:
    """One pair of transports on the stacks that have both; too few stacks for a verdict are named one by one."""
    row = stacks.over(evidence, *key)
    if row is None or row.verdict == "too few stacks":
        return direction(points, claimed)
    match row.verdict:
        case "on every stack":
            return "supported" if f"a {row.direction}" == claimed else "contradicted"
        case "depends on the stack":
            return "depends on the stack"
        case "no difference seen on any" if all(one.verdict == "equivalent" for one in row.comparisons):
            return "equivalent"
    return "not resolved"


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
