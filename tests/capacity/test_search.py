"""The search, against servers whose capacity is known: it ends, its bracket is right, and noise is outvoted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from rtbench.capacity.search import MOST_PROBES, MOST_UNCLEAR, Bracket, Goal, Outcome, Probe, Step, bracket, step

GOAL = Goal(first=100, least=1, most=100_000)
Server = Callable[[Step], Outcome]


def search(goal: Goal, server: Server, capacity: float = 0.0, closing_after: int = MOST_PROBES) -> list[Probe]:
    """The probes of a whole search. `capacity`: what the core's use is worked out from; 0: it is not known."""
    probes: list[Probe] = []
    while (asked := step(goal, probes, closing=len(probes) >= closing_after)) is not None:
        busy = min(1.0, asked.value / capacity) if capacity else 0.0
        probes.append(Probe(asked.value, server(asked), asked.long, busy))
        assert len(probes) <= MOST_PROBES
    return probes


def holds_up_to(capacity: float) -> Server:
    return lambda asked: "holds" if asked.value <= capacity else "fails"


def noisy(capacity: float, draw: random.Random, noise: float, bad: float) -> Server:
    """A server whose capacity moves by `noise` from probe to probe, and that fails without cause now and then."""

    def probe(asked: Step) -> Outcome:
        here = capacity * math.exp(draw.gauss(0, noise))
        return "holds" if asked.value <= here and draw.random() >= bad else "fails"

    return probe


@pytest.mark.parametrize("capacity", [1, 2, 3, 9, 10, 57, 99.5, 100, 101, 1234.5, 20_000, 99_999])
@pytest.mark.parametrize("first", [1, 100, 30_000])
@pytest.mark.parametrize("known", [True, False])
def test_a_known_capacity_is_inside_a_closed_bracket(capacity: float, first: float, known: bool) -> None:
    goal = Goal(first, 1, 100_000)
    found = bracket(goal, search(goal, holds_up_to(capacity), capacity if known else 0.0))
    assert found.closed
    assert found.low is not None and found.high is not None
    assert found.low <= capacity < found.high
    assert (found.high - found.low) / found.high <= goal.width or found.high - found.low == 1


def test_a_rate_is_found_to_any_width() -> None:
    goal = Goal(5.0, 0.01, 1000.0, width=0.02, whole=False)
    found = bracket(goal, search(goal, holds_up_to(37.3)))
    assert found.closed
    assert found.low is not None and found.high is not None
    assert found.low <= 37.3 < found.high <= 37.3 * 1.021


def test_the_lower_end_was_confirmed_over_a_long_window_and_the_upper_end_failed_twice() -> None:
    probes = search(GOAL, holds_up_to(1500))
    found = bracket(GOAL, probes)
    assert [probe.outcome for probe in probes if probe.value == found.low and probe.long] == ["holds"]
    assert [probe.outcome for probe in probes if probe.value == found.high] == ["fails", "fails"]


def test_a_busy_core_makes_larger_steps() -> None:
    assert len(search(GOAL, holds_up_to(40_000), 40_000)) < len(search(GOAL, holds_up_to(40_000)))
    assert step(GOAL, [Probe(100, "holds", busy=0.35)]) == Step(200)
    assert step(GOAL, [Probe(100, "holds", busy=0.01)]) == Step(800)


def test_probes_that_disagree_are_repeated_until_one_side_leads_by_two() -> None:
    probes = [Probe(100, "holds"), Probe(200, "fails"), Probe(200, "holds")]
    assert step(GOAL, probes) == Step(200)
    probes += [Probe(200, "fails")]
    assert step(GOAL, probes) == Step(200)
    probes += [Probe(200, "fails")]
    assert step(GOAL, probes) == Step(141)


def test_a_value_without_a_lead_counts_as_failing_in_the_end() -> None:
    turns: list[Outcome] = ["fails", "holds", "fails", "holds", "fails"]
    probes = [Probe(100, "holds"), *(Probe(200, one) for one in turns)]
    assert step(GOAL, probes) == Step(141)


def test_a_long_window_that_fails_takes_the_lower_end_back() -> None:
    """Short windows hold up to 1000, long ones up to 700: the confirmed end is where both hold."""

    def server(asked: Step) -> Outcome:
        return "holds" if asked.value <= (700 if asked.long else 1000) else "fails"

    found = bracket(GOAL, search(GOAL, server))
    assert found.low is not None and 600 <= found.low <= 700
    assert found.closed


def test_a_failure_below_a_value_that_holds_gets_a_second_opinion() -> None:
    probes = [Probe(100, "fails"), Probe(33, "holds"), Probe(57, "holds"), Probe(200, "holds")]
    assert step(GOAL, probes) == Step(100)


def test_what_only_the_harness_spoils_is_a_bar_and_never_a_capacity() -> None:
    def server(asked: Step) -> Outcome:
        return "holds" if asked.value <= 800 else "unclear"

    probes = search(GOAL, server)
    found = bracket(GOAL, probes)
    assert found.high is None and not found.closed
    assert found.low is not None and found.barred is not None
    assert 700 < found.low <= 800 < found.barred < 900
    assert sum(probe.value == found.barred for probe in probes) == MOST_UNCLEAR


def test_a_spoiled_probe_is_repeated_and_then_counts_for_nothing() -> None:
    spoiled: set[float] = set()

    def server(asked: Step) -> Outcome:
        if asked.value not in spoiled:
            spoiled.add(asked.value)
            return "unclear"
        return holds_up_to(345)(asked)

    found = bracket(GOAL, search(GOAL, server))
    assert found.closed and found.low is not None and found.high is not None
    assert found.low <= 345 < found.high


def test_a_search_that_is_never_refuted_ends_at_the_top() -> None:
    goal = Goal(100, 1, 5000)
    found = bracket(goal, search(goal, lambda _: "holds"))
    assert (found.low, found.high, found.closed) == (5000, None, False)


def test_a_server_that_never_holds_is_refuted_at_the_bottom() -> None:
    found = bracket(GOAL, search(GOAL, lambda _: "fails"))
    assert (found.low, found.high, found.closed) == (None, 1, False)


def test_near_the_end_of_the_time_what_is_known_is_confirmed() -> None:
    probes = search(GOAL, holds_up_to(777), closing_after=4)
    found = bracket(GOAL, probes)
    assert found.low == 400 and found.high == 800
    assert not found.closed
    assert len(probes) == 6


def test_without_time_nothing_begins() -> None:
    assert step(GOAL, [], closing=True) is None


def test_the_same_probes_give_the_same_step() -> None:
    probes = search(GOAL, holds_up_to(1500))
    for count in range(len(probes)):
        assert step(GOAL, probes[:count]) == Step(probes[count].value, probes[count].long)


@pytest.mark.parametrize(("noise", "bad", "least"), [(0.0, 0.0, 1.0), (0.02, 0.0, 0.99), (0.05, 0.02, 0.97)])
def test_brackets_of_noisy_servers_are_where_the_capacity_is(noise: float, bad: float, least: float) -> None:
    """Within one width of it; which share of 300 searches, docs/howto/capacity.md has with more."""
    near, closed, count = 0, 0, 300
    for seed in range(count):
        draw = random.Random(seed)
        capacity = 10 ** draw.uniform(0.5, 4.5)
        found: Bracket = bracket(GOAL, search(GOAL, noisy(capacity, draw, noise, bad), capacity))
        closed += found.closed
        near += found.low is not None and found.high is not None and found.low / 1.1 <= capacity <= found.high * 1.1
    assert closed == count
    assert near >= least * count
