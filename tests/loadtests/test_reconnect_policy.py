"""How subscribers come back: an EventSource as the standard has it, the others by exponential backoff with jitter."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from msgspec import structs

from rtbench.loadtests import subscriber
from rtbench.loadtests.reactor import links
from rtbench.loadtests.reconnect_policy import wait_s
from rtbench.messages.load import ReconnectPolicy

Make = Callable[..., Any]
NOW_NS = 10**12
WAYS = ReconnectPolicy(eventsource_s=3.0, backoff_s=0.5, backoff_most_s=10.0, seed=7)


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of links and subscribers stands at NOW_NS."""
    for module in (links, subscriber):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: NOW_NS))


@pytest.mark.parametrize("attempt", [0, 1, 50])
def test_an_event_source_always_waits_its_reconnection_time(attempt: int) -> None:
    assert {wait_s(WAYS, "sse", who, attempt, None) for who in range(50)} == {3.0}


@pytest.mark.parametrize(("retry_ms", "waited_s"), [(5000, 5.0), (0, 0.0), (1, 0.001)])
def test_the_servers_advice_is_an_event_sources_reconnection_time(retry_ms: int, waited_s: float) -> None:
    assert wait_s(WAYS, "sse", 0, 3, retry_ms) == waited_s


@pytest.mark.parametrize("transport", ["websocket", "short-poll", "long-poll", "tcp"])
@pytest.mark.parametrize(("attempt", "most_s"), [(0, 0.5), (1, 1.0), (4, 8.0), (5, 10.0), (1000, 10.0)])
def test_others_back_off_with_full_jitter(transport: str, attempt: int, most_s: float) -> None:
    waits = [wait_s(WAYS, transport, who, attempt, 5000) for who in range(1000)]
    assert all(0 <= wait < most_s for wait in waits)
    # Evenly over the whole range: nobody comes in step with the others.
    assert statistics.mean(waits) == pytest.approx(most_s / 2, rel=0.1)
    assert min(waits) < 0.05 * most_s < 0.95 * most_s < max(waits)


@pytest.mark.parametrize("transport", ["sse", "websocket", "long-poll"])
@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ("retry", [3.0, 3.0, 3.0, 3.0]),
        ("backoff", [0.5, 1.0, 2.0, 4.0]),
        ("at-once", [0.0, 0.5, 1.0, 2.0]),
    ],
)
def test_a_scenario_may_give_all_of_them_one_policy(transport: str, policy: str, waits: list[float]) -> None:
    ways = structs.replace(WAYS, policy=policy)
    for who in range(3):
        assert [wait_s(ways, transport, who, attempt, None) for attempt in range(4)] == waits


def test_a_jitter_is_the_same_for_every_transport() -> None:
    ways = structs.replace(WAYS, policy="jitter")
    assert wait_s(ways, "sse", 3, 2, 5000) == wait_s(WAYS, "websocket", 3, 2, None)


def test_waits_depend_on_seed_subscriber_and_attempt_alone() -> None:
    def drawn(ways: ReconnectPolicy) -> list[float]:
        return [wait_s(ways, "websocket", who, attempt, None) for who in range(20) for attempt in range(3)]

    assert drawn(WAYS) == drawn(ReconnectPolicy(3.0, 0.5, 10.0, 7))
    assert drawn(WAYS) != drawn(ReconnectPolicy(3.0, 0.5, 10.0, 8))
    assert len(set(drawn(WAYS))) == 60


# A subscriber's


def test_a_subscriber_begins_again_once_it_is_connected(bench: Make, wire: Any) -> None:
    here = bench(reconnect_policy=WAYS)
    link = here.link("websocket")
    subscriber = link.subscriber
    for attempt in range(3):
        link.over("refused")
        assert subscriber.again_s() == wait_s(WAYS, "websocket", 0, attempt, None)
        link = here.connect(subscriber)
    here.reactor.read(link, wire.upgrade(link.socket.sent))
    link.over("reset")
    assert subscriber.again_s() == wait_s(WAYS, "websocket", 0, 0, None)
    assert not subscriber.over_for_good


