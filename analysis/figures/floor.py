"""Every cost as a multiple of the plain TCP floor, where a campaign measured one (arm `floor`)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._dots import room
from rtbench.analysis.figures._style import (
    FAINT,
    WIDTH_IN,
    arms,
    fill,
    height,
    ink_of,
    label_rows,
    mark,
    quantity_axis,
    rows,
    shape_of,
)
from rtbench.analysis.statistics.compare import Estimate

ARM = "floor"

_PANELS = (
    ("latency_kernel_p50_ns", "Latency, median"),
    ("server_cpu_ns_per_message", "Server CPU"),
    ("machine_busy_ns_per_message", "Whole machine"),
    ("tcp_down_bytes_per_message", "TCP bytes down"),
)


@figure("floor", 35, "Multiples of the floor")
def draw(evidence: Evidence) -> Drawing | None:
    base = next((s for s in evidence.subjects if s.arm == ARM), None)
    if base is None:
        return None
    found = {
        (metric, s.name): ratio
        for metric, _ in _PANELS
        for s in evidence.subjects
        if (ratio := evidence.comparison(metric, s.name, base.name)) is not None
    }
    shown = [(metric, title) for metric, title in _PANELS if any(m == metric for m, _ in found)]
    if not shown:
        return None
    canvas = Figure(figsize=(WIDTH_IN, height(evidence)), layout="constrained")
    grid = canvas.subplots(1, len(shown), squeeze=False, sharex=True)[0]
    places = rows(evidence)
    for place, ((metric, title), axes) in enumerate(zip(shown, grid, strict=True)):
        for at, subject in places:
            if isinstance(subject, ComparedSubject) and (metric, subject.name) in found:
                _ratio(axes, subject, found[metric, subject.name], title, at)
        axes.axvline(1.0, color=FAINT, linewidth=0.8)
        label_rows(axes, places, names=place == 0)
        axes.set_title(title)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    for axes in grid:
        room(axes, grid)
        quantity_axis(axes, "×", logarithmic=True)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}×"))
    blocks = sorted({ratio.blocks for ratio in found.values()})
    n = str(blocks[0]) if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
    caption = (
        f"Each subject relative to {naming.title(base)} (a line a message, no protocol): what is right "
        "of the line is what the transport and its stack add. Mean ratio over the blocks that have both (dot) and its "
        f"95 % t-interval of block-paired log-ratios (bar), one log axis; n = {n} blocks.{arms(evidence)}"
    )
    return Drawing(canvas, caption, metrics=tuple(metric for metric, _ in shown))


def _ratio(axes: Axes, subject: ComparedSubject, ratio: Estimate, title: str, at: float) -> None:
    ink = ink_of(subject)
    words = f"{naming.heading(subject)}, {title}: {format.ratio(ratio)} the floor"
    if ratio.low is not None and ratio.high is not None:
        (bar,) = axes.plot([ratio.low, ratio.high], [at, at], color=ink, linewidth=1.6, solid_capstyle="butt")
        mark(bar, subject.name, words)
    (dot,) = axes.plot(
        [ratio.ratio], [at], marker=shape_of(subject), markersize=6, color=ink, markerfacecolor=fill(subject)
    )
    mark(dot, subject.name, words)
