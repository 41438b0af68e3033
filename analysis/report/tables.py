"""The report's tables as rows of text: audit, bytes, recovery, growth, trials, every metric, set-up.

Invariant: a cell is what a reader sees (formatted), a row begins with its subject's name. The first table is
`overview`'s, comparisons are `pairs`'. Called by the report, for HTML and Markdown alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, Result, origin, total
from rtbench.analysis.metrics import catalogue
from rtbench.analysis.report.caveat import written
from rtbench.analysis.report.caveats import stalled
from rtbench.analysis.sweep.cells import flat

_HEIGHTS = ("payload", "tcp_down", "tcp_up", "wire")
COUNTS = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")


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


GROWTH = {"server": "server memory / hour", "load": "load memory / hour"}
Slope = tuple[float | None, float | None, float | None]


def growth(evidence: Evidence) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What server and load gained over a long window: a row a trial; no rows where no window is long enough."""
    rows = []
    for result in evidence.results:
        slopes = [_slope(result.metrics, process) for process in GROWTH]
        if all(slope[0] is None for slope in slopes):
            continue
        gained = [result.metrics.get(f"{process}_descriptors_growth") for process in GROWTH]
        cells = [
            *(format.interval(slope, "bytes") for slope in slopes),
            *(_flat(slope) for slope in slopes),
            *(format.MISSING if value is None else f"{value:+.0f}" for value in gained),
        ]
        rows.append((result.trial.item, cells))
    flat = [f"{process}'s holds 0" for process in GROWTH]
    return [*GROWTH.values(), *flat, *(f"{process} descriptors" for process in GROWTH)], rows


def _slope(metrics: Mapping[str, float | None], process: str) -> Slope:
    name = f"{process}_memory_growth_bytes_per_hour"
    return metrics.get(name), metrics.get(f"{name}_low"), metrics.get(f"{name}_high")


def _flat(slope: Slope) -> str:
    _, low, high = slope
    return format.MISSING if low is None or high is None else "yes" if low <= 0 <= high else "no"


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
    ("latency_kernel_p50_ns", "latency, median"),
    ("latency_app_p50_ns", "latency, median (application)"),
    ("server_cpu_ns_per_message", "server CPU / message"),
    ("client_cpu_ns_per_message", "client CPU / message"),
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
            f"{_number(row.get('expected'))} {row.get('unit') or ''}".strip(),
            _number(row.get("measured")),
            f"{row['deviation']:+.3g}" if row["deviation"] else "0",
            row.get("allowed") or format.MISSING,
            row["met"],
        )
        for row in evidence.calibration["checks"]
    ]


def _number(value: float | None) -> str:
    return format.MISSING if value is None else format.number(value)


def settings(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A nested table (scenario, environment) as dotted keys and texts."""
    return [
        (key, ", ".join(map(_word, value)) if isinstance(value, list) else str(value))
        for key, value in flat(table).items()
    ]


def _word(value: object) -> str:
    """`what=server at_s=2` rather than braces, for a table inside a list."""
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
