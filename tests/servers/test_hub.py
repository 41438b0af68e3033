"""The hub with fake transports: schedules are made, not waited for."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rtbench.messages.feed import Hello, PlayedWorkload
from rtbench.messages.server import Limits
from rtbench.servers.kit import feed
from rtbench.servers.kit import hub as hub_module
from rtbench.workload import Workload

SMALL = Limits(ring_messages=10, ring_bytes=2**20, buffer_bytes=200, heartbeat_s=15.0)
PATIENT = Limits(ring_messages=100, ring_bytes=2**20, buffer_bytes=200, heartbeat_s=15.0)
IMPATIENT = Limits(ring_messages=100, ring_bytes=2**20, buffer_bytes=200, heartbeat_s=0.0)
BEATING = Limits(ring_messages=10, ring_bytes=2**20, buffer_bytes=4096, heartbeat_s=0.001)


def play(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run on a loop of its own."""
    asyncio.run(coroutine)


async def yields(count: int = 3) -> None:
    """Let the others run."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_message_is_encoded_once_and_written_once_to_everyone(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub()
        crowd = [new_transport() for _ in range(5)]
        for transport in crowd:
            await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(1, 2))
        assert hub.encoder.encoded == 2
        assert [transport.ids for transport in crowd] == [[1, 2]] * 5
        assert crowd[0].writes[0] is crowd[4].writes[0]
        assert hub.subscribers() == 5

    play(check())


@pytest.mark.parametrize(
    ("cursor", "ids", "gap"),
    [
        (None, [], None),
        (0, list(range(6, 16)), (1, 5)),
        (3, list(range(6, 16)), (4, 5)),
        (4, list(range(6, 16)), (5, 5)),
        (5, list(range(6, 16)), None),
        (14, [15], None),
        (15, [], None),
        (16, [], (16, 16)),
        (10**12, [], (16, 10**12)),
    ],
)
def test_where_a_cursor_begins(make_hub, new_transport, ticks_of, cursor, ids, gap):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(*range(1, 16)))  # of which ten are held
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], cursor)
        assert transport.ids == ids
        assert [(n["kind"], n["from"], n["to"]) for n in transport.notices] == ([("gap", *gap)] if gap else [])
        assert all(notice["reason"] for notice in transport.notices)
        if gap:
            assert transport.writes[0].startswith(b"{")
        hub.publish(ticks_of(16))
        assert transport.ids == [*ids, 16]

    play(check())


def test_refilled_ticks_are_not_sent_twice(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(1, 2, 3))
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], 0)
        hub.hello(Hello(hub.plan["epoch"], hub.plan["boot_id"], PlayedWorkload.of(Workload(tuple(hub.streams)))))
        hub.publish(ticks_of(1, 2, 3, 4))
        assert transport.ids == [1, 2, 3, 4]

    play(check())


@pytest.mark.parametrize("published_at", range(8))
def test_nothing_falls_between_replay_and_live(make_hub, new_transport, ticks_of, published_at):
    """The replay has to wait for its consumer; a message is published at each of the points where it waits."""

    async def check() -> None:
        hub = make_hub(limits=PATIENT)
        hub.publish(ticks_of(*range(1, 31)))
        transport = new_transport()
        transport.stalled = True
        attaching = asyncio.create_task(hub.attach(transport, hub.channels[0], 0))
        step = 0
        while not attaching.done():
            await asyncio.sleep(0)
            if transport.held:
                if step == published_at:
                    hub.publish(ticks_of(31))
                step += 1
                transport.held = 0  # the consumer has read
        if step <= published_at:
            hub.publish(ticks_of(31))
        assert transport.ids == list(range(1, 32))
        assert not transport.notices
        assert hub.subscribers() == 1

    play(check())


def test_a_ring_that_moves_on_during_a_slow_replay_is_a_gap(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub(limits=SMALL)
        hub.publish(ticks_of(*range(1, 11)))
        transport = new_transport()
        transport.stalled = True
        attaching = asyncio.create_task(hub.attach(transport, hub.channels[0], 0))
        await yields()
        got = transport.ids
        assert 1 <= len(got) < 10
        hub.publish(ticks_of(*range(11, 21)))
        transport.stalled = False
        transport.held = 0
        await attaching
        assert transport.ids == [*got, *range(11, 21)]
        assert [(n["from"], n["to"]) for n in transport.notices] == [(got[-1] + 1, 10)]

    play(check())


def test_a_replay_leaves_room_for_what_is_published_meanwhile(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub(limits=PATIENT)
        hub.publish(ticks_of(*range(1, 5), size=20))
        transport = new_transport()
        transport.stalled = True
        await hub.attach(transport, hub.channels[0], 0)
        assert transport.held <= PATIENT.buffer_bytes // 2 + 30
        hub.publish(ticks_of(5, size=20))
        assert not transport.aborted

    play(check())


def test_a_consumer_slower_than_its_replay_is_dropped(make_hub, new_transport, ticks_of, capsys):
    async def check() -> None:
        hub = make_hub(limits=IMPATIENT)
        hub.publish(ticks_of(*range(1, 100)))
        transport = new_transport()
        transport.stalled = True
        connection = await hub.attach(transport, hub.channels[0], 0)
        assert connection.finished.result() == "slow"
        assert transport.aborted
        assert hub.dropped == 1

    play(check())
    assert "slow consumer of fanout" in capsys.readouterr().err


def test_a_slow_consumer_is_dropped_and_no_other_one_notices(make_hub, new_transport, ticks_of, capsys):
    async def check() -> None:
        hub = make_hub(limits=SMALL)
        crowd = [new_transport() for _ in range(3)]
        connections = [await hub.attach(transport, hub.channels[0], None) for transport in crowd]
        why: list[str] = []
        connections[1].on_finish = why.append
        crowd[1].stalled = True
        for seq in range(1, 21):
            hub.publish(ticks_of(seq))
        assert crowd[0].ids == crowd[2].ids == list(range(1, 21))
        assert crowd[1].aborted
        assert why == ["slow"]
        assert SMALL.buffer_bytes - 30 < crowd[1].held <= SMALL.buffer_bytes
        assert hub.dropped == 1
        assert hub.subscribers() == 2

    play(check())
    assert "dropped" in capsys.readouterr().err


def test_a_transport_that_is_closed_and_raises_costs_the_others_nothing(make_hub, new_transport, ticks_of):
    """uvloop's transport raises between connection_lost and the handler's cancellation."""

    async def check() -> None:
        hub = make_hub()
        crowd = [new_transport() for _ in range(3)]
        connections = [await hub.attach(transport, hub.channels[0], None) for transport in crowd]
        crowd[0].closed = True
        hub.publish(ticks_of(1, 2))
        assert crowd[1].ids == crowd[2].ids == [1, 2]
        assert connections[0].finished.result() == "gone"
        assert hub.subscribers() == 2

    play(check())


def test_a_transport_that_raises_though_it_is_open_is_our_bug(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub()
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        transport.closed = True
        transport.is_closing = lambda: False
        with pytest.raises(RuntimeError):
            hub.publish(ticks_of(1))

    play(check())


def test_a_client_that_left_during_the_replay_is_not_attached(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub(limits=PATIENT)
        hub.publish(ticks_of(*range(1, 31)))
        transport = new_transport()
        transport.stalled = True
        attaching = asyncio.create_task(hub.attach(transport, hub.channels[0], 0))
        await yields()
        transport.closed = True
        connection = await attaching
        assert connection.finished.result() == "gone"
        assert hub.subscribers() == 0

    play(check())


def test_a_feed_that_was_away_too_long_is_a_gap(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(1, 2, 3))
        transport, late = new_transport(), new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(8, 9))
        await hub.attach(late, hub.channels[0], 1)
        assert transport.ids == late.ids == [8, 9]
        assert [(n["from"], n["to"]) for n in transport.notices] == [(4, 7)]
        assert [(n["from"], n["to"]) for n in late.notices] == [(2, 7)]

    play(check())


def test_a_late_feed_is_not_a_gap_for_present_subscribers(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub()
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(8, 9))
        assert transport.ids == [8, 9]
        assert not transport.notices

    play(check())


def test_another_epoch_is_a_gap_and_ids_begin_again(make_hub, new_transport, ticks_of, greeting_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(1, 2, 3))
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.hello(greeting_of("fanout", epoch="e2"))
        assert [(n["kind"], n["from"], n["to"]) for n in transport.notices] == [("gap", 1, 3)]
        hub.publish(ticks_of(1))
        assert transport.ids == [1]
        assert hub.schedule("fanout", 0, 0)["epoch"] == "e2"
        assert hub.subscribers() == 1

    play(check())


def test_the_same_epoch_again_changes_nothing(make_hub, new_transport, ticks_of, greeting_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(1))
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], 0)
        hub.hello(greeting_of("fanout"))
        assert transport.ids == [1]
        assert not transport.notices
        assert hub.channels[0].ring.last == 1

    play(check())


def test_heartbeats_go_to_all_connections_and_survive_a_closed_one(make_hub, new_transport):
    async def check() -> None:
        hub = make_hub("fanout", "stocks", limits=BEATING)
        crowd = [new_transport() for _ in range(3)]
        for transport, channel in zip(crowd, (0, 0, 1), strict=True):
            await hub.attach(transport, hub.channels[channel], None)
        crowd[0].closed = True
        beating = asyncio.create_task(hub.beat())
        async with asyncio.timeout(5):
            while min(len(crowd[1].writes), len(crowd[2].writes)) < 2:
                await asyncio.sleep(0)
        assert not beating.done()
        assert set(crowd[1].writes) == {b"heartbeat"}
        beating.cancel()

    play(check())


def test_the_end_is_sent_once_and_closes_connections(make_hub, new_transport, ticks_of, notice_of, brief):
    async def check() -> None:
        hub = make_hub(brief)
        transport = new_transport()
        connection = await hub.attach(transport, hub.channels[0], None)
        why: list[str] = []
        connection.on_finish = why.append
        hub.publish(ticks_of(1, 2, 3))
        hub.publish(notice_of("end", last=3))
        hub.publish(notice_of("end", last=3))
        assert transport.ids == [1, 2, 3]
        assert transport.notices == [{"kind": "end", "last": 3}]
        assert why == ["end"]
        assert hub.subscribers() == 0

    play(check())


@pytest.mark.parametrize(("cursor", "ids"), [(None, [1, 2, 3]), (0, [1, 2, 3]), (2, [3]), (3, [])])
def test_a_client_that_comes_after_the_end_gets_what_is_left_and_the_end(
    make_hub, new_transport, ticks_of, notice_of, brief, cursor, ids
):
    async def check() -> None:
        limits = Limits(
            ring_messages=1, ring_bytes=1, buffer_bytes=4096, heartbeat_s=15.0
        )  # a finite one is kept whole
        hub = make_hub(brief, limits=limits)
        hub.publish(ticks_of(1, 2, 3))
        hub.publish(notice_of("end", last=3))
        transport = new_transport()
        connection = await hub.attach(transport, hub.channels[0], cursor)
        assert transport.ids == ids
        assert transport.notices == [{"kind": "end", "last": 3}]
        assert connection.finished.result() == "end"

    play(check())


def test_stop_finishes_all_connections_and_wakes_waiting_polls(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub(limits=PATIENT)
        hub.publish(ticks_of(*range(1, 31)))
        live = await hub.attach(new_transport(), hub.channels[0], None)
        stalled = new_transport()
        stalled.stalled = True
        replaying = asyncio.create_task(hub.attach(stalled, hub.channels[0], 0))
        waiting = asyncio.create_task(hub.next(hub.channels[0], 60))
        await yields()
        hub.stop()
        async with asyncio.timeout(5):
            await waiting
            replayed = await replaying
            await hub.next(hub.channels[0], 60)
        late = await hub.attach(new_transport(), hub.channels[0], None)
        assert {c.finished.result() for c in (live, replayed, late)} == {"stop"}
        assert hub.subscribers() == 0

    play(check())


@pytest.mark.parametrize("what", ["message", "retry", "end", "failure", "another epoch"])
def test_waiting_polls_are_woken(make_hub, ticks_of, notice_of, greeting_of, what):
    async def check() -> None:
        hub = make_hub()
        waiting = [asyncio.create_task(hub.next(hub.channels[0], 60)) for _ in range(3)]
        await yields()
        assert not any(task.done() for task in waiting)
        if what == "another epoch":
            hub.hello(greeting_of("fanout", epoch="e2"))
        else:
            hub.publish(ticks_of(1) if what == "message" else notice_of(what))
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        assert not hub.channels[0].waiters

    play(check())


def test_waiting_ends_with_its_time_and_leaves_nothing(make_hub):
    async def check() -> None:
        hub = make_hub()
        async with asyncio.timeout(5):
            await hub.next(hub.channels[0], 0.001)
        task = asyncio.create_task(hub.next(hub.channels[0], 60))
        await yields()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not hub.channels[0].waiters

    play(check())


def test_the_plan_lists_what_is_held(make_hub, ticks_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(*range(1, 16)))
        plan = hub.schedule("fanout", 0, 12)
        assert plan["seed"] == 1
        assert [number for number, _ in plan["ticks"]] == [13, 14, 15]
        assert plan["ticks"][1][1] - plan["ticks"][0][1] == 1000

    play(check())


# What streams say of themselves


def test_notices_keep_their_place_and_are_not_messages(make_hub, new_transport, ticks_of, notice_of):
    async def check() -> None:
        hub = make_hub()
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(1, 2) + notice_of("retry", after_ms=5000, count=1) + ticks_of(3))
        assert [data[:9] for data in transport.writes] == [b"message 1", b"message 2", b'{"kind": ', b"message 3"]
        assert transport.notices == [{"kind": "retry", "after_ms": 5000, "count": 1}]
        assert hub.channels[0].ring.last == 3
        assert hub.encoder.encoded == 3

    play(check())


def test_new_subscribers_get_advice_until_the_next_message(make_hub, new_transport, ticks_of, notice_of):
    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(1) + notice_of("retry", count=1) + notice_of("retry", count=2))
        during, after = new_transport(), new_transport()
        await hub.attach(during, hub.channels[0], 0)
        assert [data[:9] for data in during.writes] == [b"message 1", b'{"kind": ']
        assert during.notices == [{"kind": "retry", "count": 2}]
        hub.publish(ticks_of(2))
        await hub.attach(after, hub.channels[0], 0)
        assert after.notices == []

    play(check())


def test_a_notice_is_not_repeated_after_a_refill(make_hub, new_transport, ticks_of, notice_of):
    async def check() -> None:
        hub = make_hub("fanout", "stocks")
        crowd = [new_transport(), new_transport()]
        for transport, channel in zip(crowd, hub.channels, strict=True):
            await hub.attach(transport, channel, None)
        said = notice_of("retry", count=1) + notice_of("end", 1, last=0)
        hub.publish(said)
        hub.publish(said)
        assert [transport.notices for transport in crowd] == [
            [{"kind": "retry", "count": 1}],
            [{"kind": "end", "last": 0}],
        ]

    play(check())


def test_a_failure_ends_the_stream_for_everyone(make_hub, new_transport, ticks_of, notice_of):
    async def check() -> None:
        hub = make_hub("resilient")
        transport = new_transport()
        connection = await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(1) + notice_of("failure", error="no more", last=1) + ticks_of(2))
        assert transport.ids == [1]
        assert transport.notices == [{"kind": "failure", "error": "no more", "last": 1}]
        assert connection.finished.result() == "failure"
        assert hub.channels[0].failure == {"error": "no more", "last": 1}

    play(check())


def test_a_stream_without_a_foreseeable_end_is_had_whole_only_once_it_is_over(
    make_hub, new_transport, ticks_of, notice_of
):
    async def check() -> None:
        hub = make_hub("resilient", limits=Limits(ring_messages=1, ring_bytes=1, buffer_bytes=4096, heartbeat_s=15.0))
        hub.publish(ticks_of(1, 2, 3))
        running, late = new_transport(), new_transport()
        await hub.attach(running, hub.channels[0], None)
        hub.publish(notice_of("failure", error="no more", last=3))
        connection = await hub.attach(late, hub.channels[0], None)
        assert running.ids == []
        assert late.ids == [1, 2, 3]
        assert late.notices == [{"kind": "failure", "error": "no more", "last": 3}]
        assert connection.finished.result() == "failure"

    play(check())


# The publisher's next run


@pytest.mark.parametrize(
    ("cursor", "ids", "gap"),
    [(0, [1, 2], None), (2, [], None), (3, [1, 2], (1, 3)), (5, [1, 2], (1, 5)), (6, [], (3, 6))],
)
def test_a_cursor_of_the_publisher_s_run_before(make_hub, new_transport, ticks_of, greeting_of, cursor, ids, gap):
    """Up to the newest id of this run it cannot be told from one of this run."""

    async def check() -> None:
        hub = make_hub()
        hub.publish(ticks_of(*range(1, 6)))
        hub.hello(greeting_of("fanout", epoch="e2"))
        hub.publish(ticks_of(1, 2))
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], cursor)
        assert transport.ids == ids
        assert [(n["from"], n["to"]) for n in transport.notices] == ([gap] if gap else [])
        hub.publish(ticks_of(3))
        assert transport.ids == [*ids, 3]

    play(check())


def test_a_run_that_sent_nothing_leaves_no_gap(make_hub, new_transport, greeting_of):
    async def check() -> None:
        hub = make_hub()
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.hello(greeting_of("fanout", epoch="e2"))
        assert transport.writes == []

    play(check())


# Bounds


@pytest.mark.parametrize("size", [1, 30, 90])
def test_no_connection_holds_more_than_the_limit(make_hub, new_transport, ticks_of, capsys, size):
    """Not even between a write and the look at what it did: several messages due together count as one."""

    async def check() -> None:
        hub = make_hub(limits=SMALL)
        transport = new_transport()
        transport.stalled = True
        connection = await hub.attach(transport, hub.channels[0], None)
        most = 0
        for seq in range(1, 400, 2):
            hub.publish(ticks_of(seq, seq + 1, size=size))
            most = max(most, transport.held)
        assert 0 < most <= SMALL.buffer_bytes
        assert transport.aborted
        assert connection.finished.result() == "slow"
        assert hub.dropped == 1

    play(check())
    assert "it would hold too much; it held" in capsys.readouterr().err


def test_a_message_larger_than_the_limit_drops_no_subscriber(make_hub, new_transport, ticks_of):
    async def check() -> None:
        hub = make_hub(limits=SMALL)
        transport = new_transport()
        await hub.attach(transport, hub.channels[0], None)
        hub.publish(ticks_of(1, size=1000))
        assert transport.ids == [1]
        assert not transport.aborted

    play(check())


# Heartbeats, and who does not acknowledge them


def test_a_stream_has_its_own_heartbeat(make_hub):
    hub = make_hub("stocks", "production")
    assert [hub.heartbeat_s(channel) for channel in hub.channels] == [LIMITS_HEARTBEAT_S, 30]


LIMITS_HEARTBEAT_S = 15.0


class FakeSocket:
    """What the kernel knows: how many bytes were acknowledged, how many are on their way."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.under_way = 0
        self.not_sent = 0
        self.over = False

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        if self.over:
            raise OSError(9, "Bad file descriptor")
        info = bytearray(size)
        struct.pack_into("=I", info, 24, self.under_way)
        struct.pack_into("=Q", info, 120, self.acknowledged)
        struct.pack_into("=I", info, 144, self.not_sent)
        return bytes(info)


