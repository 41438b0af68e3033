"""The forest plot: each transport beside SSE on every stack, over all of them, and on the next one (R17)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import FAINT, INK, RULE, WIDTH_IN, colour, mark, quantity_axis
from rtbench.analysis.statistics.across_stacks import AcrossStacks
from rtbench.analysis.statistics.compare import Estimate
from rtbench.transports.catalogue import catalogue as transports

_BEYOND = 4.0
"""An axis ends that factor beyond the ratios of the stacks: an interval of few stacks may span ten decades."""

_LEAST = 1.3
"""An axis goes that factor up and down from its middle at least."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the plot. `stack`: empty for the summary, None for the transport's name above its stacks."""

    at: float
    transport: str
    stack: str | None
    label: str


@figure("forest", 5, "Over stacks")
def draw(evidence: Evidence) -> Drawing | None:
    if evidence.swept or not evidence.matrix:
        return None
    found = {(row.metric, row.transport): row for row in evidence.matrix}
    panels = _panels(evidence)
    if not panels:
        return None
    places = list(_rows(evidence, [metric for metric, _ in panels]))
    lowest = min(row.at for row in places)
    canvas = Figure(figsize=(WIDTH_IN, 0.75 + 0.2 * (1 - lowest)), layout="constrained")
    grid = canvas.subplots(1, len(panels), squeeze=False)[0]
    for place, ((metric, title), axes) in enumerate(zip(panels, grid, strict=True)):
        rows = {transport: row for (m, transport), row in found.items() if m == metric}
        low, high = _limits(list(rows.values()))
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(lowest - 0.7, 0.7)
        for row in places:
            if row.transport in rows:
                _line(axes, rows[row.transport], row, title)
        axes.axvline(1.0, color=FAINT, linewidth=0.8, zorder=0.9)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_title(title)
        quantity_axis(axes, "×", logarithmic=True)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}×"))
        _labels(axes, places, names=place == 0)
    return Drawing(canvas, _caption(list(found.values())), metrics=tuple(metric for metric, _ in panels))


def _panels(evidence: Evidence) -> list[tuple[str, str]]:
    """The metrics that the matrix has, each with its title. The tail has a panel only where memory leaves it one."""
    in_tick, in_time = evidence.headline[1:3]
    there = {row.metric for row in evidence.matrix}
    memory = "server_memory_bytes_per_connection"
    titles = {evidence.latency: "Latency, median"}
    if memory not in there:
        titles[in_time if in_time in there else in_tick] = "Latency, 99 %"
    titles |= {
        "server_cpu_ns_per_message": "Server CPU", "tcp_down_bytes_per_message": "TCP bytes down",
        memory: "Memory / connection",
    }  # fmt: skip
    return [(metric, title) for metric, title in titles.items() if metric in there]


def _rows(evidence: Evidence, metrics: Sequence[str]) -> Iterator[_Row]:
    """From the top: a transport's name, its stacks in the order of the scenario, its summary."""
    mine = [row for row in evidence.matrix if row.metric in metrics]
    at = 0.0
    for transport in dict.fromkeys(row.transport for row in mine):
        known = transports().get(transport)
        yield _Row(at, transport, None, known.title if known else transport)
        there = {stack for row in mine if row.transport == transport for stack, _ in row.stacks}
        for stack in dict.fromkeys(s.stack for s in evidence.subjects if s.stack in there):
            at -= 1.0
            yield _Row(at, transport, stack, naming.stack(stack))
        if len(there) > 1:
            at -= 1.05
            yield _Row(at, transport, "", f"over {len(there)} stacks")
        at -= 1.5


def _limits(rows: Sequence[AcrossStacks]) -> tuple[float, float]:
    """Both ends of the axis: all ratios with their intervals and 1, as far as they are not absurd."""
    ratios = [1.0, *(end for row in rows for end in row.range)]
    ends = [end for row in rows for pair in _intervals(row) for end in pair]
    low = max(min([*ratios, *ends]), min(ratios) / _BEYOND) / 1.12
    high = min(max([*ratios, *ends]), max(ratios) * _BEYOND) * 1.12
    middle = math.sqrt(low * high)
    return min(low, middle / _LEAST), max(high, middle * _LEAST)


def _intervals(row: AcrossStacks) -> Iterator[tuple[float, float]]:
    for one in (*row.comparisons, row.summary):
        if one is not None and one.low is not None and one.high is not None:
            yield one.low, one.high
    if row.predicted is not None:
        yield row.predicted


