"""What a connection holds and costs while it is there: slopes over a ladder of connection counts (R4)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("server_memory_bytes_per_connection", "Server, streaming"),
    Panel("server_memory_idle_bytes_per_connection", "Server, idle"),
    Panel("kernel_memory_bytes_per_connection", "Kernel, both ends"),
    Panel("idle_cpu_ns_per_connection_second", "CPU per idle second"),
)


@figure("memory", 45, "Per connection")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS)
    if canvas is None:
        return None
    ladder = (evidence.campaign.document.get("scenario") or {}).get("memory", {}).get("ladder") or []
    caption = (
        f"Slopes of a line through {', '.join(f'{rung:,}' for rung in ladder)} connections of one server, one slope a "
        "trial: proportional set size of the server after it collected its garbage and trimmed its allocator, while "
        "messages are published and before; what the kernel holds for sockets (slab objects and TCP buffers of both "
        "ends, since both are on this machine); processor time of a server whose connections carry nothing. "
        f"{ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
