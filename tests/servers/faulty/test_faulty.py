"""Faults on purpose, each with fakes around it: done to the messages that are meant, and to no others (R16)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from rtbench.messages.server import Limits
from rtbench.scenario.tables import Injection
from rtbench.servers import faulty
from rtbench.servers.faulty import Faults, FaultyHub, FineClock, corrupted
from rtbench.servers.kit import poll_answer, sse_encoder, websocket_encoder
from rtbench.servers.kit.hub import Hub
from rtbench.subjects.registry import find

MILLISECOND = 1_000_000
LIMITS = Limits(ring_messages=50, ring_bytes=2**20, buffer_bytes=4096, heartbeat_s=15.0)


def play(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run on a loop of its own."""
    asyncio.run(coroutine)


# The clock


@contextmanager
def fine_clock() -> Iterator[FineClock]:
    clock = FineClock()
    yield clock
    asyncio.get_running_loop().remove_reader(clock._descriptor)
    os.close(clock._descriptor)


def test_the_clock_calls_in_the_order_of_the_instants_and_never_before() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        called: list[tuple[str, bool]] = []
        with fine_clock() as clock:
            now = time.monotonic_ns()

            def note(name: str, due_ns: int) -> None:
                called.append((name, time.monotonic_ns() >= due_ns))
                if name == "last":
                    over.set_result(None)

            for name, after in (("last", 3), ("first", 1), ("twin", 2), ("second twin", 2), ("passed", -5)):
                due_ns = now + after * MILLISECOND
                clock.at(due_ns, note, name, due_ns)
            await over
        assert called == [(name, True) for name in ("passed", "first", "twin", "second twin", "last")]

    play(check())


def test_what_is_called_may_plan_more() -> None:
    async def check() -> None:
        over = asyncio.get_running_loop().create_future()
        with fine_clock() as clock:
            now = time.monotonic_ns()

            def again() -> None:
                clock.at(now + 2 * MILLISECOND, over.set_result, time.monotonic_ns())

            clock.at(now + MILLISECOND, again)
            assert await over >= now + MILLISECOND
            assert time.monotonic_ns() >= now + 2 * MILLISECOND

    play(check())


def test_sleep_is_as_long_as_it_says() -> None:
    async def check() -> None:
        with fine_clock() as clock:
            begin = time.monotonic_ns()
            await clock.sleep(0.002)
            assert time.monotonic_ns() - begin >= 2 * MILLISECOND

    play(check())


def test_a_kernel_without_timers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty.ctypes, "CDLL", lambda *_, **__: SimpleNamespace(timerfd_create=lambda *_: -1))
    monkeypatch.setattr(faulty.ctypes, "get_errno", lambda: 24)
    with pytest.raises(OSError, match="timerfd_create") as caught:
        FineClock()
    assert caught.value.errno == 24


# A hub with faults


class FakeClock:
    """Keeps what is planned until it is turned."""

    def __init__(self) -> None:
        self.planned: list[tuple[int, Callable[..., object], tuple[Any, ...]]] = []
        self.slept: list[float] = []

    def at(self, due_ns: int, call: Callable[..., object], *arguments: Any) -> None:
        self.planned.append((due_ns, call, arguments))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def turn(self) -> None:
        """Everything that is planned comes."""
        planned, self.planned = self.planned, []
        for _, call, arguments in planned:
            call(*arguments)


@pytest.fixture(autouse=True)
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty, "FineClock", FakeClock)


@pytest.fixture
def make(greeting_of: Any, make_hub: Any) -> Callable[..., FaultyHub]:
    """`make(*injections)`: a hub of one channel with these faults, and a readable encoder."""

    def hub(*injections: Injection) -> FaultyHub:
        faults = Faults(injections)
        made = faults.hub(make_hub().encoder, LIMITS)
        assert isinstance(made, FaultyHub)
        made.hello(greeting_of("fanout"))
        return made

    return hub


async def subscribe(hub: Hub, transport: Any, who: int, cursor: int | None = None) -> Any:
    """Attach this transport as the subscriber `who` names."""
    faulty._SUBSCRIBER.set(who)
    await hub.attach(transport, hub.channels[0], cursor)
    return transport


EACH = 5
ALL = list(range(1, 13))
CASES = [
    (Injection("drop", (3,), EACH, 1), [2, 3, 4, 5, 7, 8, 9, 10, 12]),
    (Injection("duplicate", (3,), EACH, 1), [1, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 11, 12]),
    (Injection("reorder", (3,), EACH, 1), [2, 1, 3, 4, 5, 7, 6, 8, 9, 10, 12, 11]),
    (Injection("corrupt", (3,), EACH, 1), ALL),
    (Injection("stall", (), EACH, 1), ALL),
    (Injection("delay", (9,), delay_s=0.1), ALL),
]


