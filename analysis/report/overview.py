"""The first table: a row a subject, named in words, with what decides; each number with its interval.

Invariant: a column that no subject has a number for is left out. Called by the report, for Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, total
from rtbench.analysis.report import naming
from rtbench.analysis.report.findings import CPU, tails


@dataclass(frozen=True, slots=True)
class Row:
    """`title`: the subject in words; `name`: its id; `arm`: the plain name of its arm, empty where arms say nothing;
    `trials`: how many count, of how many; `cells` as the headings."""

    title: str
    name: str
    arm: str
    trials: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Headings of the cells, and the rows: one arm after the other, in the scenario's order."""

    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    arms: tuple[tuple[str, str], ...]
    """Plain name and explanation of each arm; empty where arms say nothing."""


def table(evidence: Evidence) -> Overview:
    """Without rows when nothing was measured."""
    if not any(r.metrics for r in evidence.results):
        return Overview((), (), ())
    arms = naming.arms(evidence)
    columns = [(head, metrics) for head, metrics in _columns(evidence) if evidence.known(metrics)]
    rows = []
    for arm, subjects in evidence.arms:
        for subject in subjects:
            cells = [format.summary(evidence.summary(subject.name, metric)) for _, metric in columns]
            trials = f"{subject.usable} of {subject.trials}"
            plain = naming.ARMS.get(arm, (arm, ""))[0] if arms else ""
            rows.append(Row(_title(subject), subject.name, plain, trials, (*cells, _lost(evidence, subject))))
    return Overview((*(head for head, _ in columns), "lost"), tuple(rows), tuple(arms))


def _columns(evidence: Evidence) -> Sequence[tuple[str, str]]:
    latency = evidence.latency
    in_time, in_tick = tails(latency)
    return (
        ("latency, median", latency),
        ("99 % in time", in_time) if evidence.known(in_time) else ("99 % of subscribers", in_tick),
        ("server CPU / message", CPU),
        ("bytes down / message", "tcp_down_bytes_per_message"),
        ("bytes up / message", "tcp_up_bytes_per_message"),
        ("server memory / connection", "server_memory_bytes_per_connection"),
        ("kernel memory / connection", "kernel_memory_bytes_per_connection"),
    )


def _title(subject: ComparedSubject) -> str:
    cell = ", ".join(f"{key} = {value}" for key, value in subject.cell.items())
    name = subject.base if naming.own(subject) else naming.capital(naming.title(subject))
    return f"{name}, {cell}" if cell else name


def _lost(evidence: Evidence, subject: ComparedSubject) -> str:
    measured = [r for r in evidence.of(subject.name) if r.metrics]
    return f"{total(measured, 'lost'):,}" if measured else format.MISSING
