"""The report's tables as rows of text: results, comparison matrices, audit, trials, every metric, set-up.

Invariant: a cell is what a reader sees (formatted), a row carries its arm, and no table puts two arms in one line
(R10). Called by the report, for HTML and Markdown alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.campaigns.trials import item_name
from rtbench.analysis.evidence import ComparedSubject, Evidence, Result, origin, total
from rtbench.analysis.metrics import catalogue, find
from rtbench.analysis.report.caveat import written
from rtbench.analysis.report.caveats import stalled
from rtbench.analysis.statistics.compare import bounded_exp
from rtbench.analysis.sweep.cells import flat

_HEIGHTS = ("payload", "tcp_down", "tcp_up", "wire")
COUNTS = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A cell of a comparison matrix. `side`: "lower", "higher", "equivalent", "open" (not resolved, or too few blocks),
    "empty"."""

    text: str
    side: str
    across: bool
    """True when the two subjects are of different arms: stacks differ."""


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


def results(evidence: Evidence) -> tuple[list[str], list[tuple[ComparedSubject, list[str]]]]:
    """The first table: a line a subject with what decides, and the headings."""
    columns = decides(evidence)
    rows = [
        (subject, [format.summary(evidence.summary(subject.name, metric)) for metric in columns])
        for _, subjects in evidence.arms
        for subject in subjects
    ]
    return list(columns.values()), rows


def decides(evidence: Evidence) -> dict[str, str]:
    """The metrics of the first table and their headings."""
    side = "kernel" if "kernel" in evidence.latency else "app"
    return {
        evidence.latency: "latency p50",
        f"latency_{side}_p99_ns": "p99 in time",
        f"latency_{side}_within_tick_p99_ns": "p99 over subscribers",
        "server_cpu_ns_per_message": "server CPU / msg",
        "tcp_down_bytes_per_message": "TCP down / msg",
        "tcp_up_bytes_per_message": "TCP up / msg",
        "first_message_p50_ns": "first message",
    }


def _headlines(evidence: Evidence) -> list[str]:
    """The metrics that decide and have a comparison."""
    compared = {c.metric for c in evidence.comparisons}
    return [metric for metric in (*evidence.headline, "recovery_p50_ns") if metric in compared]


_SHORT = {
    "latency_kernel_p50_ns": "latency p50",
    "latency_app_p50_ns": "latency p50 (application)",
    "latency_kernel_p99_ns": "p99 in time",
    "latency_app_p99_ns": "p99 in time (application)",
    "latency_kernel_within_tick_p99_ns": "p99 over subscribers",
    "latency_app_within_tick_p99_ns": "p99 over subscribers (application)",
    "server_cpu_ns_per_message": "server CPU / msg",
    "machine_busy_ns_per_message": "whole machine / msg",
    "tcp_down_bytes_per_message": "TCP down / msg",
    "server_memory_bytes_per_connection": "server memory / connection",
    "recovery_p50_ns": "recovery p50",
}


def pairs(evidence: Evidence) -> tuple[list[str], list[Pair]]:
    """Every pair of subjects in every headline metric: the headings, and a row a pair. Pairs within an arm first."""
    metrics = _headlines(evidence)
    members = [s for _, subjects in evidence.arms for s in subjects]
    found = []
    for place, b in enumerate(members):
        for a in members[place + 1 :]:
            across = a.arm != b.arm
            cells = tuple(_cell(evidence, metric, a.name, b.name, across) for metric in metrics)
            if a.cell == b.cell and any(cell.side != "empty" for cell in cells):
                basis = tuple(_basis(evidence, metric, a.name, b.name) for metric in metrics)
                found.append(Pair(a.name, b.name, across, cells, basis))
    return [_SHORT.get(metric, find(metric).title) for metric in metrics], sorted(found, key=lambda pair: pair.across)


