"""The registry of figures: one file a figure, each drawn from the evidence with a caption that stands by itself.

Invariant: a caption says what is plotted, n, and how the interval was made; one colour a transport and one marker a
stack throughout (`_style`); arms in groups of their own (R10); no dual axes. Every module of this package that
registers a figure is found; there is no list. Called by the report.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from matplotlib.figure import Figure as Canvas

from rtbench.analysis.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a figure's function returns: the canvas and the caption."""

    canvas: Canvas
    caption: str
    values: tuple[tuple[str, str], ...] = ()
    """The metrics that are drawn, each with the words above its panel: the page has their values as a table."""
    metrics: tuple[str, ...] = ()
    """The metrics that are drawn, where `values` does not name them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the registry. `place` orders the report; the first one is the decision figure. `draw` gives None when
    there is nothing to show."""

    name: str
    place: int
    title: str
    draw: Callable[[Evidence], Drawing | None]


_registered: dict[str, Figure] = {}


def figure(
    name: str, place: int, title: str
) -> Callable[[Callable[[Evidence], Drawing | None]], Callable[..., Drawing | None]]:
    """Decorator: register the function under it as a figure. A name that is there already raises ValueError."""

    def add(draw: Callable[[Evidence], Drawing | None]) -> Callable[[Evidence], Drawing | None]:
        if name in _registered:
            raise ValueError(f"the figure {name} is registered twice")
        _registered[name] = Figure(name, place, title, draw)
        return draw

    return add


@cache
def catalogue() -> tuple[Figure, ...]:
    """Every figure, in the report's order."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return tuple(sorted(_registered.values(), key=lambda f: (f.place, f.name)))