@pytest.mark.usefixtures("no_time_passes")
def test_an_event_source_remembers_the_advice_over_connections(bench: Make, wire: Any) -> None:
    here = bench(reconnect_policy=WAYS)
    link = here.link("sse")
    here.reactor.read(link, wire.sse_head + wire.chunk(b"retry: 250\n\n"))
    ended(here, link, "reset")
    assert link.subscriber.again_s() == 0.25
    again = here.connect(link.subscriber)
    ended(here, again, "refused")  # which says nothing of it
    assert again.subscriber.again_s() == 0.25
    again = here.connect(link.subscriber)
    here.reactor.read(again, wire.sse_head + wire.chunk(b"retry: 0\n\n"))
    ended(here, again, "reset")
    assert again.subscriber.again_s() == 0.0


@pytest.mark.usefixtures("no_time_passes")
def test_the_wait_counts_from_the_end_of_the_connection(bench: Make, wire: Any) -> None:
    """What was read is decoded piece by piece first, which takes its time."""
    here = bench(reconnect_policy=WAYS)
    link = here.link("sse")
    here.reactor.read(link, wire.sse_head + wire.chunk(b"retry: 250\n\n"))
    link.over("reset")
    link.closed_ns = NOW_NS - 200_000_000
    here.load.recorder.decode()
    link.subscriber.learn(link)
    assert link.subscriber.again_s() == 0.25 - 0.2
    link.closed_ns -= 200_000_000
    link.subscriber.learn(link)
    assert link.subscriber.again_s() == 0.0


def test_a_client_that_comes_back_waits_for_its_cursor_while_others_are_read(bench: Make, wire: Any) -> None:
    """One piece of the buffer a turn of the reactor; a second one who waits does not decode twice."""
    here = bench(reconnect_policy=WAYS)
    link = here.link("sse")
    here.reactor.read(link, wire.sse_head)
    for seq in range(1, 301):
        here.reactor.read(link, wire.chunk(b"id: %d\ndata: %d\n\n" % (seq, seq)))
    waiting = [gevent.spawn(here.load.catch_up) for _ in range(2)]
    gevent.sleep(0)
    turns = 0
    while not all(one.dead for one in waiting):
        assert len(here.reactor.timers) == 1
        here.turn()
        turns += 1
    assert turns == 3  # 301 reads, 128 a turn
    assert link.subscriber.cursor == 300


def ended(here: Any, link: Any, outcome: str) -> None:
    link.over(outcome)
    here.load.recorder.decode()
    link.subscriber.learn(link)


@pytest.mark.parametrize(("status", "good"), [(204, True), (404, True), (502, True), (200, False)])
def test_an_event_source_stops_for_good_at_any_other_status(bench: Make, wire: Any, status: int, good: bool) -> None:
    here = bench()
    link = here.link("sse")
    here.reactor.read(link, wire.sse_head if status == 200 else wire.empty(status))
    link.over("closed")
    assert link.subscriber.over_for_good is good
    assert here.load.given_up == good


def test_a_client_refused_by_the_kernel_reconnects(bench: Make) -> None:
    here = bench()
    link = here.link("sse")
    link.over("refused")
    assert not link.subscriber.over_for_good
    assert here.load.failed == {"refused": 1}


# Silence


def test_a_push_connection_that_is_silent_for_two_heartbeats_is_given_up(
    bench: Make, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtbench.loadtests import load as load_module

    silence: dict[Any, float] = {}
    monkeypatch.setattr(load_module, "silent_s", lambda sock: silence[sock])
    here = bench(heartbeat_s=1.0)
    links = [here.link("sse") for _ in range(3)]
    unanswered, polling = here.link("sse"), here.link("short-poll")
    for link, silent_s in zip([*links, unanswered, polling], (2.1, 1.9, 0.0, 9.0, 9.0), strict=True):
        silence[link.socket] = silent_s
        if link in links:
            here.reactor.read(link, wire.sse_head)
    here.load.watch()
    while here.reactor.timers and here.reactor.timers[-1][2] != (0,):
        _, call, arguments = here.reactor.timers.pop()
        call(*arguments)
    assert [link.outcome for link in links] == ["silent for two heartbeats", "open", "open"]
    assert (unanswered.outcome, polling.outcome) == ("open", "open")
    assert here.load.subscribed_count == 2
    assert not links[0].subscriber.over_for_good


def test_without_a_heartbeat_no_connection_is_watched(bench: Make) -> None:
    here = bench()
    here.load.watch()
    assert here.reactor.timers == []
