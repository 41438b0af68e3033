"""Programs that take our feed, whatever they are written in: fed by hand, each over its transport.

What the conformance cases cannot show, since their publisher does nothing wrong: frames of a newer one, torn frames, a
feed that goes away, another run of it. A new stack is found by the registry.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtbench.conformance import PUSH
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.loadtests.reactor.tcp_info import tcp_counts
from rtbench.processes.program import ProgramServer
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable
from rtbench.servers.kit import feed as wire
from rtbench.subjects import FEED
from rtbench.subjects.registry import catalogue
from rtbench.transports import Control

from .conftest import Feed, on_one_connection

pytestmark = pytest.mark.slow

FED = sorted(name for name, subject in catalogue().items() if subject.program is not None and subject.publish == FEED)
PUSHED = [name for name in FED if catalogue()[name].transport in PUSH]
PATIENCE_S = 60

every = pytest.mark.parametrize("subject", FED)
events = pytest.mark.parametrize("subject", [name for name in FED if catalogue()[name].transport == "sse"])
pushed = pytest.mark.parametrize("subject", PUSHED)


class Fed(ProgramServer):
    """A server that is ready."""

    def target(self, stream: str) -> Target:
        """It, asked for a stream."""
        url = urlsplit(self.url)
        return Target(url.hostname or "", url.port or 0, self.subject.transport, stream, patience_s=15.0)


Start = Callable[..., Fed]


@pytest.fixture
def fed(tmp_path: Path, feed: Feed, subject: str) -> Iterator[Start]:
    """`fed("stocks", …)`: a server that is ready, with these streams and nothing in them yet."""
    found = catalogue()[subject]
    what, remedy = found.missing()
    if what:
        pytest.skip(f"{subject} needs {what}: {remedy}")
    with contextlib.ExitStack() as stack:

        def start(*streams: str, **limits: Any) -> Fed:
            scenario = Scenario(server=ServerTable(**limits))
            log = tmp_path / "server.log"
            server = stack.enter_context(Fed(found, scenario, feed.path, tmp_path, (), log, host="127.0.0.1"))
            feed.accept()
            feed.hello(*streams)
            feed.live()
            server.ready()
            return server

        yield start


def ids(subscriber: Subscriber, count: int) -> list[int]:
    return [message.id for message in subscriber.messages(count)]


@every
def test_it_says_what_it_uses(fed: Start):
    server = fed("stocks", heartbeat_s=0.5)
    wanted = {
        "heartbeat_s": 0.5,
        "buffer_bytes": ServerTable().buffer_bytes,
        "ring_messages": ServerTable().ring_messages,
        "ring_bytes": ServerTable().ring_bytes,
        "technique": server.subject.technique,
        "nodelay": True,
        "backlog": 4096,
        "access_log": False,
        "compression": "none",
        "slow_consumer": "drop",
    }
    assert {name: server.uses.get(name) for name in wanted} == wanted
    assert any(letter.isdigit() for letter in server.uses["stack"])  # a version


@every
def test_frames_that_it_does_not_know_are_stepped_over(fed: Start, feed: Feed):
    with Subscriber(fed("stocks").target("stocks")) as subscriber:
        assert subscriber.open()
        for seq in range(1, 4):
            feed.say(99, b"a newer publisher's")
            feed.ticks(seq)
        assert ids(subscriber, 3) == [1, 2, 3]


@every
def test_the_feed_may_go_away_and_come_back(fed: Start, feed: Feed):
    with Subscriber(fed("stocks").target("stocks")) as subscriber:
        assert subscriber.open()
        feed.ticks(1, 2)
        feed.accept()
        feed.hello("stocks")
        feed.ticks(1, 2, 3)  # the refill
        feed.live()
        feed.ticks(4)
        assert ids(subscriber, 4) == [1, 2, 3, 4]
        feed.accept()
        feed.hello("stocks")
        feed.ticks(8, 9)  # it was away for longer than the publisher's ring holds
        assert ids(subscriber, 2) == [8, 9]
        assert [dict(gap.fields) for gap in subscriber.gaps] == [{"from": 5, "to": 7, "reason": "no longer held"}]


@every
def test_another_run_of_the_publisher_is_told(fed: Start, feed: Feed):
    server = fed("stocks", "metrics")
    with Subscriber(server.target("stocks")) as moved, Subscriber(server.target("metrics")) as orphan:
        assert moved.open() and orphan.open()
        feed.ticks(1, 2)
        assert ids(moved, 2) == [1, 2]
        feed.accept()
        feed.hello("dashboard", "stocks", epoch="e2")
        feed.ticks(1, channel=1)
        assert ids(moved, 1) == [1]
        assert [(gap.fields["from"], gap.fields["to"]) for gap in moved.gaps] == [(1, 2)]
        while orphan.event() is not None:
            pass
        assert orphan.closed is not None  # its stream is gone
        assert orphan.closed.clean or server.subject.transport not in PUSH
    plan = fetch(server.target("stocks"), "/plan/stocks").json()
    assert (plan["epoch"], plan["seed"], [tick[0] for tick in plan["ticks"]]) == ("e2", 7, [1])


@every
def test_a_cursor_of_the_run_before_gets_all_of_this_one(fed: Start, feed: Feed):
    server = fed("stocks")
    feed.ticks(*range(1, 6))
    feed.accept()
    feed.hello("stocks", epoch="e2")
    feed.ticks(1, 2)
    feed.live()
    deadline = time.monotonic() + PATIENCE_S
    while [tick[0] for tick in fetch(server.target("stocks"), "/plan/stocks").json()["ticks"]] != [1, 2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with Subscriber(server.target("stocks"), 5) as back:
        assert ids(back, 2) == [1, 2]
        assert [dict(gap.fields) for gap in back.gaps] == [{"from": 1, "to": 5, "reason": "the publisher began again"}]


@every
def test_a_malformed_frame_costs_the_connection_to_the_publisher_and_no_more(fed: Start, feed: Feed):
    server = fed("stocks")
    with Subscriber(server.target("stocks")) as subscriber:
        assert subscriber.open()
        for torn in (b"torn", wire.pack(17, 1, 0, b"{}")):
            feed.say(wire.TICKS, torn)
            feed.accept()
            feed.hello("stocks")
        feed.ticks(1)
        assert ids(subscriber, 1) == [1]
    assert "the feed broke off" in server.tail()


@every
def test_a_finite_stream_is_had_whole_then_its_end(fed: Start, feed: Feed):
    server = fed("chat", ring_messages=2)
    target = server.target("chat")
    with Subscriber(target) as early:
        assert early.open()
        feed.ticks(*range(1, 6))
        feed.notice("end", last=5)

        def whole(subscriber: Subscriber, first: int) -> None:
            assert ids(subscriber, 6) == list(range(first, 6))
            assert subscriber.controls == [Control("end", {"last": 5})]
            assert subscriber.closed is not None and subscriber.closed.clean
            assert subscriber.closed.code == (1000 if target.transport == "websocket" else 0)

        whole(early, 1)
        with Subscriber(target) as late, Subscriber(target, 3) as resumed:  # once all of it is there
            whole(late, 1)
            whole(resumed, 4)
    if target.transport == "sse":
        assert fetch(target, "/sse/chat", headers={"Last-Event-ID": "5"}).status == 204


@pushed
def test_what_a_stream_says_of_itself(fed: Start, feed: Feed):
    target = fed("resilient", ring_messages=2).target("resilient")

    def rest(subscriber: Subscriber) -> list[int]:
        """The ids up to the failure, which ends the connection."""
        found = ids(subscriber, 4)
        assert subscriber.controls[-1] == Control("failure", {"error": "no more", "last": 3})
        assert subscriber.closed is not None
        assert subscriber.closed.code == (1011 if target.transport == "websocket" else 0)
        return found

    with Subscriber(target) as present:
        assert present.open()
        feed.ticks(1, 2)
        feed.notice("retry", after_ms=5000, count=1)
        assert ids(present, 2) == [1, 2]
        with Subscriber(target) as during:
            assert during.open()
            while not during.controls:
                assert during.event() is not None
            assert during.controls == [Control("retry", {"after_ms": 5000, "count": 1})]
            feed.notice("retry", after_ms=5000, count=1)  # repeated, as after a refill
            feed.ticks(3)
            feed.notice("failure", error="no more", last=3)
            for subscriber in (present, during):
                assert rest(subscriber) == [3]
                assert sum(control.kind == "retry" for control in subscriber.controls) == 1
            with Subscriber(target) as late:  # after the others saw the failure
                assert rest(late) == [1, 2, 3]
                assert len(late.controls) == 1


@pushed
def test_who_is_slower_than_its_replay_is_dropped(fed: Start, feed: Feed):
    server = fed("stocks", heartbeat_s=0.2, buffer_bytes=65536)
    text = "x" * 8000
    for first in range(1, 1000, 100):
        feed.ticks(*range(first, first + 100), payload=text)
    with Subscriber(server.target("stocks"), 0) as quick:  # more than it may hold at once
        assert ids(quick, 1000) == list(range(1, 1001))
    with Subscriber(server.target("stocks"), 0, receive_bytes=4096) as slow:
        deadline = time.monotonic() + PATIENCE_S
        while "dropped a slow consumer of stocks" not in server.tail() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "dropped a slow consumer of stocks: it did not take its replay; it held " in server.tail()
        got = ids(slow, 1000)
        assert got == list(range(1, len(got) + 1)) and len(got) < 1000
        assert slow.closed is not None and not slow.closed.clean


@pushed
def test_a_message_is_one_write(fed: Start, feed: Feed):
    """R11. With TCP_NODELAY each write is a segment of its own."""
    with Subscriber(fed("stocks").target("stocks")) as subscriber:
        assert subscriber.open()
        before = tcp_counts(subscriber.link).received_segments
        for seq in range(1, 4):
            feed.ticks(seq, payload="x" * 1000 * seq)
            assert ids(subscriber, 1) == [seq]
            assert tcp_counts(subscriber.link).received_segments - before == seq


@events
def test_a_connection_is_kept_alive_over_answers_and_streams(fed: Start, feed: Feed):
    target = fed("chat").target("chat")
    feed.ticks(1, 2)
    feed.notice("end", last=2)
    asked = {
        "/plan/chat": 200,
        "/sse/chat": 200,
        "/sse/chat?since=2": 204,
        "/nothing/here": 404,
        "/sse/chat?since=x": 400,
        "/sse/chat?since=1": 200,
    }
    answers = on_one_connection((target.host, target.port), asked, PATIENCE_S)
    for headers, _ in answers:
        assert "keep-alive" not in headers  # the announcement of a server that cuts idle connections
    assert answers[1][1].count(b'\ndata: {"n"') == 2
    assert answers[5][1].startswith(b"id: 2\n")
