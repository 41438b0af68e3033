"""The answer: at most four lines of at most 120 characters.

Invariant: a line is made from one typed finding and nothing else, names what it is relative to, and shows a ratio only
where the verdict is "different" (R8); a subject's name contains its stack, so that no line ranks stacks as transports
(R10), and a transport without a stack is named only with what holds over several, the range of their ratios (R17).
Intervals are in the tables. Called by the report, for the terminal, report.md, report.html and report.json.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.report import capacity
from rtbench.analysis.report import findings as found
from rtbench.analysis.report.findings import CPU, Finding
from rtbench.analysis.statistics.across_stacks import AcrossStacks
from rtbench.analysis.statistics.judgement import Comparison

LONGEST = 120
"""Characters of a line."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One line and the metric that it is about."""

    text: str
    metric: str

    def row(self) -> dict[str, Any]:
        """The row of report.json's `claims[]`."""
        return {"text": self.text, "metric": self.metric}


def sentences(evidence: Evidence) -> list[Sentence]:
    """One to four; of a search for capacities, a line a subject."""
    if evidence.campaign.capacities:
        return [Sentence(cut(text), "capacity") for text in capacity.sentences(evidence, LONGEST)]
    return [Sentence(line(one), _about(one, evidence.latency)) for one in found.findings(evidence)]


def cut(text: str) -> str:
    """The text, cut where it is too long for a line."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _about(one: Finding, latency: str) -> str:
    if isinstance(one, (found.Spread, found.Grown, found.Changed)):
        return one.metric
    return "lost" if isinstance(one, found.Delivered) else latency


def line(one: Finding) -> str:
    """The longest of a finding's wordings that fits; the shortest is cut where none does."""
    wordings = [naming.capital(text) if not _begins_with_own(one) else text for text in _wordings(one)]
    return next((text for text in wordings if len(text) <= LONGEST), cut(wordings[-1]))


def _wordings(one: Finding) -> list[str]:
    """A finding in words, longest first."""
    match one:
        case found.Nothing():
            return list(_nothing(one))
        case found.Alone():
            return list(_alone(one.subject))
        case found.Alike():
            return list(_alike(one))
        case found.Apart():
            return list(_apart(one))
        case found.Across():
            return list(_across(one))
        case found.Spread():
            return list(_spread(one))
        case found.Grown():
            return list(_grown(one))
        case found.Changed():
            return list(_changed(one))
        case found.Order():
            return list(_order(one))
        case found.Delivered():
            return list(_delivered(one))
    assert_never(one)


def _begins_with_own(one: Finding) -> bool:
    """Whether the line begins with a name that a user made up: it keeps its first letter."""
    match one:
        case found.Alone() | found.Apart():
            return naming.own(one.subject.subject)
        case found.Alike():
            return naming.own(one.subjects[0])
    return False


def _nothing(one: found.Nothing) -> Iterator[str]:
    text = "Nothing was measured"
    if not one.trials:
        yield f"{text}: the folder has no finished trial"
        return
    text += f": {_count(one.trials, 'trial')} failed or cannot be read"
    why = " ".join(one.why.split())
    if why:
        yield f"{text} ({why})"
        yield f"{text} ({why[: LONGEST - len(text) - 4]}…)"
    yield text


def _alone(one: found.Measured) -> Iterator[str]:
    name = naming.title(one.subject) + _every(one)
    facts = [f"data {brief(one.age_ns)} old"] if one.age_ns else ["latency not measured"]
    tail = [f"{brief(one.tail_ns)} at the 99th percentile"] if one.tail_ns else []
    cost = [f"{brief(one.cpu_ns)} of server CPU a message"] if one.cpu_ns else ["server CPU not measured"]
    yield f"{name}: {', '.join([*facts, *tail, *cost])}"
    yield f"{name}: {', '.join([*facts, *cost])}"
    yield f"{_cut(name)}: {', '.join([*facts, *cost])}"


