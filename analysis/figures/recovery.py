"""Coming back after the server was killed or connections were cut: how long it took, how big the herd was (R6)."""

from __future__ import annotations

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import Panel, dots, ending

_PANELS = (
    Panel("recovery_p50_ns", "Back, median subscriber", logarithmic=True),
    Panel("recovery_max_ns", "Back, the last one", logarithmic=True),
    Panel("herd_peak_hz", "Attempts, busiest 100 ms"),
)


@figure("recovery", 65, "Recovery after a kill or a cut")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = dots(evidence, _PANELS)
    if canvas is None:
        return None
    caption = (
        "From the kill of the server, or the cut of connections, until a message comes on a connection that was made "
        "after it, over the subscribers that had to reconnect (the time that a server was away is in it); and the rate "
        "of connection attempts in the busiest 100 ms after it. A subject whose last subscriber never came back has no "
        f"place in the second panel. {ending(evidence, _PANELS)}"
    )
    return Drawing(canvas, caption, tuple((p.metric, p.title) for p in _PANELS))