@pytest.mark.parametrize("live", [True, False], ids=["live", "replayed"])
@pytest.mark.parametrize(("injection", "ids"), CASES, ids=[injection.do for injection, _ in CASES])
def test_a_push_fault_is_of_its_subscriber_alone(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any, injection: Injection, ids: list[int], live: bool
) -> None:
    async def check() -> None:
        hub = make(injection)
        if live:
            mine, other = [await subscribe(hub, new_transport(), who) for who in (3, 4)]
            for seq in ALL:
                hub.publish(ticks_of(seq))
        else:
            hub.publish(ticks_of(*ALL))
            mine, other = [await subscribe(hub, new_transport(), who, 0) for who in (3, 4)]
        assert mine.ids == ids
        assert other.ids == ALL

    play(check())


@pytest.mark.parametrize(("injection", "ids"), CASES, ids=[injection.do for injection, _ in CASES])
def test_a_poll_s_fault_is_of_its_subscriber_alone(
    make: Callable[..., FaultyHub], ticks_of: Any, injection: Injection, ids: list[int]
) -> None:
    async def check() -> None:
        hub = make(injection)
        hub.publish(ticks_of(*ALL))
        faulty._SUBSCRIBER.set(3)
        found, last = hub.held(hub.channels[0], 0)
        assert ([item.seq for item in found], last) == (ids, 12)
        faulty._SUBSCRIBER.set(4)
        found, last = hub.held(hub.channels[0], 0)
        assert ([item.seq for item in found], last) == (ALL, 12)

    play(check())


def test_damage_is_to_the_payload_and_to_the_messages_that_are_meant(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("corrupt", (3,), 2, 0))
        mine = await subscribe(hub, new_transport(), 3)
        hub.publish(ticks_of(1, 2, 3))
        assert mine.writes == [b"message 1 xxxxxxxxxx", b"message 2 xxxxxxxxx0", b"message 3 xxxxxxxxxx"]
        assert [item.data for item in hub.held(hub.channels[0], 1)[0]] == [
            b"message 2 xxxxxxxxx0",
            b"message 3 xxxxxxxxxx",
        ]

    play(check())


def test_messages_that_are_held_back_come_behind_the_next_that_is_not(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("reorder", (), 4, 1), Injection("reorder", (), 4, 2))
        mine = await subscribe(hub, new_transport(), 0)
        hub.publish(ticks_of(1, 2))
        assert mine.ids == []
        hub.publish(ticks_of(3, 4))
        assert mine.ids == [3, 1, 2, 4]

    play(check())


def test_several_faults_of_one_message_are_all_done(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("corrupt", (), 3, 2), Injection("duplicate", (), 3, 2), Injection("drop", (), 3, 0))
        mine = await subscribe(hub, new_transport(), 0)
        hub.publish(ticks_of(1, 2, 3))
        assert mine.writes == [b"message 1 xxxxxxxxxx", *[b"message 2 xxxxxxxxx0"] * 2]

    play(check())


# Delay


def test_a_delayed_subscriber_gets_everything_later_and_in_order(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("delay", (3,), delay_s=0.02), Injection("delay", (3, 4), delay_s=0.001))
        slow, other = [await subscribe(hub, new_transport(), who) for who in (3, 5)]
        before = time.monotonic_ns()
        hub.publish(ticks_of(1, 2))
        hub._write(hub.channels[0].connections, b"heartbeat")
        after = time.monotonic_ns()
        assert (slow.writes, other.ids) == ([], [1, 2])
        clock: Any = hub._faults.clock
        assert all(before <= due_ns - 21 * MILLISECOND <= after for due_ns, *_ in clock.planned)
        clock.turn()
        assert slow.ids == [1, 2]
        assert slow.writes[2] == other.writes[2] == b"heartbeat"

    play(check())


def test_what_comes_late_for_a_client_that_left_is_not_written(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("delay", delay_s=0.02))
        gone = await subscribe(hub, new_transport(), 3)
        hub.publish(ticks_of(1))
        gone.closed = True
        hub._faults.clock.turn()  # type: ignore[attr-defined]
        assert gone.writes == []

    play(check())


