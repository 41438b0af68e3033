"""The cost of each of several counts, from totals of intervals: planted costs are found, and the interval covers."""

from __future__ import annotations

import numpy as np
import pytest

from rtbench.analysis.statistics.shares import cost_of_last


def counts(rng: np.random.Generator, intervals: int) -> list[np.ndarray]:
    return [np.ones(intervals), 5.0 * rng.poisson(700, intervals), rng.poisson(20, intervals) * 1.0]


def test_an_exact_cost_is_found() -> None:
    x = counts(np.random.default_rng(1), 60)
    found = cost_of_last(3e6 * x[0] + 9_000 * x[1] + 400_000 * x[2], x)
    assert found is not None
    assert found.slope == pytest.approx(400_000, rel=1e-6)
    assert found.low == pytest.approx(found.high, rel=1e-4)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng, covered, trials = np.random.default_rng(2), 0, 400
    for _ in range(trials):
        x = counts(rng, 40)
        found = cost_of_last(9_000 * x[1] + 400_000 * x[2] + 3e6 * rng.standard_normal(40), x)
        assert found is not None
        covered += found.low <= 400_000 <= found.high
    assert covered / trials == pytest.approx(0.95, abs=0.035)


def test_what_cannot_be_told_apart_has_no_cost() -> None:
    x = np.arange(10.0) + 1
    assert cost_of_last(x, [x, 2 * x]) is None
    assert cost_of_last(x, [x, np.zeros(10)]) is None
    assert cost_of_last(x[:2], [x[:2], x[:2] ** 2]) is None
