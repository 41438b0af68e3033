"""The window's edges: after the warm-up, where nothing is due."""

from __future__ import annotations

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
    start, end = _window.choose(scenario.make_workload(), scenario, started)
    assert end - start == 2 * SECOND
    assert (start - started["fanout"]) % 200_000_000 == (end - started["fanout"]) % 200_000_000 == 100_000_000
    assert NOW + SECOND <= start <= NOW + SECOND + 420_000_000  # within a tenth of the window, and half a gap


def test_window_of_many_channels_opens_at_once(tiny: Tiny) -> None:
    scenario = tiny(subscribers=101, warmup_s=1, workload={"rate_hz": 5, "channels": "unicast"})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0})
    assert start == NOW + SECOND + 20_000_000


def test_window_of_a_few_channels_opens_in_a_gap_of_all(tiny: Tiny) -> None:
    scenario = tiny(subscribers=4, window_s=4, workload={"rate_hz": 2, "channels": "unicast"})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0})
    assert start % 125_000_000 == 62_500_000  # four channels, half a second, evenly spread


def test_window_of_a_broadcast_to_many_opens_in_a_gap(tiny: Tiny) -> None:
    scenario = tiny(subscribers=10_000, window_s=10, workload={"rate_hz": 2})
    start, _ = _window.choose(scenario.make_workload(), scenario, {"fanout": 0})
    assert start % 500_000_000 == 250_000_000


def test_window_knows_that_streams_start_at_different_times(tiny: Tiny) -> None:
    scenario = tiny(stream=["fanout", "stocks"], warmup_s=0, window_s=10, workload={"rate_hz": 1})
    started = {"fanout": 0, "stocks": 9 * SECOND + 300_000_000}  # due at .0 and at .3
    start, _ = _window.choose(scenario.make_workload(), scenario, started)
    assert start % SECOND == 650_000_000
