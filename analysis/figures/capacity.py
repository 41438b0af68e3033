"""The probes of a search for capacities: offered load against what was late or lost, with both ends of the bracket."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import FAINT, WIDTH_IN, ink_of, label, log_ticks
from rtbench.analysis.sweep import curves
from rtbench.records.capacity import CapacityRecord, ProbeRow, SubjectCapacity

_COLUMNS = 3
_FLOOR = 20.0
"""The lowest share on the axis is the limit over this; what is lower stands there."""
_LONG = 1.5


@figure("capacity", 1, "Capacity")
def draw(evidence: Evidence) -> Drawing | None:
    if not evidence.campaign.capacities:
        return None
    found = evidence.campaign.capacities[0]
    subjects = {one.base: one for one in curves.bases(evidence)}
    shown = [one for one in found.subjects if one.probes and one.subject in subjects]
    if not shown:
        return None
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    canvas = Figure(figsize=(WIDTH_IN, 0.5 + 2.3 * rows), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    panels = [axes for line in grid for axes in line]
    for axes, one in zip(panels, shown, strict=False):
        _panel(axes, found, one, subjects[one.subject])
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[-columns:]:
        axes.set_xlabel(found.by)
    for line in grid:
        line[0].set_ylabel("late or lost")
    limit = 100 * (1 - found.slo.quantile)
    caption = (
        f"Share of the expected deliveries that came after {found.slo.latency_ms:g} ms or never, over {found.by}: "
        "a mark a probe. Filled: it holds; hollow: it fails; cross: the harness may have spoiled it; large: a longer "
        f"window. Dashed: the limit, {limit:.3g} %. Shaded: the bracket, from the confirmed to the refuted value, "
        f"or open to the right. Both axes are logarithmic; shares below {limit / _FLOOR:.2g} % "
        "stand at the lower edge. Of several campaigns, the first."
    )
    return Drawing(canvas, caption)


def _panel(axes: Axes, found: CapacityRecord, one: SubjectCapacity, subject: ComparedSubject) -> None:
    limit, ink = max(1 - found.slo.quantile, 1e-4), ink_of(subject)
    floor = limit / _FLOOR
    usual_s = min((row.window_s for row in one.probes if row.window_s), default=0.0)
    values = [row.value for row in one.probes]
    left, right = (
        0.8 * min(row.value for s in found.subjects for row in s.probes),
        1.25 * max(row.value for s in found.subjects for row in s.probes),
    )
    if one.low is not None:
        axes.axvspan(one.low, one.high if one.high is not None else right, color=ink, alpha=0.15, linewidth=0)
    axes.axhline(limit, color=FAINT, linewidth=0.8, linestyle="--")
    for row in one.probes:
        _mark(axes, row, max(_share(row), floor), ink, row.window_s >= _LONG * usual_s > 0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(0.7 * floor, 1.6)
    axes.xaxis.set_major_locator(FixedLocator(log_ticks(left, right, 5) or values[:1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) if tick >= floor]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.set_title(label(naming.whole(subject)))


def _share(row: ProbeRow) -> float:
    """What was late or lost; all, where not all subscribers got in."""
    return float(row.late_or_lost) if isinstance(row.late_or_lost, (int, float)) else 1.0


def _mark(axes: Axes, row: ProbeRow, share: float, ink: str, long: bool) -> None:
    size = 8.0 if long else 5.0
    if row.verdict == "unclear":
        axes.plot([row.value], [share], marker="x", color=FAINT, markersize=size, linestyle="")
        return
    inside = ink if row.verdict == "holds" else "none"
    axes.plot([row.value], [share], marker="o", color=ink, markerfacecolor=inside, markersize=size, linestyle="")