class Clock:
    """The monotonic clock that the hub sees."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(hub_module, "time", found)
    return found


Look = Callable[..., None]


@pytest.fixture
def watched(make_hub, new_transport, clock: Clock) -> tuple[Any, Any, FakeSocket, Look]:
    """A hub with one connection, its transport and socket, and `look(beaten)`: half a heartbeat later it looks."""

    async def build() -> tuple[Any, Any]:
        hub = make_hub()
        transport = new_transport()
        transport.socket = FakeSocket()
        await hub.attach(transport, hub.channels[0], None)
        return hub, transport

    hub, transport = asyncio.run(build())

    def look(beaten: bool) -> None:
        clock.now_s += LIMITS_HEARTBEAT_S / 2
        hub._look(list(hub.channels[0].connections), beaten)
        if beaten and not transport.aborted:
            transport.socket.under_way = 1

    return hub, transport, transport.socket, look


def test_a_client_that_acknowledges_heartbeats_stays(watched):
    hub, transport, link, look = watched
    for beat in range(20):
        look(True)
        link.acknowledged, link.under_way = beat + 1, 0
        look(False)
    assert not transport.aborted
    assert hub.subscribers() == 1


@pytest.mark.parametrize("quiet", [0, 1, 5])
def test_a_client_that_vanished_is_dropped_within_two_heartbeats(watched, clock: Clock, capsys, quiet: int):
    hub, transport, link, look = watched
    for beat in range(quiet):
        look(True)
        link.acknowledged, link.under_way = beat + 1, 0
        look(False)
    vanished_s = clock.now_s
    turn = True
    while not transport.aborted:
        look(turn)
        turn = not turn
    assert clock.now_s - vanished_s <= 2 * LIMITS_HEARTBEAT_S
    assert hub.dropped == 1
    assert hub.subscribers() == 0
    assert "dropped a slow consumer of fanout: it acknowledged nothing for 7.5 s" in capsys.readouterr().err


def test_a_client_that_stopped_reading_is_dropped_though_its_kernel_answers(watched):
    _, transport, link, look = watched
    look(True)
    link.acknowledged, link.not_sent = 7, 100  # its window closed: nothing is unacknowledged, and nothing moves
    link.under_way = 0
    look(False)
    assert not transport.aborted
    look(True)
    assert transport.aborted


def test_what_waits_in_this_process_is_not_held_against_its_peer(watched):
    """The server itself was late: a queue before the socket says nothing about who reads from it."""
    _, transport, link, look = watched
    transport.held = 100
    for turn in range(6):
        look(turn % 2 == 0)
        link.under_way = 0
    assert not transport.aborted


def test_what_was_sent_just_now_proves_nothing(watched):
    """Between two looks everything was acknowledged; at each of them something new is on its way."""
    _, transport, link, look = watched
    look(True)
    link.acknowledged, link.under_way = 7, 0
    look(False)
    for _ in range(3):
        link.under_way = 1  # a message, sent a moment before the look
        look(False)
        link.under_way = 0
        look(False)
    assert not transport.aborted


def test_a_client_that_acknowledges_slowly_stays(watched):
    _, transport, link, look = watched
    for turn in range(20):
        look(turn % 2 == 0)
        link.acknowledged += 1
        link.under_way = 1000
    assert not transport.aborted


def test_a_silence_shorter_than_tcp_s_own_patience_is_none(watched, clock: Clock):
    hub, transport, link, _ = watched
    for _ in range(3):
        hub._look(list(hub.channels[0].connections), True)
        link.under_way = 1
        clock.now_s += 0.1
    assert not transport.aborted


def test_a_socket_that_is_over_tells_nothing(watched):
    _, transport, link, look = watched
    look(True)
    link.over = True
    for _ in range(4):
        look(False)
    assert not transport.aborted


# What subscribers say


def test_a_sent_message_comes_back_as_a_message(make_hub, new_transport, greeting_of, ticks_of):
    async def check() -> None:
        hub = make_hub("chat", "fanout")
        sent: list[bytes] = []
        hub.fed_by(sent.append)
        assert "takes no messages" in hub.uplink(hub.channels[0], b"{}").reason
        hub.hello(greeting_of("chat", "fanout", epoch="with senders", conversation=True))
        chat, fanout = hub.channels
        assert hub.takes(chat)
        assert not hub.takes(fanout)
        assert hub.uplink(chat, b'{"a":1}') is None
        assert [feed.unpack_uplink(body) for kind, body in feed.Reader().feed(sent[0])] == [(0, b'{"a":1}')]
        assert "one line of JSON" in hub.uplink(chat, b"no JSON").reason
        assert "one line of JSON" in hub.uplink(chat, b'{"a":\n1}').reason
        assert "one line of JSON" in hub.uplink(chat, b"").reason
        assert "takes no messages" in hub.uplink(fanout, b"{}").reason
        hub.fed_by(None)
        assert hub.uplink(chat, b"{}") == (503, "the publisher is away; try again")
        assert len(sent) == 1

    play(check())


def test_a_websocket_gets_refusals_and_is_ignored_on_other_streams(make_hub, new_transport, greeting_of):
    async def check() -> None:
        hub = make_hub("chat", "fanout")
        hub.hello(greeting_of("chat", "fanout", epoch="with senders", conversation=True))
        sent: list[bytes] = []
        hub.fed_by(sent.append)
        chat, fanout = new_transport(), new_transport()
        talking = await hub.attach(chat, hub.channels[0], None)
        listening = await hub.attach(fanout, hub.channels[1], None)
        hub.receive(listening.channel, fanout, "whatever")
        hub.receive(talking.channel, chat, '{"a":1}')
        hub.receive(talking.channel, chat, "no JSON")
        hub.receive(talking.channel, chat, b"{}")
        assert len(sent) == 1
        assert fanout.writes == []
        assert [said["kind"] for said in chat.notices] == ["refused", "refused"]

    play(check())
