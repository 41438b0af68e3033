"""The top of a search: the user's, the scenario's, or what the load generator may use."""

from __future__ import annotations

import resource

import pytest

from rtbench.capacity import ceiling
from rtbench.capacity.ceiling import RATE, SUBSCRIBERS, Ceiling
from rtbench.scenario.loading import cell

from .planted import scenario


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with room."""
    monkeypatch.setattr(ceiling, "ports", lambda: (1000, 61_000))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1_000_000))


def test_the_lowest_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = scenario(server={"connections": 100_000, "connections_by_peer": 100_000})
    assert ceiling.ceiling(wide, SUBSCRIBERS, 300.7) == Ceiling(300, "--to")
    assert ceiling.ceiling(scenario(), SUBSCRIBERS, None).value == 25_000
    ports = ceiling.ceiling(wide, SUBSCRIBERS, None)
    assert (ports.value, ports.harness) == (54_000, True)
    assert "local ports" in ports.why
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 5000))
    descriptors = ceiling.ceiling(wide, SUBSCRIBERS, None)
    assert (descriptors.value, descriptors.harness) == (4800, True)
    assert "descriptors" in descriptors.why


def test_a_rate_has_no_ports() -> None:
    assert ceiling.ceiling(scenario(), RATE, None) == Ceiling(100_000, "the largest value of a scenario")
    assert ceiling.ceiling(scenario(), RATE, 0.5) == Ceiling(0.5, "--to")


def test_servers_take_the_polls_of_the_largest_load() -> None:
    """1,000 subscribers may begin within the bound of requests, and the search ends far beyond it."""
    polls = scenario(subjects=["long-poll-aiohttp", "sse-aiohttp"], workload={"rate_hz": 5})
    roomy = ceiling.roomy(polls, SUBSCRIBERS, Ceiling(25_000, "--to"))
    assert roomy.server.requests_hz == 125_000
    assert cell(roomy, {SUBSCRIBERS: 25_000}, "here").scenario.subscribers == 25_000
    assert ceiling.roomy(polls, RATE, Ceiling(100_000, "--to")).server.requests_hz == 1_000_000
    assert ceiling.roomy(scenario(), SUBSCRIBERS, Ceiling(25_000, "--to")).server.requests_hz == 25_000
