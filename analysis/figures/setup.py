"""What it takes to begin: TCP connect, first response byte, first message (R6)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("connect_p50_ns", "TCP connected", logarithmic=True),
    Panel("response_p50_ns", "First response byte", logarithmic=True),
    Panel("first_message_p50_ns", "First message", logarithmic=True),
)


@figure("setup", 50, "Set-up")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS, share_axis=True)
    if canvas is None:
        return None
    caption = (
        "Median over the connections of a trial, each from the start of its own attempt, on one log axis; attempts "
        "that failed are counted in the table, not here. The first message has the wait for the next tick in it. "
        f"{ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
