from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import scipy

from rtbench.analysis.statistics.compare import Residual, compare, residual, residual_of, summarise


def values(**rows: list[float | None]) -> dict[str, dict[int, float | None]]:
    return {name: dict(enumerate(row, start=1)) for name, row in rows.items()}


def test_two_subjects_are_a_paired_t_test() -> None:
    a, b = [1.0, 2.0, 4.0, 3.0], [2.0, 3.5, 9.0, 5.0]
    (found,) = compare("m", values(a=a, b=b))
    theirs = scipy.stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
    assert (math.log(found.low or 0), math.log(found.high or 0)) == pytest.approx((theirs.low, theirs.high))
    assert found.ratio == pytest.approx(math.exp(np.mean(np.log(a) - np.log(b))))
    assert (found.blocks, found.pooled, found.confidence, found.freedom) == (4, False, 0.95, 3)
    ninety = scipy.stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.90)
    assert found.limits(0.90) == pytest.approx((ninety.low, ninety.high))


def test_pooling_is_the_residual_variance_of_a_two_way_layout() -> None:
    rng = np.random.default_rng(4)
    logs = rng.normal(0, 0.05, (4, 6)) + rng.normal(0, 0.5, 6) + np.array([[0.0], [0.3], [0.5], [1.0]])
    found = compare("m", {str(i): dict(enumerate(np.exp(row).tolist())) for i, row in enumerate(logs)})
    assert len(found) == 6
    # the same by least squares on dummy variables
    design = np.array(
        [[i == s for s in range(4)] + [j == b for b in range(1, 6)] for i in range(4) for j in range(6)], dtype=float
    )
    solution, squares, rank, _ = np.linalg.lstsq(design, logs.ravel(), rcond=None)
    shared = residual_of(logs)
    assert (shared.variance, shared.freedom) == (pytest.approx(squares[0] / (24 - rank)), 24 - rank)
    assert shared.homogeneous
    pair = next(c for c in found if (c.a, c.b) == ("0", "3"))
    assert math.log(pair.ratio) == pytest.approx(solution[0] - solution[3])
    half = scipy.stats.t.ppf(0.975, 15) * math.sqrt(2 * shared.variance / 6)
    assert (math.log(pair.low or 0), math.log(pair.high or 0)) == pytest.approx(
        (math.log(pair.ratio) - half, math.log(pair.ratio) + half)
    )
    assert pair.pooled


def test_unequal_variances_are_not_pooled() -> None:
    rng = np.random.default_rng(4)
    quiet = np.exp(rng.normal(0, 0.001, (3, 8)))
    loud = np.exp(rng.normal(0, 0.5, 8))
    table = {"a": quiet[0], "b": quiet[1], "c": quiet[2], "d": loud}
    found = compare("m", {name: dict(enumerate(row.tolist())) for name, row in table.items()}, [("a", "b")])
    assert not found[0].pooled
    assert (found[0].high or 0) / (found[0].low or 1) < 1.01


def test_bartlett_agrees_with_scipy_in_what_it_decides() -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(size=(3, 10))
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    assert residual_of(table).homogeneous == (scipy.stats.bartlett(*left).pvalue > 0.5)
    assert residual_of(np.zeros((3, 4))) == Residual(0.0, 6, True)
    assert not residual_of(np.array([[0, 0, 0, 0.0], [1, -1, 1, -1], [-1, 1, -1, 1]])).homogeneous


def test_what_has_no_ratio() -> None:
    assert compare("m", values(a=[0.0, None, 1.0], b=[1.0, 2.0, None])) == []
    assert compare("m", values(a=[math.inf], b=[1.0])) == []
    assert residual({}) is None
    (single,) = compare("m", values(a=[2.0], b=[1.0]))
    assert (single.ratio, single.low, single.high, single.limits(0.9)) == (2.0, None, None, None)


def test_missing_values_leave_the_pairs_that_are_complete() -> None:
    found = compare("m", values(a=[1.0, 1.1, None, 1.05], b=[2.0, 2.1, 2.2, 2.1], c=[3.0, None, None, 3.1]))
    assert {(c.a, c.b): c.blocks for c in found} == {("a", "b"): 3, ("a", "c"): 2, ("b", "c"): 2}


