"""The whole distribution of delivery latency, as the share of messages that came later, kernel and application
apart."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, Result
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import WIDTH_IN, colour, fill, key, line, mark, marker, quantity_axis
from rtbench.analysis.samples.samples import GRID

_PANELS = (("latency_kernel", "At the client's kernel"), ("latency_app", "At the client's application"))

_PER_TAIL = 3.68
"""Distinct due instants times the share beyond: what a tail in time takes (R8: 368 for 1 %)."""


@figure("latency", 10, "Delivery latency, the whole distribution")
def draw(evidence: Evidence) -> Drawing | None:
    canvas = Figure(figsize=(WIDTH_IN, 3.5), layout="constrained")
    panels = canvas.subplots(1, 2, sharex=True, sharey=True)
    drawn: dict[str, ComparedSubject] = {}
    trials = 0
    deepest = 0.05
    for axes, (span, title) in zip(panels, _PANELS, strict=True):
        for subject in evidence.subjects:
            for result in evidence.of(subject.name):
                share = _curve(axes, result, subject, span)
                if share is not None:
                    drawn[subject.base] = subject  # of a sweep, all cells have one line in the legend
                    trials += span == "latency_app"
                    deepest = min(deepest, share)
        axes.set_title(title)
        axes.grid(True)
        axes.set_xlabel("received − due")
    if not drawn:
        return None
    for axes in panels:
        axes.set_yscale("log")
        axes.set_ylim(max(deepest / 1.5, 1e-5), 1.0)
        axes.yaxis.set_major_locator(LogLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6%}".rstrip("0%").rstrip(".") + " %"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        quantity_axis(axes, "ns", logarithmic=True)
    panels[0].set_ylabel("share of messages later than that")
    key(canvas, list(drawn.values()))
    caption = (
        "Share of the messages that arrived later than a given time after they were planned (the ECDF, turned over so "
        "that its tail has a log axis; lower and further left is better), both axes logarithmic, kernel and "
        f"application on the same axes. One line a trial, never averaged ({trials} trials); messages that never "
        "arrived count as later than all others. Dotted where a trial has too few distinct due instants to claim a "
        "tail in time: there the line shows copies of the same few ticks. Dashed: not the controlled arm; dash and "
        "dot: behind a proxy."
    )
    return Drawing(canvas, caption, metrics=tuple(f"{span}_p50_ns" for span, _ in _PANELS))


def _curve(axes: Axes, result: Result, subject: ComparedSubject, span: str) -> float | None:
    """Draw one trial; the smallest share that it reaches, None when there is nothing to draw."""
    if result.series is None or result.usable(f"{span}_p50_ns") is None:
        return None
    found = result.series.distributions[span]
    later = 1 - GRID
    resolved = (later > 0.5 / max(1, found.count + found.lost)) & np.isfinite(found.curve) & (found.curve > 0)
    claimed = resolved & (later * result.series.instants >= _PER_TAIL)
    ink = colour(subject.transport)
    words = (
        f"{subject.name}, trial {result.trial.number}: p50 {format.quantity(found.at['p50'], 'ns')}, "
        f"p90 {format.quantity(found.at['p90'], 'ns')}, last {format.quantity(found.at['max'], 'ns')}"
    )
    (curve,) = axes.plot(
        found.curve[claimed], later[claimed], color=ink, linestyle=line(subject), linewidth=1.1, alpha=0.85
    )
    mark(curve, subject.name, words)
    join = np.flatnonzero(claimed)[-1:] if claimed.any() else np.empty(0, dtype=np.int64)
    tail = np.concatenate([join, np.flatnonzero(resolved & ~claimed)])
    (dotted,) = axes.plot(found.curve[tail], later[tail], color=ink, linestyle=":", linewidth=0.9, alpha=0.85)
    mark(dotted, subject.name, words)
    middle = np.flatnonzero(np.isclose(GRID, 0.5))
    (dot,) = axes.plot(
        found.curve[middle],
        later[middle],
        color=ink,
        marker=marker(subject.stack),
        markerfacecolor=fill(subject),
        markersize=4,
    )
    mark(dot, subject.name, words)
    return float(later[resolved].min()) if resolved.any() else None
