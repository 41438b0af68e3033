"""Where the time goes: the publisher's lag, server and network, the load generator's own queueing (R2)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("due_to_sent_p50_ns", "Plan → publisher ready", logarithmic=True),
    Panel("sent_to_kernel_p50_ns", "Sent → client's kernel", logarithmic=True),
    Panel("kernel_to_app_p50_ns", "Kernel → client's code", logarithmic=True),
)


@figure("parts", 20, "The three parts of latency")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS, share_axis=True)
    if canvas is None:
        return None
    caption = (
        "Median of each part over the messages of a trial, on one log axis: the publisher's lag (planned → ready to "
        "send), server and network (→ client's kernel; for polling with the wait for the next request in it) and "
        "the load generator's own queueing (→ client's code), which is not the subject's. Medians of parts do not "
        f"add up to the median of the whole. {ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
