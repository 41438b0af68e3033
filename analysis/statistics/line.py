"""The estimates of a sweep: one function of the swept key in every block (R7).

Invariant: blocks are the replicates. Every estimate (a slope, a bend, a difference at some value of the key) is made in
each block by itself, so that a block's common effect drops out or counts as noise between blocks, and its interval is
Student's t over the blocks. Nothing is pooled over cells: their noise is rarely the same. Called by
`sweeps`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE

Floats = npt.NDArray[np.float64]
Rows = Mapping[float, Mapping[int, float]]
"""Value of the swept key to block to a logarithm."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over blocks and its t-interval."""

    value: float
    low: float
    high: float
    blocks: int
    p: float
    """Two-sided, of a true mean of 0."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of log(key), from the range's start (`low` is None) or to its end (`high` is None)."""

    low: float | None
    high: float | None
    zero: float | None
    """Where the mean difference changes sign inside; None when it does not, or not an odd number of times."""


def complete(rows: Rows) -> tuple[Floats, Floats] | None:
    """log(key) of the cells and the table cells × blocks of the blocks that have all of them; two of both at least.

    A cell that keeps all but one block from being complete is left out, the emptiest first: the range shrinks, and the
    caller reports that.
    """
    kept = sorted(x for x, row in rows.items() if len(row) > 1)
    while len(kept) > 1:
        blocks = sorted(set.intersection(*(set(rows[x]) for x in kept)))
        if len(blocks) > 1:
            table = np.array([[rows[x][block] for block in blocks] for x in kept])
            return np.log(np.array(kept, dtype=np.float64)), table
        kept.remove(min(kept, key=lambda x: len(rows[x])))
    return None


def slope(x: Floats, table: Floats) -> Estimate:
    """The slope of the table's logs on log(key): least squares in each block."""
    centred = x - x.mean()
    return over_blocks((centred / (centred**2).sum()) @ table)


def bend(x: Floats, table: Floats) -> Estimate | None:
    """The coefficient of log(key)² in each block's parabola; None with fewer than three cells."""
    if x.size < 3:
        return None
    centred = x - x.mean()
    design = np.stack([np.ones_like(centred), centred, centred**2])
    return over_blocks(np.linalg.pinv(design.T)[2] @ table)


def over_blocks(values: Floats) -> Estimate:
    """The mean of one value a block, and its t-interval."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
    freedom = values.size - 1
    half = student.critical(freedom, CONFIDENCE) * error
    return Estimate(mean, mean - half, mean + half, values.size, student.p_value(mean, error, freedom))


def undecided(x: Floats, table: Floats) -> list[Span]:
    """Where the t-interval of the mean difference holds 0, with the difference straight in log(key) between cells.

    `table`: log-ratios of two subjects, cells × blocks. By inversion of the interval at each point, a point where the
    true difference is 0 is inside with the interval's confidence (Fieller's way). Exact: between two cells the bound is
    a quadratic inequality. A gap between two stretches that no cell lies in is filled.
    """
    scale = student.critical(table.shape[1] - 1, CONFIDENCE) ** 2 / table.shape[1]
    means, cov = table.mean(axis=1), np.atleast_2d(np.cov(table, ddof=1))
    inside: list[tuple[float, float]] = []
    for i in range(x.size - 1):
        (m0, m1), v = means[i : i + 2], cov[i : i + 2, i : i + 2]
        step, width = m1 - m0, float(v[0, 0] - 2 * v[0, 1] + v[1, 1])
        # (m0 + t·step)² ≤ scale · (v00 + 2t(v01 − v00) + t²·width), for t from 0 to 1
        square = step**2 - scale * width
        linear = 2 * (m0 * step - scale * (v[0, 1] - v[0, 0]))
        constant = m0**2 - scale * v[0, 0]
        edges = [0.0, *sorted(t for t in _roots(square, linear, constant) if 0 < t < 1), 1.0]
        for left, right in itertools.pairwise(edges):
            middle = (left + right) / 2
            if square * middle**2 + linear * middle + constant <= 0:
                begin, end = (float(x[i] + t * (x[i + 1] - x[i])) for t in (left, right))
                # The average of two undecided cells has less noise and may look decided: it is not.
                if inside and not (x[(x > inside[-1][1]) & (x < begin)]).size:
                    begin = inside.pop()[0]
                inside.append((begin, end))
    first, last = float(x[0]), float(x[-1])
    return [
        Span(None if low == first else low, None if high == last else high, _zero(x, means, low, high))
        for low, high in inside
    ]


def _roots(square: float, linear: float, constant: float) -> list[float]:
    """The real roots of a quadratic, or of a line when it is one."""
    if abs(square) < 1e-300:
        return [-constant / linear] if linear else []
    under = linear**2 - 4 * square * constant
    if under < 0:
        return []
    # The stable form: it subtracts no two numbers that are almost equal.
    q = -0.5 * (linear + math.copysign(math.sqrt(under), linear))
    return [q / square] + ([constant / q] if q else [])


def _zero(x: Floats, means: Floats, low: float, high: float) -> float | None:
    """Where the mean is 0 between low and high; the middle one of an odd number."""
    found = []
    for i in range(x.size - 1):
        m0, m1 = float(means[i]), float(means[i + 1])
        if (m0 < 0) != (m1 < 0):
            at = float(x[i] + (x[i + 1] - x[i]) * m0 / (m0 - m1))
            if low <= at <= high:
                found.append(at)
    return found[len(found) // 2] if len(found) % 2 else None
