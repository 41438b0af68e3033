"""The whole distribution of delivery latency, as the share of messages that came later, kernel and application
apart."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, Result, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import (
    FAINT,
    WIDTH_IN,
    arms,
    fill,
    ink_of,
    label,
    line,
    mark,
    quantity_axis,
    shape_of,
)
from rtbench.analysis.samples.samples import GRID

_PANELS = (("latency_kernel", "at the kernel"), ("latency_app", "at the application"))

_PER_TAIL = 3.68
"""Distinct due instants times the share beyond: what a tail in time takes (R8: 368 for 1 %)."""


_COLUMNS = 5
_TITLE = 15
"""Letters of a title's line: "Long polling on", "aiohttp"."""


@figure("latency", 10, "Delivery latency, the whole distribution")
def draw(evidence: Evidence) -> Drawing | None:
    bases = {s.base: s for s in evidence.subjects if any(_drawable(r, "latency_app") for r in evidence.of(s.name))}
    if not bases:
        return None
    titles = {base: label(naming.whole(subject), _TITLE) for base, subject in bases.items()}
    longest = max(len(part) for title in titles.values() for part in title.split("\n"))
    fitting = int(5.9 / (0.055 * longest))  # a letter of a title is some 0.055 inches
    columns = max(1, min(len(bases), _COLUMNS, fitting))
    rows = -(-len(bases) // columns)
    canvas = Figure(figsize=(WIDTH_IN, 0.4 + 1.75 * rows * len(_PANELS)), layout="constrained")
    grid = canvas.subplots(rows * len(_PANELS), columns, squeeze=False, sharex=True, sharey=True)
    deepest = 0.05
    for part, (span, where) in enumerate(_PANELS):
        places = grid[part * rows : (part + 1) * rows].ravel()
        for axes, base in zip(places, bases, strict=False):
            deepest = min(deepest, _panel(axes, evidence, base, span))
            mark(axes.set_title(titles[base], fontsize=7, fontweight="normal"), base)
            axes.grid(True)
        for axes in places[len(bases) :]:
            axes.remove()
        for row in grid[part * rows : (part + 1) * rows]:
            row[0].set_ylabel(f"{where}\nlater than that", fontsize=7.5)
    for axes in canvas.axes:
        axes.set_yscale("log")
        axes.set_ylim(max(deepest / 1.5, 1e-5), 1.0)
        axes.yaxis.set_major_locator(LogLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6%}".rstrip("0%").rstrip(".") + " %"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        quantity_axis(axes, "ns", logarithmic=True)
    canvas.supxlabel("received − due", fontsize=8.5)
    trials = sum(_drawable(r, "latency_app") for r in evidence.results)
    caption = (
        "Share of the messages that arrived later than a given time after they were planned (the ECDF, turned over so "
        "that its tail has a log axis; lower and further left is better). A panel for each subject, all on the same "
        f"logarithmic axes; in colour one line a trial, never averaged ({trials} trials), in grey the first trial of "
        "every other subject. Messages that never arrived count as later than all others. Dotted where a trial has "
        "too few distinct due instants to claim a tail in time: there the line shows copies of the same few ticks."
        f"{arms(evidence, lines=True)}"
    )
    return Drawing(canvas, caption, metrics=tuple(f"{span}_p50_ns" for span, _ in _PANELS))


def _drawable(result: Result, span: str) -> bool:
    return result.series is not None and result.usable(f"{span}_p50_ns") is not None


def _panel(axes: Axes, evidence: Evidence, base: str, span: str) -> float:
    """Draw a subject in all its cells, before the others in grey; the smallest share that it reaches."""
    others = {s.base: s for s in reversed(evidence.subjects) if s.base != base}
    for subject in others.values():
        first = next((r for r in evidence.of(subject.name) if _drawable(r, span)), None)
        if first is not None and first.series is not None:
            found = first.series.distributions[span]
            seen = np.isfinite(found.curve) & (found.curve > 0) & (0.5 / max(1, found.count + found.lost) < 1 - GRID)
            (behind,) = axes.plot(found.curve[seen], (1 - GRID)[seen], color=FAINT, linewidth=0.9, alpha=0.45, zorder=1)
            mark(behind, subject.name)
    shares = [
        share
        for subject in evidence.subjects
        if subject.base == base
        for result in evidence.of(subject.name)
        if (share := _curve(axes, result, subject, span)) is not None
    ]
    return min(shares, default=1.0)


def _curve(axes: Axes, result: Result, subject: ComparedSubject, span: str) -> float | None:
    """Draw one trial; the smallest share that it reaches, None when there is nothing to draw."""
    if result.series is None or not _drawable(result, span):
        return None
    found = result.series.distributions[span]
    later = 1 - GRID
    resolved = (later > 0.5 / max(1, found.count + found.lost)) & np.isfinite(found.curve) & (found.curve > 0)
    claimed = resolved & (later * result.series.instants >= _PER_TAIL)
    ink = ink_of(subject)
    words = (
        f"{naming.heading(subject)}, trial {result.trial.number}: p50 {format.quantity(found.at['p50'], 'ns')}, "
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
        marker=shape_of(subject),
        markerfacecolor=fill(subject),
        markersize=4,
    )
    mark(dot, subject.name, words)
    return float(later[resolved].min()) if resolved.any() else None
