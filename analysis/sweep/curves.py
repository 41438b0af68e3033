"""A sweep read as a whole: curves over the swept key, growth exponents, crossovers, and cost at equal freshness.

Invariant: every estimate is made in each block by itself and its interval is over blocks (`line`). Nothing is stated
outside the measured range: an order that flips nowhere in it and an order hidden by noise are results of their own. An
exponent is the mean slope of the metric's log on the key's log; where the curve bends, the exponent is flagged as an
average. Called by the report, its sentences and its figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rtbench.analysis.evidence import ComparedSubject, Evidence
from rtbench.analysis.metrics import find
from rtbench.analysis.statistics import line
from rtbench.analysis.statistics.compare import LEVEL, Estimate
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.analysis.statistics.noise import Noise
from rtbench.analysis.sweep.rows import Crossover, Curve, CurvePoint, Exponent, Flip, Fresh, KeyEffect, Slice, Sweep

POLL = "poll.interval_s"

BENT = 0.01
"""An exponent that changes by less over the whole range is called straight, however sure the change is."""


def study(evidence: Evidence) -> Sweep | None:
    """The sweep of a campaign; None without one, or with one value of each key, over which nothing can change."""
    if not evidence.swept:
        return None
    cells = [cell for cell in evidence.campaign.cells if cell]
    keys = tuple(dict.fromkeys(key for cell in cells for key in cell))
    parts = tuple(_slices(cells, keys))
    if not parts:
        return None
    noises = evidence.noises
    exponents, changes, crossovers, curves = [], [], [], []
    for part in parts:
        for metric in metrics_of(evidence):
            for base in bases(evidence):
                curves.append(_curve(evidence, part, base.base, metric))
                if part.numeric:
                    exponents.append(_exponent(evidence, part, base.base, metric))
                else:
                    changes.append(_change(evidence, part, base.base, metric))
            for a, b in itertools.combinations(bases(evidence), 2) if part.numeric else ():
                if (flip := _crossover(evidence, part, metric, a, b, noises.get(metric))) is not None:
                    crossovers.append(flip)
    return Sweep(
        keys,
        parts,
        tuple(curves),
        tuple(_bent([one for one in exponents if one is not None])),
        tuple(_effects(evidence, [one for one in changes if one is not None])),
        tuple(crossovers),
        tuple(_freshness(evidence, cells)),
    )


def metrics_of(evidence: Evidence) -> tuple[str, ...]:
    """The metrics drawn over the key: the headline metrics and the bytes that the client sends."""
    return (*evidence.headline, "tcp_up_bytes_per_message")


def bases(evidence: Evidence) -> list[ComparedSubject]:
    """Every subject once, whatever its cells."""
    found: dict[str, ComparedSubject] = {}
    for subject in evidence.subjects:
        found.setdefault(subject.base, subject)
    return list(found.values())


def _slices(cells: list[dict[str, Any]], keys: tuple[str, ...]) -> Iterator[Slice]:
    for key in keys:
        groups: list[tuple[dict[str, Any], list[tuple[Any, Mapping[str, Any]]]]] = []
        for cell in cells:
            at = {k: v for k, v in cell.items() if k != key}
            mine = next((rows for other, rows in groups if other == at), None)
            if mine is None:
                groups.append((at, mine := []))
            mine.append((cell[key], cell))
        for at, rows in groups:
            if len(rows) > 1:
                yield Slice(key, at, tuple(rows))


def _names(evidence: Evidence, part: Slice, base: str) -> Iterator[tuple[Any, str]]:
    """(value of the key, name of the subject in that cell)."""
    for value, cell in part.cells:
        for subject in evidence.subjects:
            if subject.base == base and subject.cell == cell:
                yield value, subject.name


def _curve(evidence: Evidence, part: Slice, base: str, metric: str) -> Curve:
    points = []
    for value, name in _names(evidence, part, base):
        row = evidence.summary(name, metric)
        known = (row.trials, row.median, row.low, row.high) if row is not None else (0, None, None, None)
        points.append(CurvePoint(value, name, *known))
    return Curve(part.key, part.at, base, metric, find(metric).unit, tuple(points))


def _logs(evidence: Evidence, part: Slice, base: str, metric: str) -> dict[float, dict[int, float]]:
    return {
        float(value): {
            block: math.log(v)
            for block, v in evidence.values[metric][name].items()
            if v is not None and v > 0 and math.isfinite(v)
        }
        for value, name in _names(evidence, part, base)
    }


_Change = tuple[Slice, str, Any, Any, Estimate]
"""A slice, a subject, the first and the last value of the key, and the change between them."""


def _change(evidence: Evidence, part: Slice, base: str, metric: str) -> _Change | None:
    names = list(_names(evidence, part, base))
    if len(names) < 2:
        return None
    (first, before), (last, now) = names[0], names[-1]
    values = {name: evidence.values[metric][name] for name in (before, now)}
    found = evidence.estimate(metric, values, now, before)
    return None if found is None or found.blocks < 2 else (part, base, first, last, found)


def _effects(evidence: Evidence, changes: list[_Change]) -> Iterator[KeyEffect]:
    """The key effects, judged as one family."""
    judged = evidence.judge([found for *_, found in changes], "key effects")
    for (part, base, first, last, _), found in zip(changes, judged, strict=True):
        yield KeyEffect(part.key, part.at, base, first, last, found)


def _exponent(evidence: Evidence, part: Slice, base: str, metric: str) -> Exponent | None:
    found = line.complete(_logs(evidence, part, base, metric))
    if found is None:
        return None
    x, table = found
    slope, bend = line.slope(x, table), line.bend(x, table)
    steps = np.diff(table.mean(axis=1)) / np.diff(x)
    return Exponent(
        key=part.key,
        at=part.at,
        subject=base,
        metric=metric,
        exponent=slope.value,
        low=slope.low,
        high=slope.high,
        blocks=slope.blocks,
        first=_back(x[0]),
        last=_back(x[-1]),
        steps=tuple(steps.tolist()),
        bends=None,
        curvature=None if bend is None else 2 * bend.value * float(x[-1] - x[0]),
        curvature_p=None if bend is None else bend.p,
    )


def _bent(exponents: list[Exponent]) -> list[Exponent]:
    """The exponents with `bends` set: curvature significant among all of them and larger than BENT."""
    tested = [i for i, one in enumerate(exponents) if one.curvature_p is not None]
    q = adjust(np.array([exponents[i].curvature_p for i in tested], dtype=np.float64))
    for i, adjusted in zip(tested, q.tolist(), strict=True):
        exponents[i] = replace(exponents[i], bends=adjusted <= LEVEL and abs(exponents[i].curvature or 0.0) > BENT)
    return exponents


def _back(log: float) -> float:
    """exp, without the last digit's noise: 100, not 99.99999999999997."""
    return float(f"{math.exp(log):.12g}")


