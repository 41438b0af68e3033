"""A sweep in words: the sentences of the first screen and the tables of the report.

Invariant: every exponent and crossover carries its interval, its range and, where it is none, why; nothing here is
computed, only said. Called by the report (HTML and Markdown) and by the claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.metrics import find
from rtbench.analysis.sweep.curves import bases
from rtbench.analysis.sweep.rows import Crossover, Exponent, Fresh, Slice, Sweep

NAMED = 6
"""Subjects or crossovers that a sentence names before it points to the table."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report: headings without the first, rows with their name first."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def where(part: Slice | Crossover | Exponent) -> str:
    """`subscribers`, `subscribers at workload.rate_hz = 5`."""
    at = ", ".join(f"{key} = {value}" for key, value in part.at.items())
    return f"{part.key} at {at}" if at else part.key


def exponent(row: Exponent | None) -> str:
    """`1.02 [0.98, 1.06]`, with what has to be known: that it bends, that the range is shorter."""
    if row is None:
        return format.MISSING
    text = f"{_power(row.exponent)} [{_power(row.low)}, {_power(row.high)}]"
    return f"{text}, bends: {_power(row.steps[0])} to {_power(row.steps[-1])}" if row.bends else text


def _power(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no minus zero


def crossover(row: Crossover) -> str:
    """Where the order flips, that it does not, or that it is not known."""
    span = f"{format.number(row.first)} to {format.number(row.last)}"
    if row.status == "crosses":
        return "; ".join(
            f"{f.lower_before} is lower up to {format.number(f.value)} [{format.number(f.low)}, "
            f"{format.number(f.high)}], {f.lower_after} beyond"
            for f in row.flips
        )
    if row.status == "none in range":
        return f"none in {span}: {row.lower} is lower throughout"
    open_ = ", ".join(f"{format.number(low)} to {format.number(high)}" for low, high in row.undecided)
    return f"not resolved: no order is seen at {open_}" if open_ else f"not resolved: within the noise floor, {span}"


def sentences(evidence: Evidence, sweep: Sweep) -> tuple[str, str]:
    """What the curves say of latency, and of cost and order: the first two lines of the report."""
    latency, cpu = evidence.headline[0], "server_cpu_ns_per_message"
    place = "the client's kernel" if "kernel" in latency else "the client's application, there being no kernel stamps"
    first = next((part for part in sweep.slices if part.numeric), None)
    if first is None:
        return (
            f"Median latency at {place}, {_changes(sweep, latency)}.",
            f"Server CPU per delivered message, {_changes(sweep, cpu)}.",
        )
    return (
        f"Median latency at {place}, as a power of {where(first)} — {_growth(evidence, sweep, first, latency)}"
        f"{_order(sweep, first, latency)}.",
        f"Server CPU per delivered message, as a power of {where(first)} — {_growth(evidence, sweep, first, cpu)}"
        f"{_order(sweep, first, cpu)}.",
    )


def _growth(evidence: Evidence, sweep: Sweep, part: Slice, metric: str) -> str:
    said, missing = [], []
    for subject in bases(evidence):
        found = sweep.exponent(part, subject.base, metric)
        if found is not None:
            arm = f" ({subject.arm} arm)" if len(evidence.arms) > 1 and subject.arm != "controlled" else ""
            said.append(f"{subject.base}{arm} {exponent(found)}")
        else:
            missing.append(subject.base)
    more = [f"{len(said) - NAMED} more in the table"] if len(said) > NAMED else []
    none = [f"too few complete blocks for {', '.join(missing)}"] if missing else []
    return ", ".join([*said[:NAMED], *more, *none])


def _changes(sweep: Sweep, metric: str) -> str:
    """`faults.deaf: 1 relative to 0 — sse-aiohttp equivalent within ±5 % (0.987× [0.970, 1.01])`, of the first key."""
    part = sweep.slices[0]
    said = []
    for one in sweep.changes:
        if (one.key, one.at, one.comparison.metric) == (part.key, part.at, metric):
            said.append(f"{one.subject} {format.statement(one.comparison)}")
    more = [f"{len(said) - NAMED} more in report.json"] if len(said) > NAMED else []
    (first, *_, last) = (value for value, _ in part.cells)
    found = "; ".join([*said[:NAMED], *more]) or "too few complete blocks"
    return f"{where(part)}: {last} relative to {first} — {found}"


def _order(sweep: Sweep, part: Slice, metric: str) -> str:
    mine = [c for c in sweep.crossovers if (c.key, c.at, c.metric) == (part.key, part.at, metric)]
    flips = [f"{c.a} and {c.b}: {crossover(c)}" for c in mine if c.status == "crosses"]
    if not mine:
        return ""
    if not flips:
        open_ = sum(c.status == "not resolved" for c in mine)
        return "; no order is seen to flip in this range" + (f" ({open_} of {len(mine)} not resolved)" if open_ else "")
    more = [f"{len(flips) - NAMED} more in the table"] if len(flips) > NAMED else []
    return "; the order flips: " + "; ".join([*flips[:NAMED], *more])


def curves(evidence: Evidence, sweep: Sweep) -> list[Table]:
    """A table a metric and slice: a row a subject, a column a value of the key."""
    tables = []
    for part in sweep.slices:
        for metric in dict.fromkeys(c.metric for c in sweep.curves):
            mine = [c for c in sweep.curves if (c.key, c.at, c.metric) == (part.key, part.at, metric)]
            if any(p.median is not None for c in mine for p in c.points):
                rows = tuple(
                    (c.subject, tuple(format.summary(evidence.summary(p.subject, metric)) for p in c.points))
                    for c in mine
                )
                heads = tuple(str(value) for value, _ in part.cells)
                tables.append(Table(f"{find(metric).title} over {where(part)}", heads, rows))
    return tables


def exponents(evidence: Evidence, sweep: Sweep) -> list[Table]:
    """A table a slice: a row a subject, a column a metric."""
    tables = []
    metrics = list(dict.fromkeys(e.metric for e in sweep.exponents))
    for part in sweep.slices:
        if any((e.key, e.at) == (part.key, part.at) for e in sweep.exponents):
            rows = tuple(
                (s.base, tuple(exponent(sweep.exponent(part, s.base, metric)) for metric in metrics))
                for s in bases(evidence)
            )
            tables.append(Table(where(part), tuple(find(metric).title for metric in metrics), rows))
    return tables


def tally(sweep: Sweep) -> str:
    """`of 36 pairs 2 cross, 30 keep their order throughout, 4 are not resolved`."""
    found = [c.status for c in sweep.crossovers]
    crosses, none, open_ = (found.count(status) for status in ("crosses", "none in range", "not resolved"))
    return f"of {len(found)} pairs {crosses} cross, {none} keep their order throughout, {open_} are not resolved"


def crossovers(sweep: Sweep) -> list[tuple[str, str, str, bool]]:
    """(over what, metric and pair, what is seen, whether across arms), what flips first."""
    return [(where(c), f"{find(c.metric).title}: {c.a}, {c.b}", crossover(c), c.across) for c in ordered(sweep)]


def ordered(sweep: Sweep) -> list[Crossover]:
    """What flips first, then what is not resolved."""
    order = ("crosses", "not resolved", "none in range")
    return sorted(sweep.crossovers, key=lambda c: order.index(c.status))


def freshness(sweep: Sweep) -> Table | None:
    """Age and cost of every subject at every poll interval."""
    if not sweep.freshness:
        return None
    heads = ("poll interval", "age, median", "age, p99", "server CPU / msg", "TCP down / msg", "TCP up / msg")
    return Table("Cost at equal freshness", heads, tuple((row.subject, _fresh(row)) for row in sweep.freshness))


def _fresh(row: Fresh) -> tuple[str, ...]:
    at = "".join(f", {key} = {value}" for key, value in row.at.items())
    tail = "" if row.age_tail_ns[0] is None or "within_tick" not in row.age_tail else " (over subscribers)"
    return (
        (format.quantity(row.interval_s * 1e9, "ns") if row.polls else "does not poll") + at,
        format.interval(row.age_ns, "ns"),
        format.interval(row.age_tail_ns, "ns") + tail,
        format.interval(row.cpu_ns, "ns"),
        format.interval(row.bytes_down, "bytes"),
        format.interval(row.bytes_up, "bytes"),
    )
