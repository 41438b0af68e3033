"""Dot and interval: one line a subject, one panel a metric, every trial as a faint tick. Called by the figures that
compare costs.

Invariant: panels with the same unit and `share_axis` have the same axis, so that lengths can be compared by eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures._style import (
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

INTERVAL = (
    "Dot: median over trials; bar: 95 % t-interval of the mean over trials (of logs, where all are positive); small "
    "ticks: the trials; a bar that reaches the edge goes on beyond it"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """A metric and the words above it."""

    metric: str
    title: str
    logarithmic: bool = False


def ending(evidence: Evidence, panels: Sequence[Panel]) -> str:
    """The end of the caption: what dot and bar are, `n = 3 trials a subject` or the range over what the panels show,
    and what hollow marks mean."""
    metrics = [panel.metric for panel in panels]
    counts = sorted({s.trials for s in evidence.summaries if s.metric in metrics and s.trials})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{INTERVAL}; n = {n} trials a subject.{arms(evidence)}"


def dots(evidence: Evidence, panels: Sequence[Panel], share_axis: bool = False) -> Figure | None:
    """The figure, or None when no panel has a value."""
    shown = [p for p in panels if evidence.known(p.metric)]
    if not shown:
        return None
    canvas = Figure(figsize=(WIDTH_IN, height(evidence)), layout="constrained")
    grid = canvas.subplots(1, len(shown), squeeze=False, sharex=share_axis)[0]
    places = rows(evidence)
    for place, (panel, axes) in enumerate(zip(shown, grid, strict=True)):
        for at, subject in places:
            if isinstance(subject, ComparedSubject):
                _line(axes, evidence, subject, panel, at)
        label_rows(axes, places, names=place == 0)
        axes.set_title(panel.title)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
    for panel, axes in zip(shown, grid, strict=True):
        unit = next(s.unit for s in evidence.summaries if s.metric == panel.metric)
        if panel.logarithmic:
            room(axes, grid if share_axis else [axes])
        else:
            axes.set_xlim(left=0)
            axes.locator_params(axis="x", nbins=5 if len(shown) < 3 else 4)
        quantity_axis(axes, unit, panel.logarithmic)
    return canvas


def _line(axes: Axes, evidence: Evidence, subject: ComparedSubject, panel: Panel, at: float) -> None:
    row = evidence.summary(subject.name, panel.metric)
    if row is None or row.median is None:
        return
    ink = ink_of(subject)
    name = naming.heading(subject)
    words = f"{name}, {panel.title}: {format.summary(row)}"
    for result in evidence.of(subject.name):
        value = result.usable(panel.metric)
        if value is not None:
            (tick,) = axes.plot([value], [at], linestyle="none", marker="|", markersize=7, color=ink, alpha=0.45)
            tick.set_clip_on(False)
            mark(tick, subject.name, f"{name}, trial {result.trial.number}: {format.quantity(value, row.unit)}")
    if row.low is not None and row.high is not None:
        (bar,) = axes.plot([row.low, row.high], [at, at], color=ink, linewidth=1.6, solid_capstyle="butt")
        mark(bar, subject.name, words)
    (dot,) = axes.plot(
        [row.median],
        [at],
        marker=shape_of(subject),
        markersize=6,
        color=ink,
        markerfacecolor=fill(subject),
        clip_on=False,
    )
    mark(dot, subject.name, words)


def room(axes: Axes, together: Sequence[Axes]) -> None:
    """A logarithmic axis that ends a little beyond the data of all axes `together` and spans a factor of three at
    least. An interval over two trials may span ten decades: it does not stretch the axis beyond a tenth or ten times
    what was measured."""
    lines = [line for one in together for line in one.get_lines() if line.get_transform() == one.transData]
    positive = [x for line in lines for x in _positive(line)]
    if not positive:
        return
    measured = [x for line in lines if line.get_marker() != "None" for x in _positive(line)] or positive
    low = max(min(positive) / 1.3, min(measured) / 10)
    high = min(max(positive) * 1.3, max(measured) * 10)
    middle = (low * high) ** 0.5
    axes.set_xscale("log")
    axes.set_xlim(min(low, middle / 1.8), max(high, middle * 1.8))


def _positive(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata()) if x > 0]
