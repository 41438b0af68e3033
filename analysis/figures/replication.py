"""Every trial by itself, block after block: is what one block shows shown by all (R7)?"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import WIDTH_IN, arms, fill, ink_of, key, line, mark, quantity_axis, shape_of
from rtbench.analysis.metrics import find

_PANELS = (
    ("latency_kernel_p50_ns", "Latency, median"),
    ("latency_kernel_max_ns", "Latency, the latest message"),
    ("server_cpu_ns_per_message", "Server CPU per message"),
    ("tcp_down_bytes_per_message", "TCP bytes down"),
)
_COLUMNS = 2
_SPREAD = 0.5
"""How far the trials of one block are set apart, so that none hides another."""

_AGAIN = 0.06
"""How far right of its block's first attempt each further one is."""

_LEAST = 1.3
"""An axis goes that factor up and down from its middle at least: a difference of one byte is not drawn as a cliff."""


@figure("replication", 55, "Every trial, block after block")
def draw(evidence: Evidence) -> Drawing | None:
    shown = [(m, title) for m, title in _PANELS if any(r.metrics.get(m) for r in evidence.results)]
    if not shown:
        return None
    rows = -(-len(shown) // _COLUMNS)
    canvas = Figure(figsize=(WIDTH_IN, 0.5 + 2.6 * rows), layout="constrained")
    places = canvas.subplots(rows, min(_COLUMNS, len(shown)), squeeze=False, sharex=True).ravel()
    grid, unused = places[: len(shown)], places[len(shown) :]
    for axes in unused:
        axes.remove()
    aside: set[int] = set()
    for axes, (metric, title) in zip(grid, shown, strict=True):
        for place, subject in enumerate(evidence.subjects):
            aside |= _strip(axes, evidence, subject, metric, place)
        axes.set_title(title)
        axes.set_xlabel("block")
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        middle = (low * high) ** 0.5
        axes.set_ylim(min(low, middle / _LEAST), max(high, middle * _LEAST))
        quantity_axis(axes, find(metric).unit, logarithmic=True, vertical=True)
    blocks = [r.trial.block for r in evidence.results]
    grid[0].set_xlim(min(blocks) - 0.6, max(blocks) + 0.6)
    key(canvas, [s for s in evidence.subjects if any(r.metrics for r in evidence.of(s.name))])
    crosses = f"; crosses: values of {len(aside)} trials that do not count, for the reasons above" if aside else ""
    caption = (
        "One mark a trial, in the block that it was run in (fresh processes and connections for each), joined over "
        f"blocks by subject; no interval is drawn, this is what the intervals are made of (n = {len(blocks)} trials)"
        f"{crosses}. Log axes. Lines that keep their order and distance from block to block are a difference that "
        "replicates; lines that slope together are the machine's drift, which pairing within blocks takes out."
        f"{arms(evidence, lines=True)}"
    )
    return Drawing(canvas, caption, metrics=tuple(metric for metric, _ in shown))


def _strip(axes: Axes, evidence: Evidence, subject: ComparedSubject, metric: str, place: int) -> set[int]:
    """Draw one subject's trials; the numbers of those that do not count."""
    ink, unit = ink_of(subject), find(metric).unit
    shift = _SPREAD * ((place + 0.5) / max(1, len(evidence.subjects)) - 0.5)
    counted: dict[float, float] = {}
    aside = set()
    for result in evidence.of(subject.name):
        value, usable = result.metrics.get(metric), result.usable(metric)
        if not value:  # zero has no place on a log axis
            continue
        trial = result.trial
        words = f"{naming.heading(subject)}, trial {trial.number}, block {trial.block}: {format.quantity(value, unit)}"
        at = trial.block + shift + _AGAIN * (trial.attempt - 1)
        if usable is None:
            aside.add(trial.number)
            (cross,) = axes.plot([at], [value], marker="x", markersize=4.5, color=ink, alpha=0.8, linestyle="none")
            mark(cross, subject.name, f"{words}, does not count")
            continue
        counted[at] = value
        (dot,) = axes.plot(
            [at], [value], marker=shape_of(subject), markersize=5, color=ink, markerfacecolor=fill(subject)
        )
        mark(dot, subject.name, words)
    joined = sorted(counted.items())
    (drawn,) = axes.plot(
        [at for at, _ in joined],
        [value for _, value in joined],
        color=ink,
        linestyle=line(subject),
        linewidth=0.8,
        alpha=0.5,
        zorder=1,
    )
    mark(drawn, subject.name)
    return aside
