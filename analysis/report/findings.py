"""What a campaign found, as typed values: at most four findings, one for each line of the answer.

Invariant: a comparison in here is the report's own (`Evidence.comparison`), a number is a median of `summaries`; the
floor (plain TCP) is left out. Where transports were compared on several stacks, a finding is over these stacks, so that
what one stack shows is not taken for the transport (R17). Made for `answer`, which writes each as a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtbench.analysis.evidence import ComparedSubject, Evidence, total
from rtbench.analysis.evidence.stacks import BESIDE, plain
from rtbench.analysis.statistics.across_stacks import AcrossStacks
from rtbench.analysis.statistics.judgement import Comparison
from rtbench.analysis.sweep import curves
from rtbench.analysis.sweep.cells import at, scenario, with_settings
from rtbench.analysis.sweep.rows import Crossover, Exponent, KeyEffect, Slice, Sweep

CPU = "server_cpu_ns_per_message"
LINES = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """A subject and its medians in ns; None where nothing was measured. `tail_ns`: the 99th percentile, in time where
    it may be claimed, else over subscribers. `every_s`: the interval of a short poll."""

    subject: ComparedSubject
    age_ns: float | None
    cpu_ns: float | None
    tail_ns: float | None = None
    every_s: float | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No subject has a number. `why`: the reason of the first failed trial, empty when there was no trial."""

    trials: int
    why: str


@dataclass(frozen=True, slots=True)
class Alone:
    """A subject by itself."""

    subject: Measured


@dataclass(frozen=True, slots=True)
class Alike:
    """Subjects that differ from `beside` in neither latency nor server CPU, as far as this campaign can see."""

    subjects: tuple[ComparedSubject, ...]
    beside: ComparedSubject
    latency: tuple[Comparison, ...]
    cpu: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Apart:
    """A subject that differs from `beside` in latency, in server CPU, or in both; or that has too few blocks to say."""

    subject: Measured
    beside: ComparedSubject
    latency: Comparison | None
    cpu: Comparison | None


@dataclass(frozen=True, slots=True)
class Across:
    """A transport beside another over several stacks, in latency and in server CPU; None where no stack has both."""

    transport: str
    beside: str
    latency: AcrossStacks | None
    cpu: AcrossStacks | None
    every_s: float | None = None
    """The interval of a short poll."""

    @property
    def stacks(self) -> tuple[str, ...]:
        """Those that have both transports."""
        each = [row.stacks for row in (self.latency, self.cpu) if row is not None]
        return tuple(dict.fromkeys(stack for row in each for stack, _ in row))


@dataclass(frozen=True, slots=True)
class Spread:
    """Many subjects in one metric: the lowest and the highest median, and where the others are. Values in ns."""

    metric: str
    lowest: ComparedSubject
    low_ns: float
    highest: ComparedSubject
    high_ns: float
    comparison: Comparison | None
    """The highest against the lowest."""
    others: int
    alike: int
    """Of all but the lowest: how many do not differ from it, as far as this campaign can see."""


