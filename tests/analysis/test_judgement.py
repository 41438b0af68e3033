"""What a comparison allows to say: four statements, none mixed, and how many blocks would settle the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from rtbench.analysis import format
from rtbench.analysis.statistics.compare import Estimate, compare, estimate
from rtbench.analysis.statistics.judgement import Comparison, judge
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.analysis.statistics.power import FEWEST, MOST, Floor, blocks_needed, power_of, power_of_equivalence

MARGIN = 0.05


def one(ratio: float = 1.2, *, p: float | None = None, error: float | None = None, **more: Any) -> Estimate:
    """An estimate with that p, or that standard error of the log-ratio, over four blocks."""
    blocks = more.pop("blocks", 4)
    freedom = more.pop("freedom", blocks - 1)
    if p is not None:
        error = abs(math.log(ratio)) / float(scipy.stats.t.isf(p / 2, freedom))
    sd = None if error is None else error * math.sqrt(blocks)
    return estimate("cpu", "a", "b", math.log(ratio), error, freedom, **({"blocks": blocks, "sd": sd} | more))


def judged(*estimates: Estimate, floor: Floor | None = None, margin: float = MARGIN) -> tuple[Comparison, ...]:
    return judge(estimates, "headline", margin, lambda _: floor)[0]


def test_adjusted_p_is_scipys() -> None:
    p = np.random.default_rng(3).random(40) ** 3
    assert adjust(p) == pytest.approx(scipy.stats.false_discovery_control(p))
    assert adjust(np.empty(0)).size == 0


@pytest.mark.parametrize(
    ("ratio", "error", "blocks", "floor", "said", "why"),
    [
        (0.8, 0.02, 4, None, "a lower", None),
        (1.2, 0.02, 4, None, "a higher", None),
        (1.2, 0.10, 4, None, "not resolved", "interval"),
        (1.2, None, 1, None, "too few blocks", "blocks"),
        (1.2, 0.02, 2, None, "too few blocks", "blocks"),  # p = 0.07
        (1.2, 0.001, 2, None, "a higher", None),  # two blocks are enough for what is that sure
        (1.0, 0.0001, 2, None, "too few blocks", "blocks"),  # but not for equivalence
        (1.01, 0.005, 4, None, "equivalent", None),
        (1.02, 0.001, 4, None, "a higher", None),  # inside the margin, and a difference all the same
        (1.02, 0.001, 4, 1.03, "equivalent", None),  # seen, inside the floor, and the floor inside the margin
        (0.98, 0.001, 4, 1.03, "equivalent", None),
        (1.06, 0.001, 4, 1.08, "not resolved", "noise floor"),
        (1.02, 0.001, 4, 1.08, "not resolved", "noise floor"),  # no equivalence within less than the floor
        (1.01, 0.005, 4, 1.08, "not resolved", "noise floor"),
        (1.08, 0.001, 4, 1.05, "a higher", None),
        (1.0, 0.0, 3, None, "equivalent", None),  # the same in every trial
    ],
)
def test_four_statements(
    ratio: float, error: float | None, blocks: int, floor: float | None, said: str, why: str | None
) -> None:
    (found,) = judged(
        one(ratio, error=error, blocks=blocks), floor=None if floor is None else lambda _: floor, margin=0.05
    )
    assert (found.verdict, found.limited_by, found.noise_floor) == (said, why, floor)
    seen = found.p is not None and found.p <= 0.05
    assert found.within_floor is (seen and floor is not None and abs(math.log(ratio)) <= math.log(floor))
    assert found.different is (said in ("a lower", "a higher"))


def test_equivalence_is_two_one_sided_tests_on_the_same_variance() -> None:
    rng = np.random.default_rng(11)
    kinds = set()
    for sd in np.linspace(0.005, 0.06, 40):
        a, b = np.exp(rng.normal(0, sd, (2, 6)))
        (found,) = compare("m", {"a": dict(enumerate(a.tolist())), "b": dict(enumerate(b.tolist()))})
        (said,) = judged(found)
        logs = np.log(a) - np.log(b)
        tests = (
            scipy.stats.ttest_1samp(logs, -math.log(1.05), alternative="greater"),
            scipy.stats.ttest_1samp(logs, math.log(1.05), alternative="less"),
        )
        both = bool(max(test.pvalue for test in tests) <= 0.05)
        assert (said.verdict == "equivalent") is (both and not said.different)
        kinds.add(said.verdict)
    assert {"equivalent", "not resolved"} <= kinds


def test_a_difference_that_stands_alone_may_not_stand_among_many() -> None:
    rows = [one(p=0.04), *(one(p=0.5) for _ in range(9))]
    found, family = judge(rows, "headline", MARGIN, lambda _: None)
    assert (found[0].verdict, found[0].limited_by, found[0].q) == ("not resolved", "multiplicity", pytest.approx(0.4))
    assert {row.limited_by for row in found[1:]} == {"interval"} and {row.family for row in found} == {"headline"}
    assert (family.comparisons, family.alone, family.differences) == (10, 1, 0)
    assert family.size == "10 comparisons in 1 metric"
    (alone,) = judged(rows[0])
    assert (alone.verdict, alone.limited_by, alone.blocks_needed) == ("a higher", None, None)


def test_a_comparison_is_held_to_the_floor_of_its_own_number_of_blocks() -> None:
    rows = [one(1.1, p=1e-9, blocks=blocks) for blocks in (2, 8)]
    found = judged(*rows, floor=lambda blocks: 1 + 0.3 / blocks)
    assert [(row.verdict, row.within_floor) for row in found] == [("not resolved", True), ("a higher", False)]


def test_what_has_no_interval_has_no_part_in_it() -> None:
    found, family = judge([one(blocks=1), one(p=0.01)], "headline", MARGIN, lambda _: None)
    assert (found[0].verdict, found[0].q, family.comparisons, found[1].q) == (
        "too few blocks",
        None,
        1,
        pytest.approx(0.01),
    )


@given(
    st.floats(0.5, 2), st.none() | st.floats(0, 0.3), st.integers(1, 9), st.none() | st.floats(1, 1.3),
    st.floats(0.001, 1), st.lists(st.floats(1e-6, 0.99), max_size=3),
)  # fmt: skip
def test_no_statement_is_a_mixture(
    ratio: float, error: float | None, blocks: int, floor: float | None, margin: float, others: list[float]
) -> None:
    mine = one(ratio, error=error if blocks > 1 else None, blocks=blocks)
    limit = None if floor is None else lambda _: floor
    found = judged(mine, *(one(p=p) for p in others), floor=limit, margin=margin)[0]
    if found.different:
        assert found.q is not None and found.q <= 0.05 and found.low is not None and found.high is not None
        assert found.high < 1 if found.verdict == "a lower" else found.low > 1
        assert found.blocks_needed is found.limited_by is found.could_be_up_to is None
        assert floor is None or abs(math.log(ratio)) > math.log(floor)
    elif found.verdict == "equivalent":
        limits = found.limits(0.9)
        assert limits is not None and max(map(abs, limits)) <= math.log1p(margin) and blocks > 2
        assert floor is None or floor <= 1 + margin
        assert found.limited_by is found.could_be_up_to is None
    elif found.verdict == "not resolved":
        assert found.limited_by in ("interval", "multiplicity", "noise floor")
        assert found.could_be_up_to is not None and found.low is not None and found.high is not None
        assert 1 + found.could_be_up_to == pytest.approx(max(found.high, 1 / found.low))
    else:
        assert found.limited_by == "blocks" and (blocks < 3 or error is None)
    back = found.inverse()
    assert back.inverse().verdict == found.verdict and back.could_be_up_to == pytest.approx(found.could_be_up_to)
    assert {back.verdict, found.verdict} in ({"a lower", "a higher"}, {found.verdict})
    assert format.statement(found) and format.statement(found, "b") and isinstance(format.undecided(found), str)


# The words


def test_the_words_name_what_is_claimed_and_relative_to_what() -> None:
    def words(*args: Any, floor: float | None = None, **more: Any) -> str:
        (found,) = judged(one(*args, **more), floor=None if floor is None else lambda _: floor)
        return format.statement(found, "sse")

    assert words(1.32, error=0.02) == "1.32× [1.24, 1.41] of sse"
    assert words(1.01, error=0.008) == "equivalent to sse within ±5 % (1.01× [0.985, 1.04])"
    assert words(1.17, error=0.06) == (
        "not resolved relative to sse: 1.17× [0.967, 1.42], could differ by up to 42 % (54 blocks would settle it)"
    )
    assert words(10.4, error=0.5, blocks=2) == "too few blocks to compare with sse (10.4×, 2 blocks)"
    assert words(1.03, error=0.001, floor=1.05) == (
        "equivalent to sse within ±5 % (1.03× [1.03, 1.03]), a difference is seen, 1.03×, but it lies within the A/A "
        "noise floor of 1.05×"
    )
    assert "(more than 10,000 blocks would settle it)" in words(1.03, error=5.0)
    assert "could differ up to 10.0×" in words(1.0, error=math.log(10) / float(scipy.stats.t.isf(0.025, 3)))
    (found,) = judged(one(1.01, error=0.005), floor=lambda _: 1.08)
    assert "the A/A noise floor of 1.08× is wider than ±5 %" in format.statement(found)
    assert format.undecided(found).startswith("could differ by up to 2.6 %; the A/A noise floor")


# How many blocks


@pytest.mark.parametrize("sd", [0.02, 0.05, 0.2])
def test_the_blocks_are_the_fewest_with_that_power(sd: float) -> None:
    needed = blocks_needed(sd, level=0.05, margin=MARGIN)
    assert needed is not None and needed >= FEWEST

    def least(blocks: int) -> float:
        return min(power_of(sd, blocks, 0.05, 1.05), power_of_equivalence(sd, blocks, MARGIN))

    assert least(needed) >= 0.8 > least(needed - 1)
    freedom = needed - 1
    critical = scipy.stats.t.ppf(0.975, freedom)
    assert power_of(sd, needed, 0.05, 1.05) == pytest.approx(
        scipy.stats.nct.sf(critical, freedom, math.log(1.05) * math.sqrt(needed) / sd), rel=1e-4
    )


@pytest.mark.parametrize("blocks", [4, 12])
def test_the_power_of_equivalence_is_what_is_simulated(blocks: int) -> None:
    sd = 0.03
    logs = np.random.default_rng(2).normal(0, sd, (20_000, blocks))
    half = scipy.stats.t.ppf(0.95, blocks - 1) * logs.std(axis=1, ddof=1) / math.sqrt(blocks)
    held = np.abs(logs.mean(axis=1)) + half <= math.log(1.05)
    assert power_of_equivalence(sd, blocks, MARGIN) == pytest.approx(held.mean(), abs=0.012)


def test_the_edges_of_power() -> None:
    def needed(sd: float, level: float = 0.05, floor: Floor | None = None) -> int | None:
        return blocks_needed(sd, level=level, margin=MARGIN, floor=floor)

    assert needed(0.0) == FEWEST and needed(50.0) is None
    assert (power_of(0.05, 1, 0.05, 1.05), power_of_equivalence(0.05, 2, MARGIN)) == (0.0, 0.0)
    assert (power_of(1e-6, 5, 0.05, 1.05), power_of_equivalence(1e-6, 5, MARGIN)) == (1.0, 1.0)
    assert needed(0.0, floor=lambda _: 1.2) is None
    assert needed(0.001, floor=lambda _: 1.05) is None  # a floor of 5 % that does not fall never lets 5 % pass
    strict, plain = needed(0.05, level=0.001), needed(0.05)
    floored = needed(0.05, floor=lambda blocks: 1 + 0.2 / math.sqrt(blocks))
    assert strict is not None and plain is not None and floored is not None
    assert plain < strict < MOST and plain < floored
