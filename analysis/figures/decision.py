"""The decision figure: latency, server CPU and bytes, side by side. Of a sweep the curves are that (`sweep`)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending


@figure("decision", 0, "What it takes to decide")
def draw(evidence: Evidence) -> Drawing | None:
    if evidence.swept:
        return None
    latency = evidence.latency
    where = "kernel" if "kernel" in latency else "application"
    panels = [
        Panel(latency, "Latency, median", logarithmic=True),
        Panel("server_cpu_ns_per_message", "Server CPU per message", logarithmic=True),
        Panel("tcp_down_bytes_per_message", "TCP bytes per message", logarithmic=True),
    ]
    canvas = dots(evidence, panels)
    if canvas is None:
        return None
    caption = (
        f"Further left is better. Delivery latency from the planned time to the client's {where} (median over the "
        "messages of a trial; for polling it is the age of the data when the client holds it), processor time of "
        "the server and TCP bytes from server to client, both per delivered message. Log axes. "
        f"{ending(evidence, panels)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in panels))
