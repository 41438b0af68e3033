"""The window's edges: after the warm-up, where nothing is due."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from rtbench.scenario.model import Scenario
from rtbench.trial import _window

SECOND = 10**9
NOW = 10 * SECOND
Tiny = Callable[..., Scenario]


@pytest.fixture(autouse=True)
def at_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ten seconds past the clock's start."""
    monkeypatch.setattr(_window, "time", SimpleNamespace(monotonic_ns=lambda: NOW))


def test_window_opens_and_closes_halfway_between_two_ticks(tiny: Tiny) -> None:
    scenario = tiny(warmup_s=1, window_s=2, workload={"rate_hz": 5})
    started = {"fanout": 123_456_789}
    start, end = _window.choose(scenario.make_workload(), scenario, started, 0)
    assert end - start == 2 * SECOND
    assert (start - started["fanout"]) % 200_000_000 == (end - started["fanout"]) % 200_000_000 == 100_000_000
    assert NOW + SECOND <= start <= NOW + SECOND + 420_000_000  # within a tenth of the window, and half a gap


def test_window_of_many_channels_opens_at_once(tiny: Tiny) -> None:
    scenario = tiny(subscribers=101, warmup_s=1, workload={"rate_hz": 5, "channels": "unicast"})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, 0)
    assert start == NOW + SECOND + 20_000_000


def test_window_of_a_few_channels_opens_in_a_gap_of_all(tiny: Tiny) -> None:
    scenario = tiny(subscribers=4, window_s=4, workload={"rate_hz": 2, "channels": "unicast"})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, 0)
    assert start % 125_000_000 == 62_500_000  # four channels, half a second, evenly spread


def test_window_of_a_broadcast_to_many_opens_in_a_gap(tiny: Tiny) -> None:
    scenario = tiny(subscribers=10_000, window_s=10, workload={"rate_hz": 2})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, 0)
    assert start % 500_000_000 == 250_000_000


def test_window_knows_that_streams_start_at_different_times(tiny: Tiny) -> None:
    scenario = tiny(stream=["fanout", "stocks"], warmup_s=0, window_s=10, workload={"rate_hz": 1})
    started = {"fanout": 0, "stocks": 9 * SECOND + 300_000_000}  # due at .0 and at .3
    start, _ = _window.choose(scenario.make_workload(), scenario, started, 0)
    assert start % SECOND == 650_000_000


# Warm-up in messages (R14)


def test_window_opens_after_the_messages_of_the_warm_up(tiny: Tiny) -> None:
    """Due at 10.0, 10.2, …: the twentieth since everyone is subscribed is due at 13.8 s."""
    scenario = tiny(warmup_s=1, warmup_messages=20, window_s=2, workload={"rate_hz": 5})
    start, end = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, NOW)
    assert (start, end - start) == (14_100_000_000, 2 * SECOND)


def test_what_was_sent_before_counts_when_everyone_had_it(tiny: Tiny) -> None:
    scenario = tiny(warmup_s=0, warmup_messages=20, window_s=2, workload={"rate_hz": 5})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, NOW - 2 * SECOND)
    assert start == 12_100_000_000


def test_the_longer_warm_up_counts(tiny: Tiny) -> None:
    scenario = tiny(warmup_s=5, warmup_messages=20, window_s=2, workload={"rate_hz": 5})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0}, NOW)
    assert start >= NOW + 5 * SECOND


def test_every_channel_has_had_them(tiny: Tiny) -> None:
    """Poisson arrivals: the slowest of 150 channels decides."""
    pace = {"rate_hz": 5, "channels": "unicast", "arrival": "poisson"}
    scenario = tiny(subscribers=150, warmup_s=0, warmup_messages=20, workload=pace)
    workload = scenario.make_workload()
    start, _ = _window.choose(workload, scenario, {"fanout": 0}, NOW)
    counts = []
    for channel in workload.channels():
        due = itertools.takewhile(lambda due_ns: due_ns < start, (t.due_ns for t in workload.ticks_of(channel)))
        counts.append(sum(due_ns >= NOW for due_ns in due))
    assert min(counts) == 20


def test_finite_streams_do_not_delay_the_window(tiny: Tiny) -> None:
    """`general` sends twenty messages in 38 s, and then nothing."""
    scenario = tiny(stream=["fanout", "general"], warmup_s=0, warmup_messages=20, workload={"rate_hz": 20})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0, "general": NOW}, NOW)
    assert start < NOW + 2 * SECOND


def test_a_conversation_warms_up_by_its_senders_timetable(tiny: Tiny) -> None:
    scenario = tiny(
        stream="chat", subscribers=10, warmup_s=0, warmup_messages=20, chat={"senders": 10, "rate_hz": 1},
        subjects=["websocket-aiohttp"],
    )  # fmt: skip
    start, _ = _window.choose(scenario.make_workload(), scenario, {"chat": 0}, NOW)
    assert start == NOW + 2 * SECOND + 20_000_000


def test_a_server_with_a_timetable_of_its_own_warms_up_in_seconds(tiny: Tiny) -> None:
    scenario = tiny(warmup_s=1, warmup_messages=20)
    start, _ = _window.choose(scenario.make_workload(), scenario, {}, NOW)
    assert start == NOW + SECOND + 20_000_000
