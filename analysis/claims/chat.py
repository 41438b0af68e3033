"""Claim 8: WebSocket wins where clients send, too.

Latency is from the moment a message was due to be sent until each receipt; what sending costs is in the server's
processor time: a frame on a connection that is there, or a POST of its own.
"""

from __future__ import annotations

from rtbench.analysis.claims.claim import Finding, Hypothesis
from rtbench.analysis.claims.points import OVER_STACKS, compared, judged, pairs, sentence
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.sweep.cells import at, scenario


def judge(evidence: Evidence) -> Finding | None:
    table = scenario(evidence)
    senders = at(table, "chat.senders")
    if not senders:
        return None
    found = [(a.name, b.name) for a, b in pairs(evidence, ("websocket",), ("sse", "short-poll", "long-poll"))]
    decides = (evidence.latency, "server_cpu_ns_per_message")
    points = [p for a, b in found for m in decides if (p := compared(evidence, m, a, b)) is not None]
    if not points:
        return None
    beside = [p for a, b in found if (p := compared(evidence, "tcp_up_bytes_per_message", a, b)) is not None]
    outcome = judged(evidence, points, "a lower")
    verdicts = {p.verdict for p in points}
    if outcome == "not resolved" and "a lower" in verdicts and "a higher" not in verdicts:
        outcome = "supported"  # lower somewhere, higher nowhere: that is to win
    return Finding(outcome, sentence([*points, *beside]), (*points, *beside), _flips(table, senders))


def _flips(table: object, senders: float) -> str:
    subscribers = at(table, "subscribers") if isinstance(table, dict) else None
    if not subscribers:
        return ""
    return (
        f"Here {senders:,.0f} of {subscribers:,.0f} send, and each sent message is delivered {subscribers:,.0f} times. "
        "A POST's extra cost is once a sent message, so it weighs more with fewer receivers and with a larger share "
        "that sends; sweep chat.senders and subscribers to see where."
    )


HYPOTHESIS = Hypothesis(
    number=8,
    claim="WebSocket wins where clients send, too (chat).",
    hypothesis="Where subscribers send, WebSocket delivers sooner or for less server CPU than SSE or polls with POST "
    "on the same stack, and is worse in neither.",
    test="Median latency from send to receipt and server CPU per delivered message, WebSocket against each other "
    "transport of its stack, block-paired with a 95 % interval. Supported when some ratio is below 1 and none above; "
    f"contradicted when one is above. {OVER_STACKS}",
    scenario="rtbench run chat --claims",
    metric="server_cpu_ns_per_message",
    judge=judge,
)
