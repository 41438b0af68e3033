"""The noise floor: from pairs of labels alone, and as wide as chance makes a subject differ from itself (R9)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from rtbench.analysis.statistics.noise import Noise, differences, noise, pairs


def test_pairs_are_a_subject_and_its_second_label() -> None:
    names = ["sse-a", "ws-b@2", "sse-a@2", "ws-b", "poll-c@2", "sse-a@3"]
    assert pairs(names) == [("ws-b", "ws-b@2"), ("sse-a", "sse-a@2"), ("sse-a", "sse-a@3")]
    assert pairs(["sse-a", "ws-b"]) == pairs([]) == []


def test_differences_are_of_the_blocks_that_have_a_positive_value_of_both() -> None:
    values = {
        "a": {1: 2.0, 2: 4.0, 3: None, 4: 1.0, 5: 0.0, 6: 3.0},
        "a@2": {1: 4.0, 2: 2.0, 3: 1.0, 4: None, 5: 1.0, 6: 0.0, 7: 9.0},
    }
    assert differences(values, "a", "a@2") == [pytest.approx(math.log(2)), pytest.approx(-math.log(2))]
    assert differences(values, "a", "nobody") == differences(values, "nobody", "a") == []


def test_noise_is_about_the_truth_which_is_not_a_difference() -> None:
    """Two labels that always differ by as much are noisy: the truth is 0, not their mean."""
    values = {"cpu": {"a": {1: 1.0, 2: 1.0}, "a@2": {1: math.e, 2: math.e}, "b": {1: 5.0, 2: 9.0}}}
    assert noise(values, ["a", "a@2", "b"]) == {"cpu": Noise(pytest.approx(1.0), 2)}


def test_all_pairs_of_a_metric_give_its_noise_together() -> None:
    values = {
        "cpu": {
            "a": {1: 1.0},
            "a@2": {1: math.exp(0.3)},
            "b": {1: 1.0, 2: 1.0},
            "b@2": {1: math.exp(-0.1), 2: math.exp(0.2)},
        }
    }
    found = noise(values, ["a", "b", "a@2", "b@2"])["cpu"]
    assert found == Noise(pytest.approx(math.sqrt((0.09 + 0.01 + 0.04) / 3)), 3)
    assert found.row() == {"sd": found.sd, "blocks": 3}


def test_a_metric_with_one_difference_or_none_has_no_noise() -> None:
    one = {"a": {1: 1.0, 2: None}, "a@2": {1: 2.0, 2: 2.0}}
    assert noise({"cpu": one, "lost": {"a": {1: 0.0}, "a@2": {1: 0.0}}}, ["a", "a@2"]) == {}
    assert noise({"cpu": one}, ["a"]) == {}


def test_the_floor_is_t_times_the_standard_error_of_so_many_blocks() -> None:
    quantile = scipy.stats.t.ppf(0.975, 12)
    assert Noise(0.04, 12).floor(1) == pytest.approx(math.exp(quantile * 0.04))
    assert Noise(0.04, 12).floor(4) == pytest.approx(math.exp(quantile * 0.02))
    assert Noise(0.04, 12).floor(0) == Noise(0.04, 12).floor(1)
    assert Noise(0.0, 12).floor(3) == 1.0
    assert Noise(0.04, 120).floor(4) < Noise(0.04, 12).floor(4) < Noise(0.04, 3).floor(4)


def test_a_subject_stays_within_the_floor_of_itself_as_often_as_it_says() -> None:
    rng = np.random.default_rng(9)
    campaigns, within = 4000, 0
    for _ in range(campaigns):
        calibrated = Noise(float(np.sqrt(np.mean(rng.normal(0, 0.05, 6) ** 2))), 6)
        mean = float(rng.normal(0, 0.05, 4).mean())
        within += abs(mean) <= math.log(calibrated.floor(4))
    low, high = scipy.stats.binom.interval(0.999, campaigns, 0.95)
    assert low <= within <= high
