"""The registry of metrics: one number per trial each, with what it means and which way is better.

Invariant: a metric is a row that its file registers when it is imported; every module of this package is imported, so
adding one costs one function and no list. A name keeps its meaning for ever (interface.md). Called by the report, the
comparison and `rtbench list metrics`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from rtbench.analysis.samples.samples import Samples

Direction = Literal["lower", "higher", "neither"]
Function = Callable[[Samples], float | None]

POLLING = ("short-poll", "long-poll")


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the registry. `function` gives None where the number is censored, not eligible or not there."""

    name: str
    unit: str
    """"ns", "bytes", "messages", "connections", "requests", "segments", "share", "hz"; per message where the name says
    so."""
    direction: Direction
    """Which way is better."""
    title: str
    caption: str
    function: Function
    transports: tuple[str, ...] = ()
    """The transports to which it applies; empty: all."""

    @property
    def compared(self) -> bool:
        """Whether a ratio of two subjects means something."""
        return self.direction != "neither"

    def applies(self, transport: str) -> bool:
        return not self.transports or transport in self.transports

    def describe(self) -> dict[str, object]:
        """The row of `rtbench list metrics --json`."""
        return {
            "metric": self.name,
            "unit": self.unit,
            "better": self.direction,
            "title": self.title,
            "caption": self.caption,
            "transports": list(self.transports),
        }


_registered: dict[str, Metric] = {}


def register(metric: Metric) -> None:
    """Add a row. A name that is there already is our bug and raises ValueError."""
    if metric.name in _registered:
        raise ValueError(f"the metric {metric.name} is registered twice")
    _registered[metric.name] = metric


def metric(
    name: str, unit: str, direction: Direction, title: str, caption: str, *transports: str
) -> Callable[[Function], Function]:
    """Decorator: register the function under it as a metric."""

    def add(function: Function) -> Function:
        register(Metric(name, unit, direction, title, caption, function, transports))
        return function

    return add


@cache
def catalogue() -> tuple[Metric, ...]:
    """Every metric, in the order of the files and inside them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(_registered.values())


def find(name: str) -> Metric:
    """The metric called `name`. A name that is not there raises KeyError."""
    catalogue()
    return _registered[name]


def measure(samples: Samples) -> dict[str, float | None]:
    """Every metric of one trial: the registry's names to numbers, None where there is none or none can be known."""
    trial = samples.trial
    return {
        m.name: m.function(samples) if m.applies(trial.transport) and not trial.unknown(m.name) else None
        for m in catalogue()
    }
