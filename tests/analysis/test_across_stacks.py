"""A transport over several stacks: the formulas by hand, the five verdicts, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from rtbench.analysis.statistics import simulation
from rtbench.analysis.statistics.across_stacks import AcrossStacks, across, apart
from rtbench.analysis.statistics.compare import estimate
from rtbench.analysis.statistics.judgement import Comparison, judge
from rtbench.analysis.statistics.random_effects import errors


def stack(ratio: float, error: float | None = 0.02, blocks: int = 4) -> Comparison:
    """One stack's comparison, alone in its family; `error` of the mean log-ratio."""
    sd = None if error is None else error * math.sqrt(blocks)
    one = estimate("m", "a", "b", math.log(ratio), error, blocks - 1, blocks=blocks)
    (found,), _ = judge([one], "test", 0.05, lambda _: None)
    return replace(found, sd=sd)


def over(*each: Comparison) -> AcrossStacks:
    return across("m", "long-poll", "sse", {f"stack {i}": one for i, one in enumerate(each)})


def test_three_stacks_by_hand() -> None:
    """Ratios 2, 4, 8: logs L, 2L, 3L with L = ln 2, each with error 0.5, so v = 0.25.

    DerSimonian and Laird: with equal v, tau² = (variance of the logs) − v = L² − 0.25. Hartung and Knapp: the variance
    of the mean is (variance of the logs)/3. Higgins, Thompson and Spiegelhalter: t with 1 degree of freedom, 12.706.
    """
    found = over(stack(2, 0.5), stack(4, 0.5), stack(8, 0.5))
    spread = math.log(2) ** 2
    assert found.effects is not None and found.summary is not None and found.predicted is not None
    assert found.effects.tau == pytest.approx(math.sqrt(spread - 0.25))
    assert found.effects.i2 == pytest.approx(1 - 0.25 / spread)
    assert found.summary.ratio == pytest.approx(4)
    assert found.summary.high == pytest.approx(4 * math.exp(scipy.stats.t.ppf(0.975, 2) * math.sqrt(spread / 3)))
    half = 12.7062047 * math.sqrt(spread / 3 + spread - 0.25)
    assert [math.log(end / 4) for end in found.predicted] == pytest.approx([-half, half])
    row = found.row()
    assert (row["summary"]["predicted_low"], row["summary"]["predicted_high"]) == found.predicted
    assert [(s["stack"], s["ratio"]) for s in row["stacks"]] == [
        (name, pytest.approx(ratio)) for name, ratio in (("stack 0", 2), ("stack 1", 4), ("stack 2", 8))
    ]


def test_alike_stacks_have_no_spread() -> None:
    for error in (0.02, 0.0):
        found = over(*[stack(1.5, error)] * 4)
        assert found.effects is not None and found.summary is not None and found.predicted is not None
        assert (found.effects.tau, found.effects.i2) == (0, 0)
        assert found.summary.ratio == pytest.approx(1.5) and found.range == pytest.approx((1.5, 1.5))
        assert (found.verdict, found.direction) == ("on every stack", "higher")
    assert found.predicted == pytest.approx((1.5, 1.5))  # without any error


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.sampled_from([0.01, 0.1, 0.5])), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_stacks_changes_nothing(rows: list[tuple[float, float]], random: object) -> None:
    each = [stack(ratio, error) for ratio, error in rows]
    turned = each[:]
    random.shuffle(turned)  # type: ignore[attr-defined]
    one, other = over(*each), over(*turned)
    assert (one.verdict, one.direction) == (other.verdict, other.direction)
    assert one.range == other.range and (one.predicted is None) == (other.predicted is None) == (len(rows) < 3)
    for a, b in zip(numbers(one), numbers(other), strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-6)


def numbers(one: AcrossStacks) -> list[float]:
    """On the log scale."""
    if one.effects is None:
        return []
    return [one.effects.mean, one.effects.error, one.effects.tau or 0.0, *(one.effects.predicted or ())]


HIGHER, LOWER, SAME, OPEN = stack(1.5), stack(0.7), stack(1.0, 0.005), stack(1.3, 0.3)
FEW = stack(1.3, None, 1)
"""Called higher, lower, equivalent, not resolved; and too few blocks: one has no interval."""


