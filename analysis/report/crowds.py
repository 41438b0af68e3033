"""The report's tables of crowds: a storm, in which many return at once, and churn, in which visitors come and go.

Invariant: as in `tables`: a cell is what a reader sees, a row begins with its subject's name, and without visitors or a
cut the table has no rows. Called by the report's page.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, Result, total
from rtbench.analysis.report import tables

Rows = tuple[list[str], list[tuple[str, list[str]]]]

STORM = (
    ("storm_cut", "cut"),
    ("storm_subscribed_max_ns", "all subscribed again"),
    ("storm_minimum_ns", "the least, by arithmetic"),
    ("storm_server_cpu_ns_per_return", "server CPU / return"),
    ("storm_listen_overflows", "listen queue full"),
    ("storm_attempts_failed", "failed attempts"),
    ("storm_gap", "due while away"),
    ("storm_uncut_before_p50_ns", "not cut: median before"),
    ("storm_uncut_p50_ns", "median in the storm"),
    ("storm_uncut_before_max_ns", "latest before"),
    ("storm_uncut_max_ns", "latest in the storm"),
)


def storm(evidence: Evidence) -> Rows:
    """What a storm did, with what was missed for good in all trials; no rows without one."""
    if not evidence.known("storm_cut"):
        return [], []
    headings, rows = tables.values(evidence, [(name, title) for name, title in STORM if evidence.known(name)])
    missed = {name: total(evidence.of(name), "storm_missed") for name in evidence.names}
    return [*headings, "missed for good"], [(name, [*cells, f"{missed[name]:,}"]) for name, cells in rows]


CHURN = (
    ("churn_visits", "visits"),
    ("churn_failed", "failed"),
    ("churn_subscribed_p50_ns", "subscribed, median"),
    ("churn_subscribed_p99_ns", "subscribed, 99 %"),
    ("churn_first_message_p50_ns", "first message, median"),
    ("churn_first_message_p99_ns", "first message, 99 %"),
    ("churn_server_memory_before_bytes", "server memory before"),
    ("churn_server_memory_after_bytes", "after"),
    ("churn_descriptors_kept", "descriptors kept"),
)
_AUDIT = ("expected", "lost", "duplicated", "reordered", "corrupted", "undecided")


def churn(evidence: Evidence) -> Rows:
    """What visitors had and cost; the audit's numbers are of all trials together; no rows without visitors."""
    if not evidence.known("churn_visits"):
        return [], []
    headings, rows = tables.values(evidence, [(name, title) for name, title in CHURN if evidence.known(name)])
    found = []
    for name, cells in rows:
        results = evidence.of(name)
        found.append((name, [*cells, _cost(results), *(f"{total(results, f'churn_{kind}'):,}" for kind in _AUDIT)]))
    return [*headings, "server CPU / join", *_AUDIT], found


def _cost(results: Sequence[Result]) -> str:
    """`320 µs [280, 350]`: the middle trial's, by its value, with its own interval."""
    name = "churn_server_cpu_ns_per_join"
    known = sorted(
        (value, low, high)
        for result in results
        if (value := result.usable(name)) is not None
        and (low := result.metrics.get(f"{name}_low")) is not None
        and (high := result.metrics.get(f"{name}_high")) is not None
    )
    return format.interval(known[(len(known) - 1) // 2], "ns") if known else format.MISSING
