"""A storm: how long until all are back, what a return costs the server, what those that were not cut noticed."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("storm_subscribed_max_ns", "All subscribed again", logarithmic=True),
    Panel("storm_server_cpu_ns_per_return", "Server CPU per return"),
    Panel("storm_uncut_max_ns", "Latest message, not cut", logarithmic=True),
)


@figure("storm", 66, "A storm")
def draw(evidence: Evidence) -> Drawing | None:
    if not evidence.known("storm_cut"):
        return None
    canvas = dots(evidence, _PANELS)
    if canvas is None:
        return None
    caption = (
        "From the moment at which connections were cut until the last of these subscribers had an answer on a new "
        "connection; the processor time of the server in that time, beyond what those that were there cost before, by "
        "those that returned; and the highest latency in that time at the subscribers that were not cut. A "
        f"subject whose last one never returned has no place in the first two panels. {ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS if evidence.known(p.metric)))
