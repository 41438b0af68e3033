"""Subscribers: where the server is, who has which number, and when a poll is due."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

import pytest

from rtbench.errors import UserError
from rtbench.loadtests.subscriber import Endpoint

Make = Callable[..., Any]

# Target


@pytest.mark.parametrize(
    ("url", "host", "address"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("http://127.0.0.1", "127.0.0.1", ("127.0.0.1", 80)),
        ("ws://127.0.0.1:9", "127.0.0.1:9", ("127.0.0.1", 9)),
        ("tcp://127.0.0.1:9", "127.0.0.1:9", ("127.0.0.1", 9)),
    ],
)
def test_target(url: str, host: str, address: tuple[str, int]) -> None:
    assert Endpoint.of(url) == Endpoint(host, socket.AF_INET, address)


def test_target_on_ipv6() -> None:
    target = Endpoint.of("http://[::1]:8000")
    assert (target.host, target.family, target.address[:2]) == ("[::1]:8000", socket.AF_INET6, ("::1", 8000))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://:8000",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:http",
        "http://127.0.0.1/sse/fanout",
        "http://[::1",
    ],
)
def test_no_address(url: str) -> None:
    with pytest.raises(UserError, match=r"--host .* is not a server's address: write http://HOST:PORT") as caught:
        Endpoint.of(url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(UserError, match=r"--host 'http://nowhere:80': (Name|label).*check the server's name"):
        Endpoint.of("http://nowhere:80")


# Numbers


def test_numbers_count_from_the_first_and_are_given_again(bench: Make) -> None:
    load = bench(unicast=True).load
    load.first = 100
    one, two, three = (load.subscriber("sse") for _ in range(3))
    assert [one.index, two.index, three.index] == [100, 101, 102]
    load.release(two)
    load.release(one)
    assert [load.subscriber("sse").index for _ in range(3)] == [100, 101, 103]


def test_workers_share_the_numbers_without_a_gap(bench: Make) -> None:
    numbers = []
    for first in range(3):
        load = bench().load
        load.first, load.step = first, 3
        numbers += [load.subscriber("sse").index for _ in range(4)]
    assert sorted(numbers) == list(range(12))


def test_released_numbers_of_a_worker_stay_its_own(bench: Make) -> None:
    load = bench().load
    load.first, load.step = 2, 3
    subscribers = [load.subscriber("sse") for _ in range(4)]
    load.release(subscribers[2])
    assert load.subscriber("sse").index == subscribers[2].index == 8


def test_subscribers_are_spread_over_streams(bench: Make) -> None:
    load = bench(streams=("fanout", "stocks")).load
    assert [load.subscriber("sse").channel.stream for _ in range(4)] == ["fanout", "stocks"] * 2
    unicast = bench(streams=("fanout", "stocks"), unicast=True).load
    channels = [unicast.subscriber("sse").channel for _ in range(4)]
    assert [(c.number, c.stream, c.index) for c in channels] == [
        (0, "fanout", 0),
        (1, "stocks", 0),
        (2, "fanout", 1),
        (3, "stocks", 1),
    ]


# The ramp


def test_first_connections_are_on_the_ramp_and_later_ones_at_once(bench: Make) -> None:
    load = bench().load
    load.ramp_ns, load.ramp_hz = 5_000_000_000, 1000.0
    subscribers = [load.subscriber("sse") for _ in range(3)]
    assert [load.connect_at(subscriber) for subscriber in subscribers] == [
        5_000_000_000,
        5_001_000_000,
        5_002_000_000,
    ]
    subscribers[1].connections = 1
    assert load.connect_at(subscribers[1]) == 0


def test_without_a_ramp_all_connect_at_once(bench: Make) -> None:
    load = bench().load
    assert load.connect_at(load.subscriber("sse")) == 0


# When polls are due

SECOND = 1_000_000_000


def slots(here: Any) -> list[int]:
    return [due for due, _, _ in here.reactor.timers]


def test_short_polls_are_due_on_an_absolute_plan(bench: Make) -> None:
    here = bench(poll_interval_s=1.0)
    here.load.base_ns = 7
    link = here.link("short-poll")  # subscriber 0 has phase 0
    for now in (7, 8, SECOND - 1, SECOND + 6, SECOND + 7, 5 * SECOND):
        link.subscriber.schedule(link, now)
    # The answer's lateness does not move the plan: always base + k × interval, the next after now.
    assert slots(here) == [7 + SECOND, 7 + SECOND, 7 + SECOND, 7 + SECOND, 7 + 2 * SECOND, 7 + 5 * SECOND]


def test_a_short_poll_is_asked_for_its_slot(bench: Make, wire: Any) -> None:
    here = bench(poll_interval_s=0.5)
    link = here.link("short-poll")
    here.reactor.read(link, wire.answer(following=0), 0, 123)
    ((due, call, arguments),) = here.reactor.timers
    assert due == SECOND // 2
    link.socket.sent = b""
    call(*arguments)
    assert link.socket.sent.startswith(b"GET /poll/fanout?since=0 ")
    assert link.planned_ns == due


@pytest.mark.parametrize("count", [2, 10, 100, 1000])
def test_phases_of_short_polls_are_spread(bench: Make, count: int) -> None:
    here = bench(poll_interval_s=1.0)
    for _ in range(count):
        link = here.link("short-poll")
        link.subscriber.schedule(link, 0)
    phases = sorted(slot % SECOND for slot in slots(here))
    gaps = [b - a for a, b in itertools.pairwise([*phases, phases[0] + SECOND])]
    assert max(gaps) <= 2.7 * SECOND / count  # the golden ratio's: never wider, however many there are
    assert len(set(phases)) == count


def test_a_short_poll_asks_on_at_once_while_there_may_be_more(bench: Make) -> None:
    here = bench(codec="interval", carries_id="payload", poll_interval_s=0.5)
    link = here.link("short-poll")
    for number, (status, body, asks) in enumerate(
        [("200 OK", "1", 2), ("200 OK", "2", 3), ("304 Not Modified", "", 3)]
    ):
        fields = f"Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\nEtag: {number}\r\n"
        text = body and f'{{"id":{body},"data":{body}}}'
        length = f"Content-Length: {len(text)}\r\n" if text else ""
        here.reactor.read(link, f"HTTP/1.1 {status}\r\n{fields}{length}\r\n{text}".encode(), 0, 123)
        assert link.socket.sent.count(b"GET ") == asks
    assert link.socket.sent.endswith(b"\r\nIf-None-Match: 1\r\n\r\n")
    assert slots(here) == [SECOND // 2]  # after the 304
    assert here.deliveries("seq", "payload_bytes") == [(2, 1)]


def test_long_polls_ask_again_at_once(bench: Make, wire: Any) -> None:
    here = bench()
    link = here.link("long-poll")
    link.socket.sent = b""
    here.reactor.read(link, wire.answer((4, b'{"a":1}'), following=4), 0, 123)
    assert slots(here) == []
    assert link.socket.sent.startswith(b"GET /long-poll/fanout?since=4&timeout=25 ")
    assert link.planned_ns == 123
