"""Claim 2: SSE is more efficient than WebSocket for server-to-client updates.

Processor time decides; bytes, memory and latency stand beside it. Where bytes flip is arithmetic (framing.py): the
envelope that WebSocket needs to carry an id against an event's field names.
"""

from __future__ import annotations

from functools import cache

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Point
from rtbench.analysis.claims.points import OVER_STACKS, compared, judged, pairs, sentence
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.samples.framing import FRAMED

METRIC = "server_cpu_ns_per_message"
BESIDE = (
    "machine_busy_ns_per_message", "tcp_down_bytes_per_message", "server_memory_bytes_per_connection",
    "kernel_memory_bytes_per_connection",
)  # fmt: skip
PAYLOADS = range(1, 100_001)


def judge(evidence: Evidence) -> Finding | None:
    found = [(a.name, b.name) for a, b in pairs(evidence, ("sse",), ("websocket",))]
    points = [p for a, b in found if (p := compared(evidence, METRIC, a, b)) is not None]
    if not points:
        return None
    beside = (evidence.latency, *BESIDE)
    more = [p for a, b in found for m in beside if (p := compared(evidence, m, a, b)) is not None]
    outcome = judged(evidence, points, "a lower")
    return Finding(outcome, sentence([*points, *more]), (*points, *more), _flips(points, evidence))


def _flips(points: list[Point], evidence: Evidence) -> str:
    """How far CPU could differ where that is not resolved, and where the bytes cross."""
    found = [evidence.comparison(METRIC, p.a, p.b) for p in points]
    open_ = [one.could_be_up_to for one in found if one is not None and one.could_be_up_to is not None]
    seen = f"CPU could still differ by up to {format.share(max(open_))} here. " if open_ else ""
    return f"{seen}{bytes_by_specification()}"


@cache
def bytes_by_specification(seq: int = 1000) -> str:
    """Where the bytes of one event and one frame cross, by arithmetic, at an id of four digits."""
    difference = [(n, FRAMED["sse"](seq, n) - FRAMED["websocket"](seq, n)) for n in PAYLOADS]
    spans: list[tuple[int, int]] = []
    for payload, by in difference:
        if not spans or spans[-1][1] != by:
            spans.append((payload, by))
    words = {True: "more", False: "fewer"}
    text = "; ".join(
        f"from {payload:,} B {'as many bytes' if by == 0 else f'{abs(by)} {words[by > 0]}'}" for payload, by in spans
    )
    return f"By the specifications SSE sends, against WebSocket and its envelope, by size of the payload: {text}."


HYPOTHESIS = Hypothesis(
    number=2,
    claim="SSE is more efficient than WebSocket for server-to-client updates.",
    hypothesis="An SSE server spends less processor time for each delivered message than a WebSocket server of the "
    "same stack that writes in the same way.",
    test="Server CPU per message, SSE against WebSocket on one stack and technique, block-paired with a 95 % interval. "
    "Supported when every ratio is below 1, contradicted when one is above. "
    f"{OVER_STACKS} Latency, whole machine, bytes and memory stand beside it and do not decide.",
    scenario="rtbench run matrix",
    metric=METRIC,
    judge=judge,
)
