"""Several campaigns combined, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import scipy

from rtbench.analysis.statistics.random_effects import combine, compare_all


def test_three_campaigns_by_hand() -> None:
    """y = 0, 1, 2 with equal variances v = 0.25: weights 4, Q = 4 (1 + 0 + 1) = 8, C = 12 − 48/12 = 8.

    tau² = (8 − 2)/8 = 0.75 and I² = 6/8; the random weights are 1, so the mean is 1 and Hartung and Knapp's variance is
    (1 + 0 + 1)/(2 · 3) = 1/3.
    """
    found = combine([0.0, 1.0, 2.0], [0.5, 0.5, 0.5])
    assert (found.tau, found.i2, found.mean) == (pytest.approx(math.sqrt(0.75)), 0.75, pytest.approx(1.0))
    assert (found.error, found.freedom) == (pytest.approx(math.sqrt(1 / 3)), 2)
    assert found.predicted is not None  # t with k − 2 = 1 degree: 12.706
    assert found.predicted[1] - 1 == pytest.approx(12.7062047 * math.sqrt(1 / 3 + 0.75))


def test_unequal_weights_by_hand() -> None:
    """y = 0 and 1, v = 1 and 0.25: weights 1 and 4, mean 0.8, Q = 0.64 + 4 · 0.04 = 0.8 < 1, so tau = 0 and I² = 0.

    Hartung and Knapp's factor Q/(k − 1) = 0.8 is below 1 and counts as 1: the variance is 1/5.
    """
    found = combine([0.0, 1.0], [1.0, 0.5])
    assert (found.mean, found.tau, found.i2) == (pytest.approx(0.8), 0.0, 0.0)
    assert (found.error, found.freedom, found.predicted) == (pytest.approx(math.sqrt(0.2)), 1, None)


def test_without_variances_campaigns_weigh_the_same() -> None:
    y = [0.1, 0.3, 0.2]
    for errors in ([None, 0.01, 0.02], [None, None, None]):
        found = combine(y, errors)
        assert (found.mean, found.error) == (pytest.approx(0.2), pytest.approx(scipy.stats.sem(y)))
        assert (found.tau, found.i2, found.predicted) == (None, None, None)
    exact = combine(y, [0.0, 0.0, 0.0])
    assert (exact.tau, exact.i2, exact.error) == (pytest.approx(0.1), 1.0, pytest.approx(scipy.stats.sem(y)))
    same = combine([0.5, 0.5], [0.0, 0.0])
    assert (same.mean, same.error, same.tau, same.i2) == (0.5, 0.0, 0.0, 0.0)


def test_each_campaign_is_compared_by_itself_and_then_all() -> None:
    values = {
        "a": {1: 1.0, 2: 1.1, 3: 1.05, 4: 2.0, 5: 2.1, 6: 2.2, 7: 3.0},
        "b": {1: 1.2, 2: 1.25, 3: 1.3, 4: 2.0, 5: 2.2, 6: 2.1},
        "c": {1: 1.0, 2: 1.2, 3: 1.1},
    }
    campaigns = {1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1, 7: 1}
    estimates, combined = compare_all("m", values, campaigns, cell={"key": 1})
    assert [(e.a, e.b, e.campaigns, e.blocks) for e in estimates] == [
        ("a", "b", 2, 6), ("a", "c", 1, 3), ("b", "c", 1, 3),
    ]  # fmt: skip
    (one,) = combined
    logs = [math.log(e.ratio) for _, e in one.each]
    assert [at for at, _ in one.each] == [0, 1] and one.together is estimates[0] and one.together.cell == {"key": 1}
    shared = math.sqrt(sum((e.sd or 0.0) ** 2 for _, e in one.each) / 2)  # three blocks each: the mean variance
    expected = combine(logs, [shared / math.sqrt(3)] * 2)
    assert (one.effects.mean, one.effects.error) == pytest.approx((expected.mean, expected.error))
    assert (one.effects.tau, one.effects.i2) == pytest.approx((expected.tau, expected.i2))
    half = float(scipy.stats.t.ppf(0.975, 1)) * one.effects.error
    assert one.together.high == pytest.approx(math.exp(one.effects.mean + half))
    row = one.row(["first", "second"])
    assert [c["campaign"] for c in row["campaigns"]] == ["first", "second"] and row["ratio"] == one.together.ratio
    assert (row["predicted_low"], row["predicted_high"]) == (None, None)
    alone, none = compare_all("m", values, dict.fromkeys(campaigns, 0))
    assert none == [] and [e.campaigns for e in alone] == [1, 1, 1] and alone[0].freedom > 1
