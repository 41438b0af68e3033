"""How every figure looks: colours, markers, axes, and the way to SVG and PNG.

Invariant: a transport keeps its colour and a stack its marker in all figures of all reports; of subjects that are the
same in both, all but the first have spare ones. Colours are Okabe and
Ito's, which people who confuse red and green can tell apart. Files are the same bytes for the same evidence. Called
by the figures and the report.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import textwrap
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, MarkerStyle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming

COLOURS = {
    "sse": "#0072b2",
    "websocket": "#d55e00",
    "short-poll": "#009e73",
    "long-poll": "#cc79a7",
    "tcp": "#7f7d78",
}
SPARES = {"spare-1": "#44423d", "spare-2": "#b87700", "spare-3": "#7a5195"}
"""For transports that are not in the table, and for a subject that would look like another: near the ink first, which
is unlike every transport's colour."""
_SPARE_COLOURS = tuple(SPARES.values())

MARKERS = {
    "aiohttp": "o",
    "websockets": "s",
    "nchan": "^",
    "hyperlane": "D",
    "go": "<",
    "centrifugo": "v",
    "mercure": "P",
    "starlette": "X",
    "asyncio": "d",
    "uvicorn": "p",
    "picows": "h",
}
_SPARE_MARKERS = ("8", ">", "*")

INK, FAINT, RULE = "#1a1a19", "#6b6a66", "#dddbd5"
"""Text, secondary text, rules. The report turns them, and the colours, into CSS variables so that figures follow the
theme."""

WIDTH_IN = 7.4

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "rtbench",
    "hatch.linewidth": 0.5,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 8.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # no axis has ticks at its top: searching for room above them takes a seventh of a report
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Context in which figures are drawn and written; leaves matplotlib's settings as they were.

    A name may have letters that the PNGs' font lacks: browsers have them.
    """
    with matplotlib.rc_context(_RC), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def colour(transport: str) -> str:
    """A transport that is not in the table gets one of the spare colours, always the same."""
    return COLOURS.get(transport) or _SPARE_COLOURS[zlib.crc32(transport.encode()) % len(_SPARE_COLOURS)]


def marker(stack: str) -> str:
    return MARKERS.get(stack) or _SPARE_MARKERS[zlib.crc32(stack.encode()) % len(_SPARE_MARKERS)]


def ink_of(subject: ComparedSubject) -> str:
    """Its transport's colour; a spare one for a subject that another one would look like (base and head)."""
    if not subject.twin:
        return colour(subject.transport)
    return _SPARE_COLOURS[(subject.twin - 1) % len(_SPARE_COLOURS)]


def shape_of(subject: ComparedSubject) -> str:
    """Its stack's marker; a spare one for a subject that another one would look like. Nine of those differ."""
    if not subject.twin:
        return marker(subject.stack)
    turns, place = divmod(subject.twin - 1, len(_SPARE_COLOURS))
    return _SPARE_MARKERS[(turns + place) % len(_SPARE_MARKERS)]


def fill(subject: ComparedSubject) -> str:
    """Hollow beside the controlled arm, else filled (R10)."""
    return "none" if subject.hollow else ink_of(subject)


def line(subject: ComparedSubject) -> Literal["-", "--", "-."]:
    """Dashed beside the controlled arm, else solid; dash and dot behind a proxy."""
    if subject.proxy:
        return "-."
    return "--" if subject.hollow else "-"


def arms(evidence: Evidence, lines: bool = False) -> str:
    """The end of a caption: what hollow marks, and with `lines` broken ones, mean; empty where all look alike."""
    notes = []
    if any(s.hollow for s in evidence.subjects):
        names = [group.name for group in naming.groups(evidence) if all(s.hollow for s in group.subjects)]
        notes.append(f"hollow{' and dashed' if lines else ''}: {', '.join(names)}, where the stack differs, too")
    if lines and any(s.proxy for s in evidence.subjects):
        notes.append("dash and dot: behind a proxy")
    return f" {naming.capital('; '.join(notes))}." if notes else ""


LABEL = 26
"""Letters of a line of a subject's name on an axis; a longer name has two lines."""


def label(name: str, most: int = LABEL) -> str:
    """A name in one line, or in two where it is long; "on aiohttp" stays together."""
    glued, width = re.sub(r" (on|behind) ", " \\1\N{NO-BREAK SPACE}", name), most
    while len(lines := textwrap.wrap(glued, width, break_long_words=False, break_on_hyphens=False)) > 2:
        width += 2
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def mark(artist: Artist, subject: str, words: str = "") -> None:
    """Say whose an artist is and what it shows: in the SVG it can then be hidden with its subject, and read by
    hovering."""
    artist.set_gid("|".join(("mark", *(text.replace("|", "¦") for text in (subject, words)))))


def key(
    canvas: Figure, subjects: Sequence[ComparedSubject], name: Callable[[ComparedSubject], str] = naming.heading
) -> None:
    """A legend of subjects below the panels: colour, line and marker."""
    handles = [
        Line2D(
            [], [], color=ink_of(s), linestyle=line(s), marker=shape_of(s), markerfacecolor=fill(s), markersize=5,
            label=name(s),
        )
        for s in subjects
    ]  # fmt: skip
    longest = max((len(name(s)) for s in subjects), default=1)
    columns = max(1, min(4, len(handles), int(WIDTH_IN / (0.075 * longest + 0.6))))  # a letter is some 0.075 inches
    canvas.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3)