def _alike(one: found.Alike) -> Iterator[str]:
    names = _against(one.subjects, one.beside)
    several = f"{_count(len(one.subjects), 'subject')} against {naming.title(one.beside)}"
    both = [clause(what, known) for what, known in (("latency", one.latency), ("server CPU", one.cpu))]
    together = clause("latency and server CPU", [*one.latency, *one.cpu])
    if all(text.startswith("too few") for text in both) or not (one.latency or one.cpu):
        texts = [together]
    else:
        same = both[0].removeprefix("latency") == both[1].removeprefix("server CPU")
        bounds = f"latency {_within(one.latency)}, CPU {_within(one.cpu)}"
        texts = [f"no difference seen: {together if same else ', '.join(both)}", f"no difference seen ({bounds})"]
    for who in (names, several, _cut(several)):
        for text in texts:
            yield f"{who}: {text}"


def clause(what: str, comparisons: Sequence[Comparison]) -> str:
    """What comparisons without a difference say together of `what`: the widest of their statements."""
    unresolved = [c.could_be_up_to or 0.0 for c in comparisons if c.verdict == "not resolved"]
    if unresolved:
        return f"{what} could differ by up to {_share(max(unresolved))}"
    if not comparisons:
        return f"no block has both, so {what} cannot be compared"
    if any(c.verdict == "too few blocks" for c in comparisons):
        return f"too few blocks to compare {what}"
    return f"{what} equivalent within ±{format.share(comparisons[0].margin)}"


def _within(comparisons: Sequence[Comparison]) -> str:
    """The same in two words, for a line that is too long: rounded up to whole percents."""
    unresolved = [c.could_be_up_to or 0.0 for c in comparisons if c.verdict == "not resolved"]
    if unresolved:
        return f"within {_share(math.ceil(max(unresolved) * 100) / 100)}"
    if not comparisons or any(c.verdict == "too few blocks" for c in comparisons):
        return "in too few blocks"
    return f"within ±{format.share(comparisons[0].margin)}"


def _apart(one: found.Apart) -> Iterator[str]:
    mine = one.subject
    names = _against([mine.subject], one.beside, _every(mine))
    facts = []
    if one.latency is not None and one.latency.different and mine.every_s is None:
        facts.append(f"data {times(one.latency)} as old ({brief(mine.age_ns)})")
    elif mine.age_ns and (mine.every_s is not None or one.latency is None):
        facts.append(f"data {brief(mine.age_ns)} old")
    elif one.latency is not None:
        facts.append(clause("latency", [one.latency]))
    if one.cpu is not None:
        facts.append(f"{times(one.cpu)} the server CPU" if one.cpu.different else clause("server CPU", [one.cpu]))
    yield f"{names}: {', '.join(facts)}"
    yield f"{_cut(naming.title(mine.subject))} against {_cut(naming.title(one.beside))}: {', '.join(facts)}"


def _against(subjects: Sequence[ComparedSubject], beside: ComparedSubject, every: str = "") -> str:
    """`WebSocket against SSE on aiohttp`: the stack once where all share it."""
    shared = {s.stack for s in subjects} == {beside.stack} and not any(map(naming.own, [*subjects, beside]))
    return f"{naming.listed(subjects, shared)}{every} against {naming.title(beside)}"


def _across(one: found.Across) -> Iterator[str]:
    every = f" every {one.every_s:g} s" if one.every_s is not None else ""
    name, beside = naming.transport(one.transport), naming.transport(one.beside)
    where = f"{len(one.stacks)} stacks" if len(one.stacks) > 2 else " and ".join(map(naming.stack, one.stacks))
    for who in (f"{name}{every} against {beside} on {where}", f"{name} against {beside}, {len(one.stacks)} stacks"):
        for cpu in ("server CPU", "CPU"):
            known = (("latency", one.latency), (cpu, one.cpu))
            yield f"{who}: {', '.join(over_stacks(what, row, len(one.stacks)) for what, row in known if row)}"


