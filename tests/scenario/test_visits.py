"""The plan of visits: a pure function of its seed, Poisson arrivals, exponential stays, no trend over the window."""

from __future__ import annotations

import statistics

import pytest

from rtbench.scenario.visits import Visit, most_at_once, there, visits

SECOND = 10**9
RATE_HZ, STAY_S, WINDOW_S, LEAD_S = 50.0, 4.0, 100.0, 2.0


def plan(seed: int = 1) -> tuple[Visit, ...]:
    return visits(seed, RATE_HZ, STAY_S, WINDOW_S, LEAD_S)


def test_the_seed_alone_decides() -> None:
    assert plan(3) == plan(3)
    assert plan(3) != plan(4)


def test_visits_are_numbered_in_the_order_of_their_arrival() -> None:
    whole = plan()
    assert [one.number for one in whole] == list(range(len(whole)))
    assert [one.arrives_ns for one in whole] == sorted(one.arrives_ns for one in whole)
    assert all(one.leaves_ns > one.arrives_ns for one in whole)
    assert -LEAD_S * SECOND <= whole[0].arrives_ns <= whole[-1].arrives_ns < WINDOW_S * SECOND


def test_who_arrives_early_is_there_when_the_window_starts() -> None:
    early = [one for one in plan() if one.arrives_ns < 0]
    assert early
    assert all(one.leaves_ns > 0 for one in early)


def test_arrivals_are_a_poisson_process() -> None:
    arrivals = [one.arrives_ns / SECOND for one in plan() if one.arrives_ns >= 0]
    gaps = [later - earlier for earlier, later in zip([0.0, *arrivals], arrivals, strict=False)]
    assert len(arrivals) == pytest.approx(RATE_HZ * WINDOW_S, rel=0.05)
    assert statistics.mean(gaps) == pytest.approx(1 / RATE_HZ, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / RATE_HZ, rel=0.1)  # as exponential gaps have it
    counts = [sum(second <= at < second + 1 for at in arrivals) for second in range(int(WINDOW_S))]
    assert statistics.variance(counts) == pytest.approx(RATE_HZ, rel=0.5)  # as large as the mean


def test_stays_are_exponential() -> None:
    stays = [(one.leaves_ns - one.arrives_ns) / SECOND for one in plan() if one.arrives_ns >= 0]
    assert statistics.mean(stays) == pytest.approx(STAY_S, rel=0.05)
    assert sum(stay > STAY_S for stay in stays) / len(stays) == pytest.approx(0.368, abs=0.03)


def test_their_number_has_no_trend() -> None:
    """Over many seeds, as many are there at the start as at the end: the mean of a process that has settled."""
    plans = [plan(seed) for seed in range(20)]
    for at_s in (0.0, 1.0, WINDOW_S / 2, WINDOW_S - 0.001):
        mean = statistics.mean(there(one, int(at_s * SECOND)) for one in plans)
        assert mean == pytest.approx(RATE_HZ * STAY_S, rel=0.06)


def test_without_a_rate_nobody_comes() -> None:
    assert visits(1, 0.0, STAY_S, WINDOW_S, LEAD_S) == ()
    assert most_at_once(0.0, STAY_S) == 0


def test_a_server_has_room_for_all_of_them() -> None:
    assert most_at_once(RATE_HZ, STAY_S) == 285
    whole = plan()
    assert max(there(whole, at * SECOND // 2) for at in range(200)) < 285
