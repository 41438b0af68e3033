"""What a message costs, as a product: how often something is done for it × the server CPU of each time (R17).

For a poll that is a request, for a push a data segment, which is what the client sees of the server's writes.
Invariant: the numbers of a row are geometric means over the trials in which all three count. The product holds exactly
in every trial, and so it does of geometric means; of medians it would not. Called by the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence

PRODUCT = "server_cpu_ns_per_message"


@dataclass(frozen=True, slots=True)
class Split:
    """The two metrics whose product is PRODUCT, and what a reader sees of them."""

    title: str
    count: str
    each: str
    headings: tuple[str, ...]
    note: str


POLL = Split(
    "What a poll costs",
    "requests_per_message",
    "server_cpu_ns_per_request",
    ("requests / message", "× server CPU / request", "= server CPU / message"),
    "The transport decides the number of requests, with the poll interval and the rate of messages.",
)
PUSH = Split(
    "What a push costs",
    "tcp_segments_per_message",
    "server_cpu_ns_per_segment",
    ("segments / message", "× server CPU / segment", "= server CPU / message"),
    "A segment is what a client sees of a write; heartbeats are counted, too.",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The factors of a subject's CPU per message, and their product, over so many trials."""

    count: float
    each_ns: float
    message_ns: float
    trials: int


def cost(evidence: Evidence, split: Split, subject: str) -> Cost | None:
    """None for a subject of another kind, or without a trial in which both factors and their product count."""
    rows = []
    for result in evidence.of(subject):
        count, each_ns, message_ns = (result.usable(metric) for metric in (split.count, split.each, PRODUCT))
        if count and each_ns and message_ns:
            rows.append((count, each_ns, message_ns))
    if not rows:
        return None
    count, each_ns, message_ns = (_mean(column) for column in zip(*rows, strict=True))
    return Cost(count, each_ns, message_ns, len(rows))


def table(evidence: Evidence, split: Split) -> list[tuple[str, list[str]]]:
    """A row a subject, its cells as the split's headings."""
    found = [(subject.name, cost(evidence, split, subject.name)) for subject in evidence.subjects]
    return [
        (name, [format.number(one.count), format.quantity(one.each_ns, "ns"), format.quantity(one.message_ns, "ns")])
        for name, one in found
        if one is not None
    ]


def _mean(values: Sequence[float]) -> float:
    """Geometric."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