def over_stacks(what: str, row: AcrossStacks, of: int) -> str:
    """`latency 0.86× to 4.6× (depends on the stack)`: a range of ratios only where a stack shows a difference.

    `of`: the stacks of the line. A row with fewer, since one has no valid trial, says so.
    """
    count = len(row.stacks)
    match row.verdict:
        case "on every stack" | "depends on the stack":
            return f"{what} {spanned(row)} ({holds(row, of)})"
        case "no difference seen on any":
            some = f" of {count}" if count < of else ""
            return f"{what} no different on any{some} ({_within(row.comparisons)})"
        case "not resolved":
            differ = sum(c.different for c in row.comparisons)
            return f"{what} not resolved (differs on {differ} of {count})"
        case "too few stacks":
            shown = f"{what} {spanned(row)} " if all(c.different for c in row.comparisons) else f"{what} "
            return f"{shown}(too few stacks)"
    assert_never(row.verdict)


def holds(row: AcrossStacks, of: int) -> str:
    """The verdict, for a line or table of so many stacks: `on all 4 measured` where one of them has no valid trial."""
    count = len(row.stacks)
    return f"on all {count} measured" if row.verdict == "on every stack" and count < of else row.verdict


def spanned(row: AcrossStacks) -> str:
    """`0.86× to 4.6×`; one number where all stacks say the same."""
    return " to ".join(dict.fromkeys(_times(end) for end in row.range))


def _spread(one: found.Spread) -> Iterator[str]:
    what = "server CPU a message" if one.metric == CPU else "latency"
    low = f"lowest {naming.title(one.lowest)} ({brief(one.low_ns)})"
    apart = one.comparison is not None and one.comparison.different
    ratio = f", {times(one.comparison)}" if one.comparison is not None and apart else ""
    high = f"highest {naming.title(one.highest)} ({brief(one.high_ns)}{ratio})"
    rest = [f"{one.others} between"] if one.others else []
    alike = [f"{one.alike} no different from the lowest"] if one.alike else []
    yield f"{what}: {low}, {high}; {', '.join([*rest, *alike])}".rstrip("; ")
    yield f"{what}: {low}, {high}{f'; {rest[0]}' if rest else ''}"
    names = [_cut(naming.title(subject)) for subject in (one.lowest, one.highest)]
    yield f"{what}: lowest {names[0]}, highest {names[1]} ({brief(one.high_ns)}{ratio})"


def _grown(one: found.Grown) -> Iterator[str]:
    what = _what(one.metric)
    if not one.exponents:
        yield f"{what} over {_key(one.part.key)}: too few complete blocks for {naming.listed(one.missing)}"
        yield f"{what} over {_key(one.part.key)}: too few complete blocks"
        return
    _, any_row = one.exponents[0]
    where = f"From {any_row.first:,g} to {any_row.last:,g} {_key(one.part.key)}: {what}"
    known = [(s, (e.last / e.first) ** e.exponent) for s, e in one.exponents if not e.low <= 0 <= e.high]
    open_ = len(one.exponents) - len(known)
    missing = f"; too few blocks for {len(one.missing)}" if one.missing else ""
    if not known:
        yield f"{where}, no change seen for {_count(len(one.exponents), 'subject')}{missing}"
        return
    ordered = sorted(known, key=lambda row: row[1])
    ends = [ordered[0], ordered[-1]] if len(ordered) > 1 else ordered
    factors = " to ".join(f"{_times(factor)} ({naming.title(s)})" for s, factor in ends)
    unchanged = f"; no change seen for {open_}" if open_ else ""
    yield f"{where} {factors}{unchanged}{missing}"
    yield f"{where} {factors}"
    yield f"{where} {' to '.join(_times(factor) for _, factor in ends)}{unchanged}"


