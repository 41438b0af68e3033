"""Which subjects stand for a transport on a stack, and every transport beside SSE over the stacks (R17).

Invariant: a stack has at most one subject a transport here, the one that is called TRANSPORT-STACK: no variant
(`sse-aiohttp-simple`), no proxy (`sse-aiohttp+nginx`), no second label (`sse-aiohttp@2`). A user's own subject counts
when it is named in that way. Only comparisons within one stack go in, and they are the report's own. Called when
evidence is gathered, and by the claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtbench.analysis.evidence import naming
from rtbench.analysis.evidence.model import ComparedSubject, Evidence
from rtbench.analysis.statistics.across_stacks import AcrossStacks, across

BESIDE = "sse"
"""The transport that the matrix sets all others beside."""

TRANSPORTS = ("sse", "websocket", "short-poll", "long-poll")
"""Those that a reader chooses between; `tcp` is a floor."""


def plain(subject: ComparedSubject) -> bool:
    """Whether it stands for its transport on its stack."""
    name = naming.today(subject.base, subject.stack)
    return subject.transport in TRANSPORTS and name == f"{subject.transport}-{subject.stack}"


def metrics(evidence: Evidence) -> tuple[str, ...]:
    """The metrics of the matrix: latency (median, and its tails where they are eligible), server CPU, bytes, memory."""
    latency, within_tick, in_time = evidence.headline[:3]
    return (
        latency, within_tick, in_time, "server_cpu_ns_per_message", "tcp_down_bytes_per_message",
        "server_memory_bytes_per_connection", "kernel_memory_bytes_per_connection",
    )  # fmt: skip


def matrix(evidence: Evidence) -> tuple[AcrossStacks, ...]:
    """A row a cell, metric and transport that some stack compares with SSE; none where no transport is on two stacks.
    A row of one stack says "too few stacks"."""
    rows = [
        found
        for cell in evidence.campaign.cells
        for metric in metrics(evidence)
        for transport in TRANSPORTS
        if transport != BESIDE and (found := over(evidence, metric, transport, cell=cell)) is not None
    ]
    return tuple(rows) if any(len(row.stacks) > 1 for row in rows) else ()


def over(
    evidence: Evidence, metric: str, transport: str, relative_to: str = BESIDE, cell: Mapping[str, Any] | None = None
) -> AcrossStacks | None:
    """One metric of a transport relative to another over the stacks that compare both; None where no stack does."""
    found = {
        a.stack: comparison
        for a, b in pairs(evidence, transport, relative_to, cell or {})
        if (comparison := evidence.comparison(metric, a.name, b.name)) is not None
    }
    return across(metric, transport, relative_to, found, cell) if found else None


def pairs(
    evidence: Evidence, transport: str, relative_to: str, cell: Mapping[str, Any]
) -> Iterator[tuple[ComparedSubject, ComparedSubject]]:
    """The plain subjects of two transports on each stack that has both."""
    here = {(s.transport, s.stack): s for s in evidence.subjects if s.cell == cell and plain(s)}
    for (found, stack), subject in here.items():
        if found == transport and (relative_to, stack) in here:
            yield subject, here[relative_to, stack]
