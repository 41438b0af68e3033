"""Guards docs/explanation/statistics-tables.md with fewer campaigns: what holds there holds here, within chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from rtbench.analysis.statistics import simulation
from rtbench.analysis.statistics.simulation import CASES, SD, SHAPES, coverage, detected, discoveries, lines, power

CAMPAIGNS = 600


def at_least(share: float, nominal: float, campaigns: int = CAMPAIGNS) -> bool:
    """Not so low that chance would do it once in a thousand."""
    return share * campaigns >= scipy.stats.binom.ppf(0.001, campaigns, nominal)


@pytest.mark.parametrize("shape", SHAPES)
def test_residuals_are_centred_and_of_one_standard_deviation(shape: str) -> None:
    drawn = SHAPES[shape](np.random.default_rng(1), (400_000,))
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0, abs=0.01), pytest.approx(1, rel=0.05))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("blocks", [3, 5, 10])
@pytest.mark.parametrize("subjects", [2, 8])
def test_the_interval_of_a_ratio_covers(case: simulation.SimulatedCase, blocks: int, subjects: int) -> None:
    assert at_least(coverage(case, blocks, subjects, CAMPAIGNS), 0.93)


def test_a_narrower_interval_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation can fail: a quantile of 80 % does."""
    real = simulation.pair
    monkeypatch.setattr(simulation, "pair", lambda *a, **k: real(*a, **(k | {"confidence": 0.8})))
    assert not at_least(coverage(CASES[0], 5, 2, 300), 0.93, 300)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blocks", [3, 5, 10])
def test_the_intervals_of_exponent_and_crossover_cover(shape: str, blocks: int) -> None:
    found = lines(shape, blocks, CAMPAIGNS)
    assert at_least(found.exponent, 0.93) and at_least(found.crossover, 0.93)
    assert at_least(1 - found.bends, 0.93)
    assert found.resolved > 0.9


@pytest.mark.slow
def test_control_keeps_reports_of_equal_subjects_quiet() -> None:
    found = discoveries("normal", 4, (0.0,) * 5, campaigns=60)
    assert found.comparisons == 50
    assert found.any_alone > 0.5  # most such reports would name a difference
    assert found.any_controlled <= scipy.stats.binom.ppf(0.999, 60, 0.05) / 60
    assert (found.found_alone, found.found_controlled) == (0.0, 0.0)


@pytest.mark.slow
def test_control_costs_few_of_the_true_differences() -> None:
    found = discoveries("normal", 8, (0.0, 0.0, 0.0, math.log(0.85), math.log(0.85)), campaigns=30)
    assert found.rate_controlled < 0.05 and found.rate_controlled < found.rate_alone
    assert found.found_controlled > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("sd", "subjects"), [(0.05, 2), (0.1, 5)])
def test_blocks_needed_keep_their_promise(sd: float, subjects: int) -> None:
    needed, share, same = power(sd, subjects, CAMPAIGNS)
    assert at_least(share, 0.77) and at_least(same, 0.77)
    assert detected(sd, subjects, max(2, needed // 3), 1.05, CAMPAIGNS) < share - 0.2
    assert detected(sd, subjects, needed, 1.0, CAMPAIGNS) < 0.06


def test_the_same_seed_gives_the_same_table() -> None:
    assert SD == 0.05
    assert coverage(CASES[2], 3, 4, 50, seed=5) == coverage(CASES[2], 3, 4, 50, seed=5)
