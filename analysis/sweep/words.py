"""A sweep in words: the tables of the report.

Invariant: every exponent and crossover carries its interval and its range, or why there is none; nothing here is
computed, only written. Called by the report (HTML and Markdown) and by the claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.metrics import find
from rtbench.analysis.sweep.curves import bases
from rtbench.analysis.sweep.rows import Crossover, Exponent, Fresh, Slice, Sweep


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


def crossover(row: Crossover, names: Mapping[str, str]) -> str:
    """Where the order flips, that it does not, or that it is not known. `names`: subjects in words."""
    span = f"{format.number(row.first)} to {format.number(row.last)}"
    if row.status == "crosses":
        return "; ".join(
            f"{names[f.lower_before]} is lower up to {format.number(f.value)} [{format.number(f.low)}, "
            f"{format.number(f.high)}], {names[f.lower_after]} beyond"
            for f in row.flips
        )
    if row.status == "none in range" and row.lower is not None:
        return f"none in {span}: {names[row.lower]} is lower throughout"
    open_ = ", ".join(f"{format.number(low)} to {format.number(high)}" for low, high in row.undecided)
    return f"not resolved: no order is seen at {open_}" if open_ else f"not resolved: within the noise floor, {span}"


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


def crossovers(evidence: Evidence, sweep: Sweep) -> list[tuple[str, str, str, bool]]:
    """(over what, metric and pair, what is seen, whether across arms), what flips first."""
    names = {s.base: naming.title(s) for s in evidence.subjects}
    return [
        (where(c), f"{find(c.metric).title}: {names[c.a]}, {names[c.b]}", crossover(c, names), c.across)
        for c in ordered(sweep)
    ]


def ordered(sweep: Sweep) -> list[Crossover]:
    """What flips first, then what is not resolved."""
    order = ("crosses", "not resolved", "none in range")
    return sorted(sweep.crossovers, key=lambda c: order.index(c.status))


def freshness(sweep: Sweep) -> Table | None:
    """Age and cost of every subject at every poll interval."""
    if not sweep.freshness:
        return None
    heads = (
        "poll interval",
        "age, median",
        "age, p99",
        "server CPU / message",
        "bytes down / message",
        "bytes up / message",
    )
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