def test_summary() -> None:
    row = summarise("a", "m", "ns", [1.0, 2.0, 4.0, None], logarithmic=True)
    theirs = scipy.stats.t.interval(0.95, 2, loc=math.log(2), scale=scipy.stats.sem(np.log([1, 2, 4])))
    assert (row.trials, row.median) == (3, 2.0)
    assert (row.low, row.high) == (pytest.approx(math.exp(theirs[0])), pytest.approx(math.exp(theirs[1])))
    plain = summarise("a", "m", "share", [0.0, 0.5], logarithmic=True)
    assert (plain.low or 0) < 0  # a zero keeps it off the log scale
    assert summarise("a", "m", "ns", [3.0], logarithmic=True).row()["low"] is None
    assert summarise("a", "m", "ns", [None], logarithmic=True).row() == {
        "subject": "a", "metric": "m", "unit": "ns", "trials": 0, "median": None, "low": None, "high": None,
    }  # fmt: skip


def test_p_agrees_with_the_interval_and_with_a_paired_t_test() -> None:
    a, b = [1.0, 2.0, 4.0, 3.0], [1.3, 2.1, 4.9, 3.2]
    (found,) = compare("m", values(a=a, b=b))
    theirs = scipy.stats.ttest_rel(np.log(a), np.log(b))
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.sd == pytest.approx(np.std(np.log(a) - np.log(b), ddof=1))
    (same,) = compare("m", values(a=[1.0, 1.0], b=[1.0, 1.0]))
    (fixed,) = compare("m", values(a=[2.0, 2.0], b=[1.0, 1.0]))
    assert (same.p, same.low, same.high, fixed.p, fixed.low) == (1.0, 1.0, 1.0, 0.0, pytest.approx(2.0))
    (alone,) = compare("m", values(a=[2.0], b=[1.0]))
    assert (alone.p, alone.sd, alone.error) == (None, None, None)


def test_a_ratio_times_a_known_number() -> None:
    (found,) = compare("m", values(a=[1.0, 2.0, 4.0, 3.0], b=[1.3, 2.1, 4.9, 3.2]), cell={"key": 1})
    (twice,) = compare("m", values(a=[2.0, 4.0, 8.0, 6.0], b=[1.3, 2.1, 4.9, 3.2]))
    scaled = asdict(found.times(2))
    assert scaled.pop("cell") == {"key": 1}
    assert scaled == pytest.approx({name: value for name, value in asdict(twice).items() if name != "cell"})


def test_an_interval_of_any_width_is_made_of_finite_numbers() -> None:
    (wide,) = compare("m", values(a=[1e-200, 1e200], b=[1.0, 1.0]))
    assert wide.low is not None and wide.high is not None and 0 < wide.low < 1 < wide.high < math.inf


def test_a_pair_noisier_than_its_table_keeps_its_own_variance() -> None:
    """Bartlett's test cannot see it in three blocks among many subjects; the pair's own differences can."""
    logs = np.array([[0.0, 0.06, -0.06], [0.0, -0.04, 0.04], *([[0.0, 0.03, -0.03], [0.01, -0.03, 0.03]] * 3)])
    shared = residual_of(logs)
    assert shared.homogeneous
    found = compare("m", {str(i): dict(enumerate(np.exp(row).tolist())) for i, row in enumerate(logs)})
    pairs = {(c.a, c.b): c for c in found}
    noisy, quiet = pairs["0", "1"], pairs["2", "3"]
    assert np.var(logs[0] - logs[1], ddof=1) > 1.5 * 2 * shared.variance
    assert (noisy.pooled, quiet.pooled) == (False, True)


def test_the_cell_is_noted() -> None:
    (found,) = compare("m", values(a=[1.0, 2.0], b=[1.0, 2.5]), cell={"subscribers": 100})
    assert found.cell == {"subscribers": 100}