_MARK = re.compile(r"""<g id=(["'])mark\|([^|]*?)\|([^|]*?)\1>""")


def _marked(match: re.Match[str]) -> str:
    quote, subject, words = match.groups()
    title = f"<title>{words}</title>" if words else ""
    return f"<g data-subject={quote}{subject}{quote}>{title}"


_SHAPES = {
    "o": "M6 1.5a4.5 4.5 0 1 0 .01 0z",
    "s": "M2 2h8v8h-8z",
    "^": "M6 1.5 11 10.5H1z",
    "v": "M6 10.5 1 1.5H11z",
    "<": "M1.5 6 10.5 1V11z",
    ">": "M10.5 6 1.5 1V11z",
    "D": "M6 .8 11.2 6 6 11.2.8 6z",
    "d": "M6 .6 9.2 6 6 11.4 2.8 6z",
    "P": "M4.4 1h3.2v3.4H11v3.2H7.6V11H4.4V7.6H1V4.4h3.4z",
    "X": "M3.2 1 6 3.8 8.8 1 11 3.2 8.2 6 11 8.8 8.8 11 6 8.2 3.2 11 1 8.8 3.8 6 1 3.2z",
    "p": "M6 1 11 4.7 9.1 10.6H2.9L1 4.7z",
    "h": "M6 1 10.4 3.5V8.5L6 11 1.6 8.5V3.5z",
    "8": "M4 1H8L11 4V8L8 11H4L1 8V4z",
    "*": "M6 .8 7.4 4.4 11.2 4.6 8.3 7 9.2 10.8 6 8.7 2.8 10.8 3.7 7 .8 4.6 4.6 4.4z",
}


def swatch(subject: ComparedSubject) -> str:
    """A subject's colour and marker as a small SVG, so that tables and figures speak of it alike."""
    value = ink_of(subject)
    ink = f"var(--{next(name for name, one in (COLOURS | SPARES).items() if one == value)})"
    inside = "none" if subject.hollow else ink
    return (
        '<svg class="key" viewBox="0 0 12 12" aria-hidden="true" focusable="false">'
        f'<path d="{_SHAPES[shape_of(subject)]}" style="fill: {inside}; stroke: {ink}; stroke-width: 1.2"/></svg>'
    )


def rows(evidence: Evidence) -> list[tuple[float, ComparedSubject | str]]:
    """The places of subjects on a vertical axis, from the top: a heading for every arm where arms say something."""
    places: list[tuple[float, ComparedSubject | str]] = []
    at = 0.0
    for group in naming.groups(evidence):
        if group.name:
            places.append((at, group.name))
            at -= 0.9
        for subject in group.subjects:
            places.append((at, subject))
            at -= 1.0
        at -= 0.25
    return places


def label_rows(axes: Axes, places: Sequence[tuple[float, ComparedSubject | str]], names: bool) -> None:
    """Put the subjects in words, and the arms in faint italics, on a vertical axis."""
    words = [row if isinstance(row, str) else label(naming.heading(row)) for _, row in places]
    axes.set_yticks([at for at, _ in places])
    axes.set_yticklabels([text if names else "" for text in words])
    for tick, text, (_, row) in zip(axes.get_yticklabels(), words, places, strict=True):
        if isinstance(row, str):
            tick.set(style="italic", color=FAINT)
        else:
            tick.set(fontsize=7 if "\n" in text else 8.5, linespacing=0.95)
            mark(tick, row.name)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(min(at for at, _ in places) - 0.7, 0.7)


def quantity_axis(axes: Axes, unit: str, logarithmic: bool, vertical: bool = False) -> None:
    """Ticks in readable units: 1 ms, 10 ms, … or 0, 5 µs, …"""
    axis = axes.yaxis if vertical else axes.xaxis
    if logarithmic:
        together = (axes.get_shared_y_axes() if vertical else axes.get_shared_x_axes()).get_siblings(axes)
        if not any(np.isfinite(one.dataLim.minposy if vertical else one.dataLim.minposx) for one in together):
            (axes.set_ylim if vertical else axes.set_xlim)(1.0, 10.0)  # nothing positive: any decade will do
        (axes.set_yscale if vertical else axes.set_xscale)("log")
        low, high = sorted(axes.get_ylim() if vertical else axes.get_xlim())
        spec = axes.get_subplotspec()
        columns = spec.get_gridspec().ncols if spec is not None else 1
        most = 6 if vertical else 4 if columns < 3 else 3 if columns < 5 else 2
        axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
        axis.set_minor_locator(NullLocator())
        _minor_ticks(axes, low, high, vertical)
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value, unit)))


