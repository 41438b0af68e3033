"""The curves of a sweep: what decides, over the swept key."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.figures import Drawing, figure
from rtbench.analysis.figures._style import WIDTH_IN, arms, fill, ink_of, key, line, quantity_axis, shape_of
from rtbench.analysis.sweep import curves
from rtbench.analysis.sweep.rows import Curve, Slice, Sweep

_TITLES = {
    "p50_ns": "Latency, median",
    "server_cpu_ns_per_message": "Server CPU per message",
    "tcp_down_bytes_per_message": "TCP bytes per message",
}
_COLUMNS = 4


@figure("sweep", 1, "Over the swept key")
def draw(evidence: Evidence) -> Drawing | None:
    found = curves.study(evidence)
    if found is None or not found.slices:
        return None
    swept = found.slices[0].key
    parts = [part for part in found.slices if part.key == swept]
    shown = parts[:_COLUMNS]
    metrics = [evidence.headline[0], "server_cpu_ns_per_message", "tcp_down_bytes_per_message"]
    # One slice: the metrics side by side. Several: a row a metric, a column a slice, on common axes.
    rows, columns = (1, len(metrics)) if len(shown) == 1 else (len(metrics), len(shown))
    canvas = Figure(figsize=(WIDTH_IN, 0.7 + 2.3 * rows), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharey="row" if rows > 1 else False)
    drawn: dict[str, ComparedSubject] = {}
    for i, metric in enumerate(metrics):
        for j, part in enumerate(shown):
            axes = grid[0][i] if rows == 1 else grid[i][j]
            title = next((words for end, words in _TITLES.items() if metric.endswith(end)), metric)
            at = ", ".join(f"{name} = {value}" for name, value in part.at.items())
            _panel(axes, evidence, found, part, metric, drawn)
            axes.set_title(title if rows == 1 else f"{title}\n{at}")
    if not drawn:
        return None
    key(canvas, list(drawn.values()), naming.whole)
    counts = sorted({p.trials for c in found.curves if c.metric in metrics for p in c.points if p.trials})
    trials = f"n = {counts[0]}" if counts[0] == counts[-1] else f"n = {counts[0]} to {counts[-1]}"
    more = f" {len(parts) - len(shown)} more combinations are in the tables." if len(parts) > len(shown) else ""
    scales = "Both axes logarithmic, so that a straight line is a power of the key" if parts[0].numeric else "Log scale"
    caption = (
        f"{', '.join(sorted({find_title(m) for m in metrics}))} over {swept}. {scales}. Marks: medians; bars: 95 % "
        f"t-interval of the mean of logs over trials; {trials} trials a mark. Marks of one value stand a little apart."
        f"{arms(evidence, lines=True)}{more}"
    )
    return Drawing(canvas, caption, metrics=tuple(metrics))


def find_title(metric: str) -> str:
    """The metric's name as the registry has it."""
    from rtbench.analysis.metrics import find

    return find(metric).title


def _panel(
    axes: Axes, evidence: Evidence, found: Sweep, part: Slice, metric: str, drawn: dict[str, ComparedSubject]
) -> None:
    places = {value: float(value) if part.numeric else float(i) for i, (value, _) in enumerate(part.cells)}
    unit = ""
    subjects = curves.bases(evidence)
    for number, subject in enumerate(subjects):
        aside = number - (len(subjects) - 1) / 2
        curve = next(
            c for c in found.curves if (c.key, c.at, c.subject, c.metric) == (part.key, part.at, subject.base, metric)
        )
        unit = curve.unit
        if _curve(
            axes,
            curve,
            subject,
            {v: at * 1.025**aside if part.numeric else at + 0.05 * aside for v, at in places.items()},
        ):
            drawn.setdefault(subject.base, subject)
    if part.numeric:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    words = {place: f"{value:,}" if isinstance(value, (int, float)) else str(value) for value, place in places.items()}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: words.get(at, "")))
    axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel(part.key)
    axes.grid(True)
    axes.set_axisbelow(True)
    quantity_axis(axes, unit, logarithmic=True, vertical=True)


def _curve(axes: Axes, curve: Curve, subject: ComparedSubject, places: dict[object, float]) -> bool:
    ink = ink_of(subject)
    known = [(places[p.value], p, p.median) for p in curve.points if p.median is not None and p.median > 0]
    for at, point, _ in known:
        if point.low is not None and point.high is not None and point.low > 0:
            axes.plot([at, at], [point.low, point.high], color=ink, linewidth=1.4, solid_capstyle="butt")
    axes.plot(
        [at for at, _, _ in known], [median for _, _, median in known], color=ink, linestyle=line(subject),
        linewidth=1.0, marker=shape_of(subject), markerfacecolor=fill(subject), markersize=5,
    )  # fmt: skip
    return bool(known)
