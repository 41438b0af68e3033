"""One trial of every subject in time: what arrived in each 100 ms, and how late what was due then came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtbench.analysis.evidence import ComparedSubject, Evidence, Result, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import FAINT, INK, RULE, WIDTH_IN, ink_of, mark, quantity_axis
from rtbench.analysis.samples.samples import SLOT_NS
from rtbench.analysis.samples.series import Timeline


@figure("timeline", 60, "One trial in time")
def draw(evidence: Evidence) -> Drawing | None:
    shown: list[tuple[ComparedSubject, Result, Timeline]] = []
    for subject in evidence.subjects:
        result = next((r for r in evidence.of(subject.name) if r.series and r.series.timeline), None)
        if result is not None and result.series is not None and result.series.timeline is not None:
            shown.append((subject, result, result.series.timeline))
    if not shown:
        return None
    canvas = Figure(figsize=(WIDTH_IN, 0.6 + 1.35 * len(shown)), layout="constrained")
    grid = canvas.subplots(len(shown), 2, squeeze=False, sharex=True, sharey="col")
    faults = [_faults(result) for _, result, _ in shown]
    for row, (subject, _, line), spans in zip(grid, shown, faults, strict=True):
        for axes in row:
            _phases(axes, line, spans, named=axes is row[0])
        _counts(row[0], subject, line)
        _latencies(row[1], subject, line)
    first = min(-1.0, *(line.slot_s[0] if line.slot_s.size else 0.0 for _, _, line in shown))
    window_s = shown[0][2].window_s
    phases = [(window_s / 2, "window", "center"), (window_s, " grace", "left")]
    phases += [(0.0, "warm-up ", "right")] if -first > 0.15 * window_s else []
    for at, words, side in phases:
        _word(grid[0][0], at, 0.99, words, ha=side, color=FAINT)
    for axes in grid[-1]:
        axes.set_xlabel("seconds from the start of the window")
    grid[0][0].set_xlim(left=first, right=max(line.window_s for _, _, line in shown) * 1.05 + 0.5)
    top = max(float(line.delivered.max(initial=1)) for _, _, line in shown)
    for axes in grid[:, 0]:
        axes.set_ylim(0, top * 1.3)
    for axes in grid[:, 1]:
        quantity_axis(axes, "ns", logarithmic=True, vertical=True)
    stamps = sorted({line.stamp for _, _, line in shown})
    hatched = "; hatched: a fault that the scenario asked for, with its name" if any(faults) else ""
    numbers = ", ".join(f"trial {result.trial.number}" for _, result, _ in shown)
    caption = (
        f"One trial a subject, the first that was measured ({numbers}); n = 1, no interval. Left: messages that "
        f"arrived in each {SLOT_NS // 1_000_000} ms; shaded: the window, before it the warm-up, after it the grace"
        f"{hatched}; dashed: moments that the trial's manifest names. Right: latency ({' or '.join(stamps)}) of the "
        "messages that were due in each slot, median (line) and maximum (dots; a lost message has none)."
    )
    return Drawing(canvas, caption, metrics=("delivered", "latency_kernel_p50_ns", "latency_kernel_max_ns"))


def _faults(result: Result) -> list[tuple[float, float, str]]:
    """(from, to, what), in seconds from the start of the window, of what the trial's manifest says was done to it."""
    assert result.trial.window is not None  # it has a series
    start = result.trial.window[0]
    return [
        ((event["began_ns"] - start) / 1e9, (event["ended_ns"] - start) / 1e9, f"{event['do']} {event['what']}")
        for event in result.trial.manifest.get("events") or ()
    ]


def _phases(axes: Axes, line: Timeline, faults: Sequence[tuple[float, float, str]], named: bool) -> None:
    axes.axvspan(0, line.window_s, color=RULE, alpha=0.45, linewidth=0)
    for begin, end, _ in faults:
        axes.axvspan(begin, end, facecolor="none", edgecolor=FAINT, hatch="////", linewidth=0)
    for begin, _, what in faults if named else ():
        _word(axes, begin, 0.84, what, color=INK)


def _word(axes: Axes, at: float, height: float, words: str, **look: Any) -> None:
    """Words inside a panel, which take no part in its layout."""
    text = axes.text(at, height, words, transform=axes.get_xaxis_transform(), va="top", fontsize=7, **look)
    text.set_in_layout(False)


def _counts(axes: Axes, subject: ComparedSubject, line: Timeline) -> None:
    (steps,) = axes.step(line.slot_s, line.delivered, where="post", color=ink_of(subject), linewidth=0.9)
    mark(steps, subject.name)
    low = float(line.slot_s[0]) if line.slot_s.size else 0.0
    for moment, _name in line.events:
        if low - 1 <= moment <= line.window_s + 60:
            axes.axvline(moment, color=FAINT, linewidth=0.6, linestyle=(0, (3, 3)))
    axes.set_title(f"{naming.heading(subject)}: delivered / 100 ms")


def _latencies(axes: Axes, subject: ComparedSubject, line: Timeline) -> None:
    for values, drawn in (
        (line.middle_ns, {"linewidth": 1.0}),
        (line.highest_ns, {"linestyle": "none", "marker": ".", "markersize": 2.5}),
    ):
        finite = np.isfinite(values) & (values > 0)
        (artist,) = axes.plot(line.due_s[finite], values[finite], color=ink_of(subject), **drawn)
        mark(artist, subject.name)
    axes.set_title("latency, median and maximum")
    axes.grid(axis="y")
