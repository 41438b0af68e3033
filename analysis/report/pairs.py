"""Comparisons as the report shows them: every pair in every headline metric, a matrix a metric, campaigns combined.

Invariant: a cell has the report's own verdict (`Evidence.comparison`); a cell across two stacks says so (R10). Called
by the report, for HTML and Markdown alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.campaigns.trials import item_name
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.metrics import find
from rtbench.analysis.statistics.compare import bounded_exp


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A cell of a comparison matrix. `side`: "lower", "higher", "equivalent", "open" (not resolved, or too few blocks),
    "empty"."""

    text: str
    side: str
    across: bool
    """True when the two subjects run on different stacks."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Row subject relative to column subject."""

    metric: str
    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MatrixCell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Subject `a` relative to subject `b` in every headline metric; `cells` as the headings that `pairs` gives."""

    a: str
    b: str
    across: bool
    cells: tuple[MatrixCell, ...]
    basis: tuple[str, ...]
    """What each cell rests on: its blocks, and q in its family."""


def _headlines(evidence: Evidence) -> list[str]:
    """The metrics that decide and have a comparison."""
    compared = {c.metric for c in evidence.comparisons}
    return [metric for metric in (*evidence.headline, "recovery_p50_ns") if metric in compared]


_SHORT = {
    "latency_kernel_p50_ns": "latency, median",
    "latency_app_p50_ns": "latency, median (application)",
    "latency_kernel_p99_ns": "99 % in time",
    "latency_app_p99_ns": "99 % in time (application)",
    "latency_kernel_within_tick_p99_ns": "99 % of subscribers",
    "latency_app_within_tick_p99_ns": "99 % of subscribers (application)",
    "server_cpu_ns_per_message": "server CPU / message",
    "machine_busy_ns_per_message": "whole machine / message",
    "tcp_down_bytes_per_message": "bytes down / message",
    "server_memory_bytes_per_connection": "server memory / connection",
    "recovery_p50_ns": "recovery, median",
}


def pairs(evidence: Evidence) -> tuple[list[str], list[Pair]]:
    """Every pair of subjects in every headline metric: the headings, and a row a pair. Pairs on one stack first."""
    metrics = _headlines(evidence)
    members = [s for group in naming.groups(evidence) for s in group.subjects]
    found = []
    for place, b in enumerate(members):
        for a in members[place + 1 :]:
            across = a.stack != b.stack
            cells = tuple(_cell(evidence, metric, a.name, b.name, across) for metric in metrics)
            if a.cell == b.cell and any(cell.side != "empty" for cell in cells):
                basis = tuple(_basis(evidence, metric, a.name, b.name) for metric in metrics)
                found.append(Pair(a.name, b.name, across, cells, basis))
    return [_SHORT.get(metric, find(metric).title) for metric in metrics], sorted(found, key=lambda pair: pair.across)


def matrices(evidence: Evidence) -> list[Matrix]:
    """One for every metric that decides and has a comparison; in a sweep, one a cell."""
    members = [s for group in naming.groups(evidence) for s in group.subjects]
    found = []
    for metric in _headlines(evidence):
        for cell in evidence.campaign.cells:
            here = [s for s in members if s.cell == cell]
            if any(c.metric == metric and c.cell == cell for c in evidence.comparisons):
                rows = tuple(
                    (a.base, tuple(_cell(evidence, metric, a.name, b.name, a.stack != b.stack) for b in here))
                    for a in here
                )
                title = item_name(find(metric).title, cell)
                found.append(Matrix(metric, title, tuple(s.base for s in here), rows))
    return found


def _cell(evidence: Evidence, metric: str, a: str, b: str, across: bool) -> MatrixCell:
    found = evidence.comparison(metric, a, b)
    if found is None:
        return MatrixCell("", "empty", across)
    sides = {"a lower": "lower", "a higher": "higher", "equivalent": "equivalent"}
    text = format.ratio(found)
    if found.different and text.startswith("1.00×"):  # a difference of bytes may be smaller than three digits show
        text = f"{found.ratio:.6f}".rstrip("0") + "×"
    words = "too few blocks" if found.verdict == "too few blocks" else format.undecided(found)
    note = f"; {words}" if words else ""
    return MatrixCell(text + note, sides.get(found.verdict, "open"), across)


def _basis(evidence: Evidence, metric: str, a: str, b: str) -> str:
    """`3 blocks, q = 0.012 (headline metrics)`."""
    found = evidence.comparison(metric, a, b)
    if found is None:
        return format.MISSING
    q = "" if found.q is None else f", q = {found.q:.2g}"
    return f"{found.blocks} block{'s' * (found.blocks != 1)}{q}{f' ({found.family})' if found.family else ''}"


@dataclass(frozen=True, slots=True)
class CombinedTable:
    """Several campaigns: a row a pair and headline metric, a column a campaign and some for all together."""

    count: int
    title: str
    heads: list[str]
    rows: list[tuple[str, list[str]]]


def combined(evidence: Evidence) -> CombinedTable:
    """What each of several campaigns says by itself, and all together; without rows for one campaign."""
    names, words = evidence.campaign.names, naming.headings(evidence.subjects)
    rows = []
    for metric in _headlines(evidence):
        for one in evidence.combined:
            if one.together.metric != metric:
                continue
            effects, each = one.effects, dict(one.each)
            own = [format.ratio(each[at]) if at in each else format.MISSING for at in range(len(names))]
            tau = format.MISSING if effects.tau is None else format.share(bounded_exp(effects.tau) - 1)
            i2 = format.MISSING if effects.i2 is None else f"{effects.i2:.0%}"
            ends = (
                format.MISSING
                if effects.predicted is None
                else " to ".join(f"{format.number(bounded_exp(end))}×" for end in effects.predicted)
            )
            name = (
                f"{_SHORT.get(metric, find(metric).title)}: {words[one.together.a]} relative to {words[one.together.b]}"
            )
            rows.append((name, [*own, format.ratio(one.together), tau, i2, ends]))
    heads = [*names, "combined", "τ", "I²", "next"]
    return CombinedTable(len(names), "random effects over campaigns", heads, rows)