def _line(axes: Axes, over: AcrossStacks, row: _Row, title: str) -> None:
    if row.stack is None:
        return
    ink = colour(over.transport)
    if row.stack:
        one = dict(over.stacks).get(row.stack)
        if one is None:
            return
        words = f"{one.a}, {title}: {format.ratio(one)} of {one.b}"
        _bar(axes, one, row.at, ink, one.a, words)
        (dot,) = axes.plot([one.ratio], [row.at], marker="o", markersize=4.5, color=ink)
        mark(dot, one.a, words)
        _number(axes, one, row.at, FAINT)
    elif over.summary is not None:
        _summary(axes, over, over.summary, row.at, ink)


def _bar(axes: Axes, one: Estimate, at: float, ink: str, subject: str, words: str) -> None:
    if one.low is None or one.high is None:
        return
    low, high = axes.get_xlim()
    (bar,) = axes.plot([max(one.low, low), min(one.high, high)], [at, at], color=ink, linewidth=1.3)
    bar.set_solid_capstyle("butt")
    mark(bar, subject, words)


def _summary(axes: Axes, over: AcrossStacks, one: Estimate, at: float, ink: str) -> None:
    """A bar for the prediction interval and the diamond on it, with a point where either goes on beyond the axis."""
    low, high = axes.get_xlim()
    name = f"{over.transport} over {len(over.stacks)} stacks"
    left, right = (one.low, one.high) if one.low is not None and one.high is not None else (one.ratio, one.ratio)
    ends = over.predicted or (left, right)
    if over.predicted is not None:
        (bar,) = axes.plot(
            [max(ends[0], low), min(ends[1], high)], [at, at], color=ink, linewidth=4.5, alpha=0.3,
            solid_capstyle="butt",
        )  # fmt: skip
        mark(bar, "", f"{name}: the next stack is expected at {format.span(ends)}")
    for beyond, edge, shape in ((ends[0] < low, low, "<"), (ends[1] > high, high, ">")):
        if beyond:
            axes.plot([edge], [at], marker=shape, markersize=4, color=ink, clip_on=False, zorder=3)
    least = (high / low) ** 0.012  # a diamond that is too narrow to be seen says the same as one of this width
    left, right = max(low, min(left, one.ratio / least)), min(high, max(right, one.ratio * least))
    (diamond,) = axes.fill([left, one.ratio, right, one.ratio], [at, at + 0.32, at, at - 0.32], color=ink, linewidth=0)
    diamond.set_zorder(2.5)
    mark(diamond, "", f"{name}: {format.ratio(one)}")
    _number(axes, one, at, INK)


def _number(axes: Axes, one: Estimate, at: float, ink: str) -> None:
    """The ratio, right of the panel."""
    weight = "bold" if ink == INK else "normal"
    axes.annotate(
        f"{format.number(one.ratio)}×", (1.05, at), xycoords=("axes fraction", "data"), fontsize=6.5, color=ink,
        va="center", ha="left", fontweight=weight, annotation_clip=False,
    )  # fmt: skip


def _labels(axes: Axes, places: Sequence[_Row], names: bool) -> None:
    axes.set_yticks([row.at for row in places])
    axes.set_yticklabels([row.label if names else "" for row in places])
    for tick, row in zip(axes.get_yticklabels(), places, strict=True):
        if row.stack is None:
            tick.set(color=colour(row.transport), fontweight="bold")
        elif not row.stack:
            tick.set(fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for row in places:
        if row.stack is None and row.at < 0:
            axes.axhline(row.at + 0.75, color=RULE, linewidth=0.6, zorder=0.5)


def _caption(rows: Sequence[AcrossStacks]) -> str:
    blocks = sorted({one.blocks for row in rows for one in row.comparisons})
    n = str(blocks[0]) if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
    counts = [len(row.stacks) for row in rows if row.predicted is not None]
    ends = dict.fromkeys(str(end(counts)) for end in (min, max)) if counts else {}
    bar = (
        "pale bar: where the next stack is expected (95 % prediction interval, Student's t with k − 2 degrees of "
        f"freedom over k = {' to '.join(ends)} stacks); a point at the edge: it goes on beyond"
        if counts
        else "no prediction interval: it takes three stacks; a point at the edge: the interval goes on beyond"
    )
    return (
        "Each transport relative to SSE on the same stack; left of the line at 1 is less. Dot and bar: mean ratio over "
        f"the blocks that have both and its 95 % t-interval (n = {n} blocks). Diamond: random-effects summary over the "
        f"stacks with its 95 % interval (Hartung and Knapp); {bar}. Log axes, one a metric. What all stacks show "
        "belongs to the transport, what one shows to that stack."
    )