def _crossover(
    evidence: Evidence, part: Slice, metric: str, a: ComparedSubject, b: ComparedSubject, noise: Noise | None
) -> Crossover | None:
    one, other = (_logs(evidence, part, subject.base, metric) for subject in (a, b))
    shared = {
        x: {block: row[block] - other[x][block] for block in row.keys() & other[x].keys()}
        for x, row in one.items()
        if x in other
    }
    found = line.complete(shared)
    if found is None:
        return None
    x, table = found
    floor = math.log(noise.floor(table.shape[1])) if noise is not None else 0.0
    means = table.mean(axis=1)
    first, last = float(x[0]), float(x[-1])
    spans = line.undecided(x, table)
    edges = [(s.low if s.low is not None else first, s.high if s.high is not None else last) for s in spans]
    # The stretches between: in each the order is known, if it is beyond the noise floor in some cell.
    starts, ends = [first, *(high for _, high in edges)], [*(low for low, _ in edges), last]
    signs = [
        _sign(means[(x >= start) & (x <= end)], floor) if end > start else 0
        for start, end in zip(starts, ends, strict=True)
    ]
    flips = []
    for (low, high), span, before, after in zip(edges, spans, signs, signs[1:], strict=False):
        if before * after < 0 and span.zero is not None:
            names = (a.base, b.base) if before < 0 else (b.base, a.base)
            flips.append(Flip(_back(span.zero), _back(low), _back(high), *names))
    if flips:
        status, lower = "crosses", None
    elif not spans and signs[0]:
        status, lower = "none in range", a.base if signs[0] < 0 else b.base
    else:
        status, lower = "not resolved", None
    return Crossover(
        key=part.key,
        at=part.at,
        metric=metric,
        a=a.base,
        b=b.base,
        across=a.arm != b.arm,
        status=status,
        lower=lower,
        flips=tuple(flips),
        undecided=tuple((_back(low), _back(high)) for low, high in edges),
        first=_back(first),
        last=_back(last),
        blocks=table.shape[1],
    )


def _sign(means: line.Floats, floor: float) -> int:
    """-1 or 1 when the largest difference of a stretch is beyond the noise floor, else 0."""
    if not means.size:
        return 0
    largest = float(means[np.argmax(np.abs(means))])
    return 0 if abs(largest) <= floor else (1 if largest > 0 else -1)


def _freshness(evidence: Evidence, cells: list[dict[str, Any]]) -> Iterator[Fresh]:
    """Every subject at every poll interval, when the sweep is over poll intervals."""
    latency = evidence.headline[0].removesuffix("_p50_ns")
    for cell in cells if any(POLL in cell for cell in cells) else ():
        for subject in evidence.subjects:
            if subject.cell != cell:
                continue

            def of(metric: str, name: str = subject.name) -> tuple[float | None, float | None, float | None]:
                row = evidence.summary(name, metric)
                return (row.median, row.low, row.high) if row is not None else (None, None, None)

            in_time = of(f"{latency}_p99_ns")
            tail = f"{latency}_p99_ns" if in_time[0] is not None else f"{latency}_within_tick_p99_ns"
            yield Fresh(
                subject=subject.base,
                item=subject.name,
                transport=subject.transport,
                polls=subject.transport == "short-poll",
                interval_s=float(cell[POLL]),
                at={k: v for k, v in cell.items() if k != POLL},
                age_ns=of(f"{latency}_p50_ns"),
                age_tail_ns=of(tail),
                age_tail=tail,
                cpu_ns=of("server_cpu_ns_per_message"),
                bytes_down=of("tcp_down_bytes_per_message"),
                bytes_up=of("tcp_up_bytes_per_message"),
            )
