"""Bytes per delivered message at the layers that were counted: payload, TCP stream down and up (R5)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("payload_bytes_per_message", "Payload"),
    Panel("tcp_down_bytes_per_message", "TCP, server → client"),
    Panel("tcp_up_bytes_per_message", "TCP, client → server"),
    Panel("wire_bytes_per_message", "Wire, both directions"),
)


@figure("traffic", 40, "Bytes per message")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS, share_axis=True)
    if canvas is None:
        return None
    caption = (
        "Bytes per message that arrived in the window, on one linear axis: the payload itself, and the TCP stream "
        "in both directions with envelopes, request and response heads and pings (TCP_INFO at the edges of the "
        "window, so set-up is not in it). IP and TCP headers are not counted unless the wire was. "
        f"{ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
