"""Which verdicts stand among many, and how many blocks the others would take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rtbench.analysis.statistics.compare import Comparison
from rtbench.analysis.statistics.multiplicity import adjust, control
from rtbench.analysis.statistics.power import MOST, blocks_needed, power_of


def one(metric: str, p: float | None, ratio: float = 1.2, sd: float = 0.05, **more: object) -> Comparison:
    inside = p is None or p > 0.05
    low, high = (None, None) if p is None else (0.9, 1.5) if inside else (1.01, 1.5)
    row: dict[str, object] = {
        "metric": metric, "a": "a", "b": "b", "ratio": ratio, "low": low, "high": high, "confidence": 0.95,
        "blocks": 4, "pooled": False, "p": p, "sd": None if p is None else sd,
        "verdict": "no difference seen" if inside else "a higher",
    }  # fmt: skip
    return Comparison(**(row | more))  # type: ignore[arg-type]


def test_adjusted_p_is_scipys() -> None:
    p = np.random.default_rng(3).random(40) ** 3
    assert adjust(p) == pytest.approx(stats.false_discovery_control(p))
    assert adjust(np.empty(0)).size == 0


def test_a_difference_that_stands_alone_may_not_stand_among_many() -> None:
    rows = [one("cpu", 0.04), *(one("cpu", 0.5) for _ in range(9))]
    found, (headline, other) = control(rows, {"cpu"}, lambda _: None)
    assert rows[0].verdict == "a higher"
    assert (found[0].verdict, found[0].limited_by, found[0].q) == (
        "no difference seen",
        "multiplicity",
        pytest.approx(0.4),
    )
    assert {row.limited_by for row in found[1:]} == {"interval"}
    assert (headline.comparisons, headline.alone, headline.differences) == (10, 1, 0)
    assert (other.comparisons, other.alone, other.differences) == (0, 0, 0)
    (alone,), _ = control(rows[:1], {"cpu"}, lambda _: None)
    assert (alone.verdict, alone.limited_by, alone.blocks_needed) == ("a higher", None, None)


def test_families_do_not_touch_each_other() -> None:
    headline = [one("cpu", 0.03)]
    noise = [one("other", 0.9) for _ in range(50)]
    (found, *_), families = control([*headline, *noise], {"cpu"}, lambda _: None)
    assert (found.q, found.verdict) == (0.03, "a higher")
    assert [family.row()["comparisons"] for family in families] == [1, 50]


def test_nothing_within_the_noise_floor_is_a_difference_whatever_its_p() -> None:
    rows = [one("cpu", 1e-9, ratio=1.04), one("cpu", 1e-9, ratio=1 / 1.04, low=0.9, high=0.99), one("cpu", 1e-9)]
    found, (family, _) = control(rows, {"cpu"}, lambda _: lambda _: 1.05)
    assert [row.limited_by for row in found] == ["noise floor", "noise floor", None]
    assert (family.alone, family.differences) == (3, 1)
    assert found[0].blocks_needed is None  # a floor of 5 % that does not fall never lets 5 % pass


def test_a_comparison_is_held_to_the_floor_of_its_own_number_of_blocks() -> None:
    rows = [one("cpu", 1e-9, ratio=1.1, blocks=blocks) for blocks in (2, 8)]
    found, _ = control(rows, {"cpu"}, lambda _: lambda blocks: 1 + 0.3 / blocks)
    assert [row.verdict for row in found] == ["no difference seen", "a higher"]


def test_what_has_no_interval_has_no_part_in_it() -> None:
    rows = [one("cpu", None, limited_by="blocks"), one("cpu", 0.01)]
    found, (family, _) = control(rows, {"cpu"}, lambda _: None)
    assert found[0] == rows[0] and family.comparisons == 1


@pytest.mark.parametrize("sd", [0.02, 0.05, 0.2])
def test_the_blocks_are_the_fewest_with_that_power(sd: float) -> None:
    needed = blocks_needed(sd, level=0.05)
    assert needed is not None and needed >= 2
    assert power_of(sd, needed, 0.05) >= 0.8 > power_of(sd, needed - 1, 0.05)
    freedom = needed - 1
    critical = stats.t.ppf(0.975, freedom)
    assert power_of(sd, needed, 0.05) == pytest.approx(
        stats.nct.sf(critical, freedom, math.log(1.05) * math.sqrt(needed) / sd), rel=1e-4
    )


def test_the_edges_of_power() -> None:
    assert blocks_needed(0.0, level=0.05) == 2
    assert blocks_needed(50.0, level=0.05) is None
    assert power_of(0.05, 1, 0.05) == 0.0
    assert power_of(1e-6, 5, 0.05) == 1.0
    assert blocks_needed(0.0, level=0.05, floor=lambda _: 1.2) is None
    strict, plain = (blocks_needed(0.05, level=level) for level in (0.001, 0.05))
    floored = blocks_needed(0.05, level=0.05, floor=lambda blocks: 1 + 0.2 / math.sqrt(blocks))
    assert strict is not None and plain is not None and floored is not None
    assert plain < strict < MOST and plain < floored
