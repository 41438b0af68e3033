"""Subjects compared: block-paired log-ratios with a t-interval (R7, R8).

Model: log(metric) = subject + block + residual. The ratio of two subjects is exp of the mean difference of their logs
over the blocks that have both. Its variance is 2 s²/n with s² the residual variance of the whole table of subjects ×
complete blocks, (S−1)(B−1) degrees of freedom, when Bartlett's test at level 0.5 does not find the subjects' residual
variances unequal and the pair's own variance is not more than 1.5 times as large; else it is the variance of the pair's
own differences, n−1 degrees of freedom. Both are that strict because a test on few blocks has little power, and pooling
wrongly costs coverage (90 % in 3 blocks for one of eight subjects three times as noisy as the others, without the
second condition) while not pooling only costs width. What it covers is simulated by `benchmarks/coverage.py`;
docs/explanation/statistics-tables.md has the table. Messages inside a trial are never treated as independent: one
number a trial goes in.
Every interval has its confidence by itself; `judgement` decides the statements for all comparisons of a family at once.
Called by the evidence and the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from rtbench.analysis.statistics import student

CONFIDENCE = 0.95
LEVEL = 1 - CONFIDENCE
"""Of a single test, and the false-discovery rate of a family of them."""

POOLING_LEVEL = 0.5
POOLING_EXCESS = 1.5

Values = Mapping[str, Mapping[int, float | None]]
"""Subject to block to the metric's value there; None where there is none."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """a against b in one metric: ratio = a/b. Nothing is concluded from it yet: `judgement` does that. `low` and `high`
    are None when there are too few blocks for an interval."""

    metric: str
    a: str
    b: str
    ratio: float
    low: float | None
    high: float | None
    confidence: float
    blocks: int
    pooled: bool
    p: float | None = None
    """Two-sided, of a ratio of 1; below 0.05 exactly when the interval excludes 1. None without an interval."""
    sd: float | None = None
    """Standard deviation of the log-ratio in one block."""
    error: float | None = None
    """Standard error of the mean log-ratio."""
    freedom: float = 0.0
    """Degrees of freedom of `error`."""
    campaigns: int = 1
    """How many campaigns it is combined of (`random_effects`)."""
    cell: Mapping[str, Any] = field(default_factory=dict)
    """The cell of the sweep that both are in."""

    def limits(self, confidence: float) -> tuple[float, float] | None:
        """The t-interval of the log-ratio at another confidence, from the same variance and freedom."""
        if self.error is None:
            return None
        half = student.critical(self.freedom, confidence) * self.error
        return math.log(self.ratio) - half, math.log(self.ratio) + half

    def times(self, factor: float) -> Estimate:
        """The same ratio times a known number."""
        return estimate(
            self.metric, self.a, self.b, math.log(self.ratio) + math.log(factor), self.error, self.freedom,
            blocks=self.blocks, pooled=self.pooled, sd=self.sd, confidence=self.confidence, campaigns=self.campaigns,
            cell=self.cell,
        )  # fmt: skip


def estimate(
    metric: str,
    a: str,
    b: str,
    mean: float,
    error: float | None,
    freedom: float,
    *,
    blocks: int,
    pooled: bool = False,
    sd: float | None = None,
    confidence: float = CONFIDENCE,
    campaigns: int = 1,
    cell: Mapping[str, Any] | None = None,
) -> Estimate:
    """An estimate from a mean log-ratio, its standard error (None: not known) and the degrees of freedom of that."""
    low = high = p = None
    if error is not None:
        half = student.critical(freedom, confidence) * error
        low, high = bounded_exp(mean - half), bounded_exp(mean + half)
        p = student.p_value(mean, error, freedom)
    return Estimate(
        metric,
        a,
        b,
        bounded_exp(mean),
        low,
        high,
        confidence,
        blocks,
        pooled,
        p,
        sd,
        error,
        freedom,
        campaigns,
        cell or {},
    )


def bounded_exp(value: float) -> float:
    """exp that stays a finite number above 0: two blocks may give an interval of any width."""
    return math.exp(max(-700.0, min(value, 700.0)))


@dataclass(frozen=True, slots=True)
class Summary:
    """A subject's metric over its trials: the median over trials, and a t-interval of the mean (of the logs, if
    `logarithmic`)."""

    subject: str
    metric: str
    unit: str
    trials: int
    median: float | None
    low: float | None
    high: float | None

    def row(self) -> dict[str, Any]:
        """The row of report.json."""
        return {
            "subject": self.subject, "metric": self.metric, "unit": self.unit, "trials": self.trials,
            "median": self.median, "low": self.low, "high": self.high,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Residual:
    """The residual variance of the two-way table, and whether the subjects may share it."""

    variance: float
    freedom: int
    homogeneous: bool


def compare(
    metric: str,
    values: Values,
    pairs: Sequence[tuple[str, str]] | None = None,
    confidence: float = CONFIDENCE,
    cell: Mapping[str, Any] | None = None,
) -> list[Estimate]:
    """Compare every pair (or the given ones) that has a positive value of both in one block at least.

    A zero has no logarithm: such a value is left out. `cell`: of the sweep, if there is one; it is only noted.
    """
    logs = {
        subject: {block: math.log(v) for block, v in row.items() if v is not None and v > 0 and math.isfinite(v)}
        for subject, row in values.items()
    }
    names = [subject for subject, row in logs.items() if row]
    wanted = pairs if pairs is not None else [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    shared = residual(logs)
    results = []
    for a, b in wanted:
        blocks = sorted(logs.get(a, {}).keys() & logs.get(b, {}).keys())
        if blocks:
            differences = np.array([logs[a][block] - logs[b][block] for block in blocks])
            results.append(pair(metric, a, b, differences, shared, confidence=confidence, cell=cell))
    return results


def pair(
    metric: str,
    a: str,
    b: str,
    differences: npt.NDArray[np.float64],
    shared: Residual | None,
    *,
    confidence: float = CONFIDENCE,
    cell: Mapping[str, Any] | None = None,
) -> Estimate:
    """One estimate from the log-ratios of its blocks and the residual variance of its table."""
    count = differences.size
    pooled, sd, error, freedom = False, None, None, 0.0
    if count > 1:
        variance, freedom = float(differences.var(ddof=1)), float(count - 1)
        if shared is not None and shared.homogeneous and variance <= POOLING_EXCESS * 2 * shared.variance:
            pooled, variance, freedom = True, 2 * shared.variance, float(shared.freedom)
        sd, error = math.sqrt(variance), math.sqrt(variance / count)
    return estimate(
        metric, a, b, float(differences.mean()), error, freedom,
        blocks=count, pooled=pooled, sd=sd, confidence=confidence, cell=cell,
    )  # fmt: skip


def residual(logs: Mapping[str, Mapping[int, float]]) -> Residual | None:
    """The residual variance over the blocks in which every subject has a value; None with fewer than three subjects
    (a pair is its own table) or two complete blocks."""
    rows = {subject: row for subject, row in logs.items() if row}
    blocks = sorted(set.intersection(*(set(row) for row in rows.values()))) if rows else []
    if len(rows) < 3 or len(blocks) < 2:
        return None
    table = np.array([[row[block] for block in blocks] for row in rows.values()])
    return residual_of(table)


def residual_of(table: npt.NDArray[np.float64]) -> Residual:
    """The same from a complete table, subjects × blocks."""
    subjects, blocks = table.shape
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    freedom = (subjects - 1) * (blocks - 1)
    own = (left**2).sum(axis=1) / (blocks - 1)
    variance = float((left**2).sum() / freedom)
    return Residual(variance, freedom, _bartlett(own, blocks - 1) > POOLING_LEVEL)


def _bartlett(variances: npt.NDArray[np.float64], freedom: int) -> float:
    """p of Bartlett's test for equal variances with `freedom` degrees each; 0 when one of them is zero and others are
    not. `scipy.stats.bartlett` decides the same (a test holds it), a hundred times slower: `simulation` asks for some
    hundred thousand."""
    groups = variances.size
    mean = float(variances.mean())
    if mean == 0:
        return 1.0
    if float(variances.min()) <= mean * 1e-12:
        return 0.0
    statistic = freedom * (groups * math.log(mean) - float(np.log(variances).sum()))
    correction = 1 + (groups + 1) / (3 * groups * freedom)
    return float(special.chdtrc(groups - 1, statistic / correction))


def summarise(
    subject: str,
    metric: str,
    unit: str,
    values: Sequence[float | None],
    *,
    logarithmic: bool,
    confidence: float = CONFIDENCE,
) -> Summary:
    """Median of the trials that have a value, and the interval of their mean: on the log scale when `logarithmic` and
    all are positive. One trial has no interval."""
    there = np.array([v for v in values if v is not None], dtype=np.float64)
    if not there.size:
        return Summary(subject, metric, unit, 0, None, None, None)
    logarithmic = logarithmic and bool((there > 0).all())
    low = high = None
    if there.size > 1:
        scale = np.log(there) if logarithmic else there
        half = student.critical(there.size - 1, confidence) * float(scale.std(ddof=1)) / math.sqrt(there.size)
        low, high = float(scale.mean()) - half, float(scale.mean()) + half
        if logarithmic:
            low, high = math.exp(low), math.exp(high)
    return Summary(subject, metric, unit, int(there.size), float(np.median(there)), low, high)
