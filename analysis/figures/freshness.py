"""Equal freshness: what polling costs at the age of data that it gives, beside push (the only fair way)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import INK, WIDTH_IN, arms, fill, ink_of, key, line, quantity_axis, shape_of
from rtbench.analysis.sweep import curves
from rtbench.analysis.sweep.rows import Fresh

_PANELS = (("Server CPU per message", "ns"), ("TCP bytes per message, both ways", "bytes"))


@figure("freshness", 2, "Cost at equal freshness")
def draw(evidence: Evidence) -> Drawing | None:
    found = curves.study(evidence)
    rows = [row for row in found.freshness if row.age_ns[0]] if found is not None else []
    if found is None or not rows:
        return None
    canvas = Figure(figsize=(WIDTH_IN, 3.4), layout="constrained")
    panels = canvas.subplots(1, 2, sharex=True)
    subjects = {subject.base: subject for subject in curves.bases(evidence)}
    for number, (axes, (title, unit)) in enumerate(zip(panels, _PANELS, strict=True)):
        for place, (base, subject) in enumerate(subjects.items()):
            size = max(4.5, 8 - 1.2 * place)
            _series(axes, [row for row in rows if row.subject == base], subject, number, size)
        axes.set_title(title)
        axes.set_xlabel("age of the data at the client")
        axes.grid(True)
        axes.set_axisbelow(True)
        quantity_axis(axes, "ns", logarithmic=True)
        quantity_axis(axes, unit, logarithmic=True, vertical=True)
    shown = [base for base in subjects if any(row.subject == base for row in rows)]
    key(canvas, [subjects[base] for base in shown], naming.whole)
    tails = {row.age_tail for row in rows}
    tail = "p99 over subscribers" if all("within_tick" in name for name in tails) else "p99 (in time where eligible)"
    counts = sorted({s.trials for s in evidence.summaries if s.metric == evidence.headline[0] and s.trials})
    caption = (
        "Further left is fresher, further down is cheaper. Age is the delivery latency, from the planned time until "
        f"the client holds the data; mark: its median, thin line to the right: its {tail}. Short polling has a mark "
        "for each poll interval (written beside it), joined in their order; push and long polling do not depend on it, "
        "their marks are repetitions. Where marks lie on each other, the larger one is below. Medians of trials, "
        f"n = {counts[0]} to {counts[-1]} trials a mark; their 95 % intervals are in the table. "
        f"Both axes logarithmic.{arms(evidence, lines=True)}"
    )
    metrics = (evidence.latency, "server_cpu_ns_per_message", "tcp_down_bytes_per_message", "tcp_up_bytes_per_message")
    return Drawing(canvas, caption, metrics=metrics)


def cost(row: Fresh, number: int) -> float | None:
    """What panel `number` shows: server CPU (ns) or TCP bytes of both directions, per message."""
    if number == 0:
        return row.cpu_ns[0]
    down, up = row.bytes_down[0], row.bytes_up[0]
    return None if down is None or up is None else down + up


def _series(axes: Axes, rows: list[Fresh], subject: ComparedSubject, number: int, size: float) -> None:
    ink = ink_of(subject)
    known = [(age, value, row) for row in rows for age, value in [(row.age_ns[0], cost(row, number))] if age and value]
    for age, value, row in known:
        if row.age_tail_ns[0]:
            axes.plot([age, row.age_tail_ns[0]], [value, value], color=ink, linewidth=0.7, alpha=0.6)
        if row.polls:
            label = format.quantity(row.interval_s * 1e9, "ns")
            axes.annotate(label, (age, value), xytext=(4, 4), textcoords="offset points", fontsize=7, color=INK)
    joined = line(subject) if any(row.polls for _, _, row in known) else "none"
    axes.plot(
        [age for age, _, _ in known], [value for _, value, _ in known], color=ink, linestyle=joined, linewidth=1.0,
        marker=shape_of(subject), markerfacecolor=fill(subject), markersize=size,
    )  # fmt: skip
