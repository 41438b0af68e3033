"""The results of a sweep as rows, one kind for each question about a key.

Invariant: plain values, as `sweep` of report.json has them; nothing is estimated here. Made by `sweeps.study`, read by
the report, its sentences and its figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rtbench.analysis.statistics.judgement import Comparison


@dataclass(frozen=True, slots=True)
class Slice:
    """One key with all others held: its values and the cells that have them."""

    key: str
    at: Mapping[str, Any]
    """The other swept keys and their values here."""
    cells: tuple[tuple[Any, Mapping[str, Any]], ...]
    """(value of the key, cell), in the sweep's order."""

    @property
    def numeric(self) -> bool:
        """Whether the key has a logarithm everywhere: what a slope and a crossover take."""
        values = [value for value, _ in self.cells]
        return len(values) > 1 and all(type(v) in (int, float) and v > 0 for v in values)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A curve at one value of the key: the median over trials and the t-interval of the mean over trials."""

    value: Any
    subject: str
    trials: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric of a subject over a key."""

    key: str
    at: Mapping[str, Any]
    subject: str
    metric: str
    unit: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Exponent:
    """metric ∝ key^exponent, from `first` to `last` of the key."""

    key: str
    at: Mapping[str, Any]
    subject: str
    metric: str
    exponent: float
    low: float
    high: float
    blocks: int
    first: float
    last: float
    steps: tuple[float, ...]
    """The exponent from each value of the key to the next."""
    bends: bool | None
    """Whether the curve bends (curvature tested at 5 % false discoveries over all curves of the sweep): then the
    exponent is only an average over the range. None with two values of the key."""
    curvature: float | None
    """The exponent at the end of the range less that at its start, of a parabola through the logs."""
    curvature_p: float | None


@dataclass(frozen=True, slots=True)
class KeyEffect:
    """A subject at the last value of a key without logarithm beside itself at the first."""

    key: str
    at: Mapping[str, Any]
    subject: str
    first: Any
    last: Any
    comparison: Comparison
    """Of the two cells, in one metric; judged in the family of all key effects of the sweep."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Where the order of two subjects flips. The interval holds a true flip with 95 % confidence where the log-ratio
    is straight in log(key) between the cells beside it."""

    value: float
    low: float
    high: float
    lower_before: str
    lower_after: str


@dataclass(frozen=True, slots=True)
class Crossover:
    """Two subjects in one metric over a key."""

    key: str
    at: Mapping[str, Any]
    metric: str
    a: str
    b: str
    across: bool
    """Whether they are of two arms: there stacks differ (R10)."""
    status: str
    """"crosses", "none in range" (one is lower everywhere), "not resolved" (somewhere the order is not known)."""
    lower: str | None
    """The subject that is lower everywhere, when the curves do not cross."""
    flips: tuple[Flip, ...]
    undecided: tuple[tuple[float, float], ...]
    """Stretches of the key in which the order is not known, those of the flips included."""
    first: float
    last: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """One subject at one poll interval: the age of its data, and its cost. Each (median, low, high)."""

    subject: str
    item: str
    transport: str
    polls: bool
    interval_s: float
    at: Mapping[str, Any]
    age_ns: tuple[float | None, float | None, float | None]
    age_tail_ns: tuple[float | None, float | None, float | None]
    age_tail: str
    """The metric that `age_tail_ns` is: p99 in time where enough due instants allow it (R8), else over subscribers."""
    cpu_ns: tuple[float | None, float | None, float | None]
    bytes_down: tuple[float | None, float | None, float | None]
    bytes_up: tuple[float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The whole sweep."""

    keys: tuple[str, ...]
    slices: tuple[Slice, ...]
    curves: tuple[Curve, ...]
    exponents: tuple[Exponent, ...]
    changes: tuple[KeyEffect, ...]
    crossovers: tuple[Crossover, ...]
    freshness: tuple[Fresh, ...]

    def as_dict(self) -> dict[str, Any]:
        """`sweep` of report.json: keys, curves, exponents, changes, crossovers, freshness."""
        names = ("curves", "exponents", "changes", "crossovers", "freshness")
        table = {name: [asdict(row) for row in getattr(self, name)] for name in names}
        for row, one in zip(table["changes"], self.changes, strict=True):
            row["comparison"] = one.comparison.row()
        return {"keys": list(self.keys), **table}

    def exponent(self, where: Slice, subject: str, metric: str) -> Exponent | None:
        found = (
            e for e in self.exponents if (e.key, e.at, e.subject, e.metric) == (where.key, where.at, subject, metric)
        )
        return next(found, None)