def _minor_ticks(axes: Axes, low: float, high: float, vertical: bool) -> None:
    """1 to 9 of each decade as one artist. Ticks of matplotlib's own are an artist each, a sixth of a report's time."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    at = [tick for d in decades for s in range(1, 10) if low <= (tick := s * 10.0**d) <= high]
    zero = [0.0] * len(at)
    across = axes.get_yaxis_transform() if vertical else axes.get_xaxis_transform()
    shape = MarkerStyle(TICKLEFT if vertical else TICKDOWN)
    x, y = (zero, at) if vertical else (at, zero)
    ticks = Line2D(x, y, linestyle="", marker=shape, markersize=2, color=FAINT, transform=across, clip_on=False)
    ticks.set_in_layout(False)
    axes.add_artist(ticks)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Two to `most` round numbers between `low` and `high` of a logarithmic axis, evenly spaced if these are close."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    finer = [tuple(np.arange(10, 100, step) / 10) for step in (5, 2, 1)]
    for place, steps in enumerate(((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), *finer)):
        inside = [tick for d in range(first, last + 1) for s in steps if low <= (tick := s * 10.0**d) <= high]
        if len(inside) >= (3 if place < 2 else 2):
            break
    if len(inside) < 2:
        inside = [tick for tick in MaxNLocator(most - 1).tick_values(low, high) if low <= tick <= high]
    return inside[:: max(1, -(-len(inside) // most))]


def short(value: float, unit: str) -> str:
    """A tick's label: as few digits as it takes."""
    if value == 0:
        return "0"
    divisor, name = format.scale(unit, value)
    return f"{value / divisor:,.6g} {name}".rstrip()


def height(evidence: Evidence, extra: float = 0.9) -> float:
    """Inches for a figure with one line a subject."""
    places = rows(evidence)
    return extra + 0.27 * (1.4 + (max((-at for at, _ in places), default=0.0)))


def to_svg(canvas: Figure) -> str:
    """A standalone SVG without date or links. Lays the figure out, for `to_png` too."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        # Labels that leave no room (extreme values): the panels then stay where a figure has them without a layout.
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        FigureCanvasSVG(canvas).print_svg(buffer, metadata=nothing)  # type: ignore[no-untyped-call]
    canvas.set_layout_engine(
        "none"
    )  # the layout stays as found: finding it again for the PNG takes longer than drawing
    text = _NOT_XML.sub(" ", buffer.getvalue())
    text = re.sub(r"<!DOCTYPE.*?>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _MARK.sub(_marked, _compact(_PLACES.sub(_rounded, text)))


def _compact(svg: str) -> str:
    """The same drawing in a fifth fewer bytes: an element a line without indentation, a path on one line, and without
    the ids that nothing refers to."""
    svg = re.sub(r"\s*\n\s*", "\n", _COUNTED.sub("", svg))
    svg = re.sub(r"\n(?=[LCQz] ?)", " ", svg).replace('\n"', '"')
    return re.sub(r"<g>\n((?:<use [^>]*>\n)+)</g>", lambda group: group[1].rstrip(), svg)


_COUNTED = re.compile(r' id="[A-Za-z0-9.]+_\d+"')
"""The ids that Matplotlib gives to everything that it draws; those of clips and of shapes used again differ."""
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Letters of a name that would make the file ill-formed (XML 1.0, section 2.2)."""
_PLACES = re.compile(r' (?:d|x|y|x1|x2|y1|y2|width|height|points|transform)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{3,}")


def _rounded(attribute: re.Match[str]) -> str:
    """Places to a hundredth of a point: further digits only make the file larger."""
    return _LONG.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute[0])


DARK = {
    INK: "#eceae4",
    FAINT: "#a8a59e",
    RULE: "#37352f",
    COLOURS["sse"]: "#56a9e0",
    COLOURS["websocket"]: "#ef8a3c",
    COLOURS["short-poll"]: "#3fc79b",
    COLOURS["long-poll"]: "#e3a0c4",
    COLOURS["tcp"]: "#9b9993",
    SPARES["spare-1"]: "#d2cfc6",
    SPARES["spare-2"]: "#e8b04a",
    SPARES["spare-3"]: "#b79ae0",
}
"""What stands for a colour on a dark page: the dark values of report.css (a test compares them)."""


def to_dark(svg: str) -> str:
    """The same standalone SVG for a dark page, whose background it shows."""
    return re.sub("|".join(DARK), lambda found: DARK[found[0]], svg)


def to_png(canvas: Figure) -> bytes:
    """A PNG on white, for places that take no SVG."""
    buffer = io.BytesIO()
    canvas.set_facecolor("white")
    canvas.set_dpi(150)
    FigureCanvasAgg(canvas).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    canvas.set_facecolor("none")
    return buffer.getvalue()


def inline(svg: str, name: str, title: str) -> str:
    """The SVG as a part of the page: its own ids, the page's font, and colours that follow the theme."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"\s*<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>", "", text)  # its rule is in report.css
    text = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"'DejaVu Sans'(?:, [\w'\- ]+)*", "var(--sans)", text)
    for role, value in (("ink", INK), ("faint", FAINT), ("rule", RULE)):
        text = text.replace(value, f"var(--{role})")
    for variable, value in (COLOURS | SPARES).items():
        text = text.replace(value, f"var(--{variable})")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
