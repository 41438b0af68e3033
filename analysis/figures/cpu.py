"""Processor time per delivered message: server, load generator, whole machine (R4)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("server_cpu_ns_per_message", "Server", logarithmic=True),
    Panel("client_cpu_ns_per_message", "Load generator", logarithmic=True),
    Panel("machine_busy_ns_per_message", "Whole machine", logarithmic=True),
)


@figure("cpu", 30, "Processor time per message")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS, share_axis=True)
    if canvas is None:
        return None
    caption = (
        "Processor time in the window, over whole processes and gross, divided by the messages that arrived in it, "
        "on one log axis. On loopback the kernel bills the receivers' softirq work to the sender, so part of the "
        "server's is the clients'; the whole machine has everything, idle connections and empty polls too. "
        f"{ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