def matrices(evidence: Evidence) -> list[Matrix]:
    """One for every metric that decides and has a comparison; in a sweep, one a cell."""
    arm = {s.name: s.arm for s in evidence.subjects}
    found = []
    for metric in _headlines(evidence):
        for cell in evidence.campaign.cells:
            here = [s for _, subjects in evidence.arms for s in subjects if s.cell == cell]
            if any(c.metric == metric and c.cell == cell for c in evidence.comparisons):
                rows = tuple(
                    (a.base, tuple(_cell(evidence, metric, a.name, b.name, arm[a.name] != arm[b.name]) for b in here))
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
    note = f"; {words}" if (words := format.undecided(found)) else ""
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
    names = evidence.campaign.names
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
            name = f"{_SHORT.get(metric, find(metric).title)}: {one.together.a} relative to {one.together.b}"
            rows.append((name, [*own, format.ratio(one.together), tau, i2, ends]))
    heads = [*names, "combined", "τ", "I²", "next"]
    return CombinedTable(len(names), "random effects over campaigns", heads, rows)


def values(evidence: Evidence, columns: Sequence[tuple[str, str]]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What a figure draws: `columns` are (metric, heading); a row a subject that has some."""
    rows = []
    for subject in evidence.subjects:
        found = [evidence.summary(subject.name, metric) for metric, _ in columns]
        if any(row is not None and row.median is not None for row in found):
            rows.append((subject.name, [format.summary(row) for row in found]))
    return [heading for _, heading in columns], rows


RECOVERY = (
    ("recovery_p50_ns", "back, median"),
    ("recovery_p99_ns", "back, 99 %"),
    ("recovery_max_ns", "back, the last"),
    ("herd_peak_hz", "attempts in the busiest 100 ms"),
    ("attempts_per_recovery", "attempts each"),
    ("replayed", "replayed"),
    ("given_up", "given up"),
)


def recovery(evidence: Evidence) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Coming back after the server's kill, with what was lost in spite of the replay; no rows without a kill."""
    known = {s.metric for s in evidence.summaries if s.median is not None}
    if "herd_peak_hz" not in known:
        return [], []
    headings, rows = values(evidence, [(metric, title) for metric, title in RECOVERY if metric in known])
    lost = {name: total(evidence.of(name), "lost") for name in evidence.names}
    return [*headings, "lost"], [(name, [*cells, f"{lost[name]:,}"]) for name, cells in rows]


def audit(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Exact integers over a subject's measured trials (R3)."""
    rows = []
    for subject in evidence.subjects:
        measured = [r for r in evidence.of(subject.name) if r.metrics]
        totals = [total(measured, kind) for kind in (*COUNTS, "connections_failed")]
        rows.append((subject.name, [f"{len(measured)}", *(f"{n:,}" for n in totals)]))
    return rows


def layers(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Bytes per message at the layers that were counted, beside what the specifications make of it (R5)."""
    rows = []
    for subject in evidence.subjects:
        found = [evidence.summary(subject.name, f"{name}_bytes_per_message") for name in _HEIGHTS]
        arithmetic = [r.framed_bytes_per_message for r in evidence.of(subject.name) if r.framed_bytes_per_message]
        cells = [format.summary(row) for row in found]
        cells.insert(2, format.quantity(arithmetic[0], "bytes") if arithmetic else format.MISSING)
        rows.append((subject.name, cells))
    return rows


def trials(evidence: Evidence) -> list[list[str]]:
    """Every trial in the order it was run, with what decides."""
    latency = evidence.latency
    latest = latency.replace("_p50_", "_max_")
    return [
        [
            str(r.trial.number), str(r.trial.block), str(r.trial.attempt), r.trial.item, r.trial.status, r.trial.counts,
            format.quantity(r.metrics.get(latency), "ns"),
            format.quantity(r.metrics.get(latest), "ns"),
            format.quantity(r.metrics.get("server_cpu_ns_per_message"), "ns"),
            format.quantity(r.metrics.get("delivered"), "messages"),
            format.quantity(r.metrics.get("lost"), "messages"),
            format.quantity(r.metrics.get("stamped_share"), "share"),
            "; ".join(_remarks(r)),
        ]
        for r in evidence.results
    ]  # fmt: skip


def left_out(evidence: Evidence) -> list[tuple[str, str, str, str, str, str]]:
    """What does not count: trial, subject, block, attempt, metrics ("all": every one), and why."""
    return [
        (str(row.number), row.item, str(row.block), str(row.attempt), row.words, row.why)
        for row in origin.left_out(evidence.results)
    ]


HALVES = (
    ("latency_kernel_p50_ns", "latency p50"),
    ("latency_app_p50_ns", "latency p50 (application)"),
    ("server_cpu_ns_per_message", "server CPU / msg"),
    ("client_cpu_ns_per_message", "client CPU / msg"),
)


def halves(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """The second half of the window against the first: a row a subject, its median and the lowest and highest.

    No rows for campaigns measured before manifests had halves.
    """
    rows = []
    for subject in evidence.subjects:
        pairs = [r.trial.manifest.get("halves") for r in evidence.of(subject.name) if r.trial.measured]
        cells = [_change([pair for pair in pairs if pair and len(pair) == 2], metric) for metric, _ in HALVES]
        if any(cell != format.MISSING for cell in cells):
            rows.append((subject.name, cells))
    return rows


def _change(pairs: Sequence[Sequence[Mapping[str, float | None]]], metric: str) -> str:
    """`+0.4 % [-1.1, +2.0]`."""
    changes = [100 * (second / first - 1) for first, second in _known(pairs, metric)]
    if not changes:
        return format.MISSING
    return f"{statistics.median(changes):+.1f} % [{min(changes):+.1f}, {max(changes):+.1f}]"


def _known(pairs: Sequence[Sequence[Mapping[str, float | None]]], metric: str) -> Iterator[tuple[float, float]]:
    for first, second in pairs:
        one, other = first.get(metric), second.get(metric)
        if one and other:
            yield one, other


def _remarks(result: Result) -> list[str]:
    """Why a trial was put aside, and what stood still in it."""
    said = [str(reason.get("message", "")) for reason in result.trial.reasons]
    return said if result.stall is None else [*said, written(stalled(result.stall))]


def everything(evidence: Evidence) -> list[tuple[str, str, list[str]]]:
    """Every metric that some subject has: name, title, a cell a subject."""
    rows = []
    for metric in catalogue():
        found = [evidence.summary(s.name, metric.name) for s in evidence.subjects]
        if any(row is not None and row.median is not None for row in found):
            rows.append((metric.name, metric.title, [format.summary(row) for row in found]))
    return rows


def calibration(evidence: Evidence) -> list[tuple[str, str, str, str, str, bool]]:
    """The known truths of this machine's calibration: check, expected, measured, deviation, allowed, met (R16)."""
    if evidence.calibration is None:
        return []
    return [
        (
            row["name"],
            f"{format.number(row['expected'])} {row['unit']}".strip(),
            format.number(row["measured"]),
            f"{row['deviation']:+.3g}" if row["deviation"] else "0",
            row["allowed"],
            row["met"],
        )
        for row in evidence.calibration["checks"]
    ]


def settings(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A nested table (scenario, environment) as dotted keys and texts."""
    return [
        (key, ", ".join(map(_word, value)) if isinstance(value, list) else str(value))
        for key, value in flat(table).items()
    ]


def _word(value: object) -> str:
    """`what=server at_s=2` rather than braces, for a table inside a list."""
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