def test_a_stall_is_before_what_it_is_for(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        hub = make(Injection("stall", every=3, of=2, delay_s=0.7))
        mine = await subscribe(hub, new_transport(), 0)
        seen: list[tuple[float, list[int]]] = []
        monkeypatch.setattr(faulty.time, "sleep", lambda seconds: seen.append((seconds, list(mine.ids))))
        for seqs in ((1,), (2, 3), (4,)):
            hub.publish(ticks_of(*seqs))
        assert (mine.ids, seen) == ([1, 2, 3, 4], [(0.7, [1])])

    play(check())


def test_work_keeps_the_core_for_its_time_with_each_write(
    make: Callable[..., FaultyHub], new_transport: Any, ticks_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three messages at two subscribers, of which one is meant: three times ten milliseconds, by a clock of its own."""
    now = count(start=0)
    asked: list[float] = []

    def perf_counter() -> float:
        asked.append(next(now) * 0.001)
        return asked[-1]

    async def check() -> None:
        hub = make(Injection("work", (3,), delay_s=0.010))
        mine, other = [await subscribe(hub, new_transport(), who) for who in (3, 4)]
        monkeypatch.setattr(faulty.time, "perf_counter", perf_counter)
        for seq in (1, 2, 3):
            hub.publish(ticks_of(seq))
        assert mine.ids == other.ids == [1, 2, 3]

    play(check())
    begun = 3 * 10
    assert begun <= len(asked) <= begun + 3 * 3  # a reading to begin with, one to end with, one of each other write


# Polls


def test_a_poll_that_finds_only_what_is_held_back_keeps_its_cursor(
    make: Callable[..., FaultyHub], ticks_of: Any
) -> None:
    async def check() -> None:
        hub = make(Injection("reorder", (), 5, 3))
        channel = hub.channels[0]
        hub.publish(ticks_of(1, 2, 3))
        found, last = hub.held(channel, 2)
        assert (found, last) == ([], 2)
        found, last = hub.held(channel, 0)
        assert ([item.seq for item in found], last) == ([1, 2], 2)  # 3 is asked for again
        hub.publish(ticks_of(4))
        found, last = hub.held(channel, 2)
        assert ([item.seq for item in found], last) == ([4, 3], 4)

    play(check())


def test_a_poll_that_finds_only_what_is_lost_goes_on_behind_it(make: Callable[..., FaultyHub], ticks_of: Any) -> None:
    async def check() -> None:
        hub = make(Injection("drop", (), 5, 3))
        hub.publish(ticks_of(1, 2, 3))
        assert hub.held(hub.channels[0], 2) == ([], 3)
        assert hub.held(hub.channels[0], 3) == ([], 3)

    play(check())


def asking(who: str) -> Any:
    return SimpleNamespace(query={"subscriber": who} if who else {})


@pytest.mark.parametrize(
    ("who", "number"), [("3", 3), ("0", 0), ("", -1), ("me", -1), ("-3", -1)], ids=["3", "0", "nobody", "me", "-3"]
)
def test_the_hub_knows_the_subscriber_of_a_request(who: str, number: int) -> None:
    async def check() -> None:
        seen: list[int] = []

        async def handler(_: Any) -> web.StreamResponse:
            seen.append(faulty._SUBSCRIBER.get())
            return web.StreamResponse()

        await Faults(()).middleware(asking(who), handler)
        assert seen == [number]

    play(check())


@pytest.mark.parametrize(
    ("who", "answer", "slept"),
    [
        ("3", web.Response, [0.02]),
        ("4", web.Response, []),
        ("3", web.StreamResponse, []),  # a stream's messages are held back one by one
    ],
)
def test_a_delayed_subscriber_s_answers_are_held_back(who: str, answer: Any, slept: list[float]) -> None:
    async def check() -> None:
        faults = Faults([Injection("delay", (3,), delay_s=0.02)])
        made = answer()

        async def handler(_: Any) -> web.StreamResponse:
            response: web.StreamResponse = made
            return response

        assert await faults.middleware(asking(who), handler) is made
        assert faults.clock.slept == slept  # type: ignore[attr-defined]

    play(check())


# Damage


@pytest.mark.parametrize(
    ("payload", "damaged"),
    [
        (b'{"a":10}', b'{"a":11}'),
        (b'{"a":19}', b'{"a":10}'),
        (b'"abc"', b'"ab0"'),
        (b'{"pad":"f00"}', b'{"pad":"f01"}'),
    ],
)
@pytest.mark.parametrize(
    "encoder",
    [sse_encoder.Chunked(), websocket_encoder.Framed(), poll_answer.Enveloped()],
    ids=lambda e: type(e).__name__,
)
def test_damage_changes_one_byte_of_the_payload_and_nothing_around_it(
    encoder: Any, payload: bytes, damaged: bytes
) -> None:
    assert corrupted(encoder.message(7, payload)) == encoder.message(7, damaged)


# The subjects


def test_a_faulty_subject_serves_what_it_is_made_of_with_a_faulty_hub() -> None:
    served: list[Any] = []

    async def serve(server: Any) -> None:
        served.append(server)

    made = faulty.subject(replace(find("sse-aiohttp"), serve=serve))
    injection = Injection("drop")
    server = SimpleNamespace(options=SimpleNamespace(inject=(injection,)), hub_type=Hub, middlewares=())
    play(made.serve(server))
    assert served == [server]
    faults = server.hub_type.__self__
    assert faults.injections == (injection,)
    assert server.middlewares == (faults.middleware,)
    assert faults.middleware.__middleware_version__ == 1  # aiohttp's mark


def test_without_an_injection_every_byte_is_the_subject_s(
    make: Callable[..., FaultyHub], make_hub: Any, new_transport: Any, ticks_of: Any, notice_of: Any
) -> None:
    async def check() -> None:
        hubs = [make(), make_hub(limits=LIMITS)]
        seen = []
        for hub in hubs:
            hub.publish(ticks_of(*ALL))
            transport = await subscribe(hub, new_transport(), 3, 0)
            hub.publish(ticks_of(13))
            hub._write(hub.channels[0].connections, hub.encoder.heartbeat)
            hub.publish(notice_of("end", last=13))
            seen.append(transport.writes)
        assert seen[0] == seen[1]
        assert hubs[0].held(hubs[0].channels[0], 3) == hubs[1].held(hubs[1].channels[0], 3)

    play(check())
