"""What a poll costs: requests a message × CPU a request = CPU a message, a row a polling subject (R17).

Invariant: the numbers of a row are geometric means over the trials in which all three count. The product holds exactly
in every trial, and so it does of geometric means; of medians it would not. Called by the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence

FACTORS = ("requests_per_message", "server_cpu_ns_per_request")
PRODUCT = "server_cpu_ns_per_message"
HEADINGS = ("requests / message", "× server CPU / request", "= server CPU / message", "polls without a message")


@dataclass(frozen=True, slots=True)
class PollCost:
    """The two factors of a polling subject's CPU per message, and their product, over so many trials."""

    requests: float
    request_ns: float
    message_ns: float
    trials: int


def cost(evidence: Evidence, subject: str) -> PollCost | None:
    """None for a subject that does not poll, or without a trial in which both factors and their product count."""
    rows = []
    for result in evidence.of(subject):
        requests, request_ns, message_ns = (result.usable(metric) for metric in (*FACTORS, PRODUCT))
        if requests and request_ns and message_ns:
            rows.append((requests, request_ns, message_ns))
    if not rows:
        return None
    return PollCost(*(_mean(column) for column in zip(*rows, strict=True)), len(rows))


def table(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """The cells as HEADINGS."""
    rows = []
    for subject in evidence.subjects:
        found = cost(evidence, subject.name)
        if found is not None:
            empty = evidence.summary(subject.name, "empty_poll_share")
            cells = [
                format.number(found.requests),
                format.quantity(found.request_ns, "ns"),
                format.quantity(found.message_ns, "ns"),
                format.quantity(empty.median if empty else None, "share"),
            ]
            rows.append((subject.name, cells))
    return rows


def _mean(values: Sequence[float]) -> float:
    """Geometric."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
