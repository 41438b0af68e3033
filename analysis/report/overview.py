"""The first table: a row a subject, named in words, with what decides; each number with its interval.

Invariant: values, not text, so that report.html and report.md render the same table; a column that no subject has a
number for is left out. Called by the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtbench.analysis.evidence import ComparedSubject, Evidence, naming, total
from rtbench.analysis.report.findings import CPU, tails
from rtbench.analysis.statistics.compare import Summary


@dataclass(frozen=True, slots=True)
class Column:
    """A metric, the heading above it, and what the heading does not say; often empty."""

    metric: str
    head: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A subject. `title`: in words; `cells`: as the columns; `lost`: exact, None where no trial was measured."""

    subject: ComparedSubject
    title: str
    cells: tuple[Summary | None, ...]
    lost: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an arm, its plain name and one line about it; both are empty where arms say nothing."""

    name: str
    line: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The columns, and the rows by arm."""

    columns: tuple[Column, ...]
    groups: tuple[Rows, ...]

    @property
    def named(self) -> bool:
        """Whether arms say something."""
        return any(group.name for group in self.groups)

    @property
    def count(self) -> int:
        return sum(len(group.rows) for group in self.groups)


def table(evidence: Evidence) -> Overview:
    """Without rows when nothing was measured."""
    if not any(r.metrics for r in evidence.results):
        return Overview((), ())
    columns = tuple(column for column in _columns(evidence) if evidence.known(column.metric))
    return Overview(
        columns,
        tuple(
            Rows(group.name, group.line, tuple(_row(evidence, subject, columns) for subject in group.subjects))
            for group in naming.groups(evidence)
        ),
    )


def _columns(evidence: Evidence) -> Iterator[Column]:
    latency = evidence.latency
    yield Column(latency, "latency, median")
    in_time, in_tick = tails(latency)
    if evidence.known(in_time):
        yield Column(in_time, "99 % in time", "99 % of the messages of a window arrive within it")
    else:
        yield Column(
            in_tick, "99 % of subscribers", "by then 99 % of the subscribers have a message; the median over messages"
        )
    yield Column(CPU, "server CPU / message")
    yield Column("tcp_down_bytes_per_message", "bytes down / message")
    yield Column("tcp_up_bytes_per_message", "bytes up / message")
    yield Column("server_memory_bytes_per_connection", "server memory / connection")
    yield Column("kernel_memory_bytes_per_connection", "kernel memory / connection", "of both ends of the connection")


def _row(evidence: Evidence, subject: ComparedSubject, columns: tuple[Column, ...]) -> Row:
    measured = [r for r in evidence.of(subject.name) if r.metrics]
    cells = tuple(evidence.summary(subject.name, column.metric) for column in columns)
    return Row(subject, naming.heading(subject), cells, total(measured, "lost") if measured else None)