def test_the_stacks_of_these_tests_are_what_they_are_called() -> None:
    verdicts = [one.verdict for one in (HIGHER, LOWER, SAME, OPEN, FEW)]
    assert verdicts == ["a higher", "a lower", "equivalent", "not resolved", "too few blocks"]


@pytest.mark.parametrize(
    ("each", "verdict"),
    [
        ((HIGHER,), "too few stacks"),
        ((HIGHER, HIGHER), "too few stacks"),  # a general statement needs three
        ((SAME, SAME), "too few stacks"),
        ((HIGHER, LOWER), "depends on the stack"),  # a counterexample needs one
        ((HIGHER, SAME), "depends on the stack"),
        ((HIGHER, OPEN), "too few stacks"),  # which could be the same
        ((HIGHER, HIGHER, HIGHER), "on every stack"),
        ((LOWER, LOWER, stack(0.1)), "on every stack"),  # the sizes differ, the direction does not
        ((HIGHER, HIGHER, HIGHER, LOWER), "depends on the stack"),
        ((HIGHER, HIGHER, SAME), "depends on the stack"),
        ((SAME, SAME, OPEN), "no difference seen on any"),
        ((SAME, OPEN, FEW), "too few stacks"),  # nothing could have been seen on the third
        ((SAME, OPEN, OPEN, FEW), "no difference seen on any"),
        ((HIGHER, HIGHER, OPEN), "not resolved"),  # the prediction interval of three is too wide
        ((*(HIGHER,) * 5, OPEN), "on every stack"),  # that of six excludes 1: a noisy stack is not a veto
        ((*(HIGHER,) * 5, stack(0.9, 0.5)), "not resolved"),  # its own ratio is on the other side
        ((HIGHER, HIGHER, FEW), "not resolved"),
    ],
)  # fmt: skip
def test_the_verdicts(each: tuple[Comparison, ...], verdict: str) -> None:
    found = over(*each)
    assert found.verdict == verdict
    directions = {"a higher": "higher", "a lower": "lower"}
    assert found.direction == (directions[each[0].verdict] if verdict == "on every stack" else None)
    assert (found.predicted is None) == (len(each) < 3)


def test_stacks_are_apart_only_where_their_simultaneous_intervals_do_not_overlap() -> None:
    """Of two at 97.5 %: t with 3 degrees of freedom is 4.177, so they touch at 2 · 4.177 · 0.02."""
    gap = 2 * float(scipy.stats.t.ppf(1 - 0.05 / 4, 3)) * 0.02
    assert apart([stack(1.0), stack(math.exp(gap * 1.01))])
    assert not apart([stack(1.0), stack(math.exp(gap * 0.99))])
    assert not apart([stack(1.0), stack(9.0, None, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("stacks", [3, 5])
@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_the_intervals_cover(stacks: int, tau: float) -> None:
    """Guards the table of docs/explanation/statistics.md with fewer campaigns."""
    count = 400
    found = simulation.over_stacks(stacks, 3, tau=tau, campaigns=count)
    least = scipy.stats.binom.ppf(0.001, count, 0.93) / count
    assert found.summary >= least and found.predicted >= least


@pytest.mark.slow
def test_a_dependence_is_not_made_up() -> None:
    """Five stacks with one true ratio: a report that says "depends on the stack" is wrong."""
    count = 300
    for case in simulation.CASES[:2]:
        found = simulation.over_stacks((math.log(1.1),) * 5, 3, case=case, campaigns=count)
        assert found.verdicts["depends on the stack"] <= scipy.stats.binom.ppf(0.999, count, 0.05) / count
    mixed = simulation.over_stacks((0.0, *(math.log(1.5),) * 4), 5, campaigns=count)
    assert mixed.verdicts["depends on the stack"] > 0.9 and mixed.verdicts["on every stack"] < 0.06


def test_a_stack_of_several_campaigns_weighs_by_its_campaigns() -> None:
    """Its standard deviation is between campaigns: twelve blocks in three campaigns are three replicates."""
    several = estimate("m", "a", "b", 0.1, 0.02, 2, blocks=12, sd=0.02 * math.sqrt(3), campaigns=3)
    assert errors([several, several]) == pytest.approx([0.02, 0.02])