@dataclass(frozen=True, slots=True)
class Grown:
    """One metric over a numeric key of a sweep."""

    metric: str
    part: Slice
    exponents: tuple[tuple[ComparedSubject, Exponent], ...]
    missing: tuple[ComparedSubject, ...]
    """Those with too few complete blocks for an exponent."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One metric at the last value of a key without logarithm, each subject against itself at the first value."""

    metric: str
    part: Slice
    effects: tuple[tuple[ComparedSubject, KeyEffect], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """Whether the order of two subjects flips over a numeric key, in latency and in server CPU."""

    part: Slice
    names: tuple[tuple[str, ComparedSubject], ...]
    flips: tuple[Crossover, ...]
    pairs: int
    unresolved: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """Exact counts over all measured trials, and how many trials are of which status."""

    expected: int
    lost: int
    duplicated: int
    reordered: int
    corrupted: int
    valid: int
    invalid: int
    failed: int
    unmeasured: tuple[ComparedSubject, ...]
    """Subjects without a measured trial."""


Finding = Nothing | Alone | Alike | Apart | Across | Spread | Grown | Changed | Order | Delivered


def findings(evidence: Evidence) -> list[Finding]:
    """One to four, in the order in which a reader wants them."""
    known = [one for s in evidence.subjects if (one := _measured(evidence, s)).age_ns or one.cpu_ns]
    if not known and any(r.metrics for r in evidence.results):
        return [_delivered(evidence)]
    if not known:
        reasons = [str(reason.get("message", "")) for r in evidence.results for reason in r.trial.reasons]
        return [Nothing(len(evidence.results), next(filter(None, reasons), ""))]
    if (swept := curves.study(evidence)) is not None:
        return [*_swept(evidence, swept), _delivered(evidence)]
    rivals = [one for one in known if one.subject.arm != "floor"] or known
    if over := _over_stacks(evidence, rivals):
        return [*over, _delivered(evidence)]
    return [*_compared(evidence, rivals), _delivered(evidence)]


def tails(latency: str) -> tuple[str, str]:
    """The 99th percentiles that belong to a median: in time, and over the subscribers of a tick."""
    return latency.replace("_p50_", "_p99_"), latency.replace("_p50_", "_within_tick_p99_")


def _measured(evidence: Evidence, subject: ComparedSubject) -> Measured:
    def median(metric: str) -> float | None:
        row = evidence.summary(subject.name, metric)
        return row.median if row is not None else None

    latency = evidence.latency
    table = with_settings(scenario(evidence), subject.cell)
    every_s = at(table, "poll.interval_s") if subject.transport == "short-poll" else None
    tail = next((t for t in map(median, tails(latency)) if t is not None), None)
    return Measured(subject, median(latency), median(CPU), tail, every_s)


def _compared(evidence: Evidence, rivals: Sequence[Measured]) -> list[Finding]:
    first = next((one for one in rivals if one.subject.transport in ("sse", "websocket")), rivals[0])
    pairs: list[_Pair] = [
        (
            one,
            evidence.comparison(evidence.latency, one.subject.name, first.subject.name),
            evidence.comparison(CPU, one.subject.name, first.subject.name),
        )
        for one in rivals
        if one is not first
    ]
    # A subject with too few blocks has a line of its own, apart from those that were compared.
    few = all(map(_open, pairs))
    apart: list[Finding] = [Apart(pair[0], first.subject, pair[1], pair[2]) for pair in pairs if not _same(pair, few)]
    same = [pair for pair in pairs if _same(pair, few)]
    alike: list[Finding] = []
    if same:
        subjects, latency_of, cpu_of = zip(*same, strict=True)
        alike = [
            Alike(
                tuple(one.subject for one in subjects),
                first.subject,
                tuple(one for one in latency_of if one is not None),
                tuple(one for one in cpu_of if one is not None),
            )
        ]
    if len(rivals) == 2:
        return [*alike, *apart, Alone(first)]
    if len(apart) + 1 < LINES:
        return [*(alike or [Alone(first)]), *apart]
    spreads = [_spread(evidence, metric, rivals) for metric in (evidence.latency, CPU)]
    return [*(one for one in spreads if one is not None), *alike]


def _over_stacks(evidence: Evidence, rivals: Sequence[Measured]) -> list[Finding]:
    """A finding a transport of the matrix: over its stacks, or of the one stack that has it."""
    rows = {(row.transport, row.metric): row for row in evidence.matrix}
    found: list[Finding] = []
    for transport in dict.fromkeys(row.transport for row in evidence.matrix):
        latency, cpu = (rows.get((transport, metric)) for metric in (evidence.latency, CPU))
        mine = [one for one in rivals if one.subject.transport == transport and plain(one.subject)]
        every = {one.every_s for one in mine}
        over = Across(transport, BESIDE, latency, cpu, every.pop() if len(every) == 1 else None)
        if len(over.stacks) > 1:
            found.append(over)
        else:
            found += [_on_one(evidence, over, one) for one in mine if one.subject.stack in over.stacks]
    return found


def _on_one(evidence: Evidence, row: Across, one: Measured) -> Apart:
    """The only stack that compares a transport."""
    beside = next(
        s for s in evidence.subjects if plain(s) and (s.transport, s.stack) == (row.beside, one.subject.stack)
    )
    latency, cpu = (None if each is None else each.comparisons[0] for each in (row.latency, row.cpu))
    return Apart(one, beside, latency, cpu)


_Pair = tuple[Measured, Comparison | None, Comparison | None]
"""A subject, its latency and its server CPU beside the first one's."""


def _open(pair: _Pair) -> bool:
    """Whether there are too few blocks to say anything of it."""
    return all(one is None or one.verdict == "too few blocks" for one in pair[1:])


def _same(pair: _Pair, few: bool) -> bool:
    """Whether no difference is seen; `few`: all subjects have too few blocks, which then counts as the same."""
    return not any(one is not None and one.different for one in pair[1:]) and (few or not _open(pair))


def _spread(evidence: Evidence, metric: str, rivals: Sequence[Measured]) -> Spread | None:
    values = [(one.subject, one.cpu_ns if metric == CPU else one.age_ns) for one in rivals]
    ordered = sorted(((s, v) for s, v in values if v is not None), key=lambda row: row[1])
    if len(ordered) < 2:
        return None
    (lowest, low), (highest, high) = ordered[0], ordered[-1]
    beside = [evidence.comparison(metric, s.name, lowest.name) for s, _ in ordered[1:]]
    alike = sum(one is not None and not one.different for one in beside)
    return Spread(metric, lowest, low, highest, high, beside[-1], len(ordered) - 2, alike)


def _swept(evidence: Evidence, sweep: Sweep) -> list[Finding]:
    subjects = curves.bases(evidence)
    part = next((one for one in sweep.slices if one.numeric), None)
    if part is None:
        part = sweep.slices[0]
        named = {s.base: s for s in subjects}
        return [
            Changed(
                metric, part,
                tuple(
                    (named[one.subject], one)
                    for one in sweep.changes
                    if (one.key, one.at, one.comparison.metric) == (part.key, part.at, metric)
                ),
            )
            for metric in (evidence.latency, CPU)
        ]  # fmt: skip
    found: list[Finding] = []
    for metric in (evidence.latency, CPU):
        rows = [(s, sweep.exponent(part, s.base, metric)) for s in subjects]
        known = tuple((s, row) for s, row in rows if row is not None)
        found.append(Grown(metric, part, known, tuple(s for s, row in rows if row is None)))
    mine = [c for c in sweep.crossovers if (c.key, c.at) == (part.key, part.at) and c.metric in (evidence.latency, CPU)]
    if mine:
        flips = tuple(c for c in mine if c.status == "crosses")
        open_ = sum(c.status == "not resolved" for c in mine)
        found.append(Order(part, tuple((s.base, s) for s in subjects), flips, len(mine), open_))
    return found


def _delivered(evidence: Evidence) -> Delivered:
    measured = [r for r in evidence.results if r.metrics]
    expected, lost, duplicated, reordered, corrupted = (
        total(measured, kind) for kind in ("expected", "lost", "duplicated", "reordered", "corrupted")
    )
    status = [r.trial.status for r in evidence.results]
    valid, invalid, failed = (status.count(one) for one in ("ok", "invalid", "failed"))
    seen = {r.trial.item for r in measured}
    unmeasured = tuple(s for s in evidence.subjects if s.name not in seen)
    return Delivered(expected, lost, duplicated, reordered, corrupted, valid, invalid, failed, unmeasured)