def _changed(one: found.Changed) -> Iterator[str]:
    first, last = one.part.cells[0][0], one.part.cells[-1][0]
    where = f"{_what(one.metric)}, {_key(one.part.key)} {last} against {first}"
    if not one.effects:
        yield f"{where}: too few complete blocks to say"
        return
    differ = [(s, e.comparison) for s, e in one.effects if e.comparison.different]
    rest = [e.comparison for _, e in one.effects if not e.comparison.different]
    known = [f"{naming.title(s)} {times(c)}" for s, c in differ]
    if len(one.effects) == 1 and rest:
        yield f"{where}: {clause(naming.title(one.effects[0][0]), rest)}"
    others = [clause(_count(len(rest), "other" if known else "subject"), rest)] if rest else []
    yield f"{where}: {'; '.join([*known, *others])}"
    yield f"{where}: different for {len(differ)} of {_count(len(one.effects), 'subject')}"


def _order(one: found.Order) -> Iterator[str]:
    names = dict(one.names)
    over = _key(one.part.key)
    unresolved = f"; {one.unresolved} of {one.pairs} pairs not resolved" if one.unresolved else ""
    if not one.flips:
        yield f"Over {over}, no pair is seen to change its order{unresolved}"
        return
    row = one.flips[0]
    flip = row.flips[0]
    lower = [naming.title(names[name]) if name in names else name for name in (flip.lower_before, flip.lower_after)]
    what, value = _what(row.metric), format.number(flip.value)
    more = f"; {_count(len(one.flips) - 1, 'more flip')}" if len(one.flips) > 1 else ""
    yield f"{what} is lower on {lower[0]} up to some {value} {over}, on {lower[1]} beyond{more}{unresolved}"
    yield f"{what}: {lower[0]} is lower up to some {value} {over}, {lower[1]} beyond{more}"
    yield f"Over {over}, {len(one.flips)} of {_count(one.pairs, 'pair')} change their order{unresolved}"


def _delivered(one: found.Delivered) -> Iterator[str]:
    kinds = {name: getattr(one, name) for name in ("lost", "duplicated", "reordered", "corrupted")}
    trials = one.valid + one.invalid + one.failed
    valid = f"{one.valid} of {_count(trials, 'trial')} valid"
    aside = [f"{count} {name}" for name, count in (("invalid", one.invalid), ("failed", one.failed)) if count]
    full = f"{valid} ({', '.join(aside)})" if aside else valid
    if not any(kinds.values()):
        text = f"Nothing lost, duplicated, reordered or corrupted in {_count(one.expected, 'delivery', 'deliveries')}"
    else:
        seen = ", ".join(f"{count:,} {name}" for name, count in kinds.items() if count)
        text = f"{seen} of {_count(one.expected, 'expected delivery', 'expected deliveries')}"
    if one.unmeasured:
        names = naming.listed(one.unmeasured)
        yield f"{text}; {full}; not measured: {names}"
        yield f"{text}; {full}; {_count(len(one.unmeasured), 'subject')} not measured"
    yield f"{text}; {full}"
    yield f"{text}; {valid}"


def times(one: Comparison) -> str:
    """`4.6×`: two digits, or as many as show the difference."""
    return _times(one.ratio)


def _times(ratio: float) -> str:
    digits = 2
    while float(f"{ratio:.{digits}g}") == 1 and digits < 7:
        digits += 1
    value = float(f"{ratio:.{digits}g}")
    return f"{value:,.0f}×" if value >= 100 else f"{value:.{max(digits, 2)}g}×"


def brief(ns: float | None) -> str:
    """`16 ms`, `0.66 ms`, `500 ms`: two digits; three from 100 on."""
    if ns is None:
        return format.MISSING
    divisor, unit = format.scale("ns", ns)
    value = ns / divisor
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"


def _share(value: float) -> str:
    return format.share(value) if value < 1 else f"{_times(1 + value)}"


def _what(metric: str) -> str:
    return "server CPU a message" if metric == CPU else "latency"


_KEYS = {
    "workload.rate_hz": "messages a second",
    "workload.payload_bytes": "bytes of payload",
    "poll.interval_s": "seconds between polls",
}


def _key(key: str) -> str:
    return _KEYS.get(key, key)


def _every(one: found.Measured) -> str:
    return f" every {one.every_s:g} s" if one.every_s is not None else ""


def _cut(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:29]}…"


def _count(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
