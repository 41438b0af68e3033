"""Coming back after the server was killed: how long it took, how big the herd was (R6)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("recovery_p50_ns", "Back, median subscriber", logarithmic=True),
    Panel("recovery_max_ns", "Back, the last one", logarithmic=True),
    Panel("herd_peak_hz", "Attempts, busiest 100 ms"),
)


@figure("recovery", 65, "Recovery after the server was killed")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS)
    if canvas is None:
        return None
    caption = (
        "From the kill of the server until a message comes on a connection that was made after it, over the "
        "subscribers of a trial (the time that the server was away is in it); and the rate of connection attempts in "
        "the busiest 100 ms after the kill. A subject whose last subscriber never came back has no place in the second "
        f"panel. {ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
