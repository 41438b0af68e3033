"""The hub: channels, their replay rings and their subscribers, inside one server process. All of our subjects share it.

Invariant: every tick is encoded once, kept in the ring, and written to each of its channel's connections in one write.
Everything happens on one event loop, and a connection that catches up reads from the ring, so no message is lost
between replay and live. The slow-consumer policy: a connection that would hold more than the declared number of bytes,
or that acknowledges nothing for half a heartbeat, is dropped, logged and counted.
Fed by the publisher (`ingest`); subjects call `attach`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from rtbench.machine import clock
from rtbench.messages.feed import Hello
from rtbench.messages.server import Limits
from rtbench.servers.kit import feed, liveness
from rtbench.servers.kit.channel import Channel, ClientTransport, Connection, Encoder, Gap, Refused
from rtbench.servers.kit.ring import Budget, Held, Ring
from rtbench.streams import catalogue
from rtbench.transports.envelope import is_json
from rtbench.workload import Workload

__all__ = ["Hub"]

_TURNS = 50
"""A round of heartbeats is divided into so many turns."""

LEAST_PATIENCE_S = 0.4
"""A shorter silence never drops a connection, however short heartbeats are: TCP retransmits after 0.2 s."""

BEGAN_AGAIN = "the publisher began again"


class Hub:
    """All channels of one server process."""

    def __init__(self, encoder: Encoder, limits: Limits) -> None:
        self.encoder = encoder
        self.limits = limits
        self.channels: list[Channel] = []
        self.streams: dict[str, dict[int, Channel]] = {}
        self.plan: dict[str, Any] = {}
        self.dropped = 0
        self.stopping = False
        self.live = asyncio.Event()
        periods = {limits.heartbeat_s, *(s.heartbeat_s for s in catalogue().values() if s.heartbeat_s is not None)}
        self._rounds: dict[float, list[dict[Connection, None]]] = {
            period_s: [{} for _ in range(_TURNS)] for period_s in periods
        }
        self._order = count()
        self._upstream: Callable[[bytes], None] | None = None
        self._workload: Workload | None = None

    # The feed

    def hello(self, greeting: Hello) -> None:
        """The publisher (re)connected. A new epoch is a new run of it: ids begin again, and subscribers get a gap."""
        workload = greeting.workload.restore()
        known = {
            "seed": workload.seed,
            "epoch": greeting.epoch,
            "boot_id": greeting.boot_id,
        }
        if known == self.plan:
            return
        self._workload = workload
        before, self.plan = self.channels, known
        budget = Budget(self.limits.ring_bytes)
        self.channels, self.streams = [], {}
        for address in workload.channels():
            stream = workload.stream_of(address.number)
            channel = Channel(address, stream, Ring(budget, self.limits.ring_messages, workload.finite(address.stream)))
            self.channels.append(channel)
            self.streams.setdefault(address.stream, {})[address.index] = channel
        for old, new in zip(before, self.channels, strict=False):
            new.connections, new.waiters, new.void = old.connections, old.waiters, max(old.ring.last, old.void)
            for connection in new.connections:
                connection.channel = new
            if new.void:
                notice = self.encoder.control("gap", Gap(1, new.void, BEGAN_AGAIN).fields())
                self._write(new.connections, notice)
            new.wake()

    def fed_by(self, upstream: Callable[[bytes], None] | None) -> None:
        """Set how to send to the publisher; None while it is away."""
        self._upstream = upstream

    def takes(self, channel: Channel) -> bool:
        """Whether this channel takes messages from subscribers."""
        return self._workload is not None and self._workload.takes(channel.address.number)

    def uplink(self, channel: Channel, payload: bytes) -> Refused | None:
        """Send a subscriber's message to the publisher, which plays it to everyone. Returns the refusal, or None."""
        if not self.takes(channel):
            return Refused(403, f"{channel.address.stream} takes no messages; chat does with --set chat.senders=1")
        if not is_json(payload) or any(byte in payload for byte in b"\r\n\0"):
            return Refused(400, "a message is one line of JSON")
        if self._upstream is None:
            return Refused(503, "the publisher is away; try again")
        self._upstream(feed.pack_uplink(channel.address.number, payload))
        return None

    def receive(self, channel: Channel, transport: ClientTransport, text: str | bytes) -> None:
        """Take a WebSocket's message. A refused one gets a `refused` notice; a channel without uplink ignores it."""
        if not self.takes(channel):
            return
        refused = self.uplink(channel, text.encode()) if isinstance(text, str) else Refused(400, "a message is a text")
        # A client that says much and reads nothing gets no more notices than half of its buffer holds.
        room = transport.get_write_buffer_size() <= self.limits.buffer_bytes // 2
        if refused is not None and room and not transport.is_closing():
            transport.write(self.encoder.control("refused", {"reason": refused.reason}))

    def publish(self, body: bytes) -> None:
        """The ticks and notices of one feed frame: encode once, keep, write to all."""
        encode, channels = self.encoder.message, self.channels
        current: Channel | None = None
        run: list[bytes] = []  # messages for one channel that came together
        for number, seq, due_ns, payload in feed.unpack(body):
            channel = channels[number]
            if channel is not current:
                if current is not None and run:
                    self._send(current, run)
                    run = []
                current = channel
            last = channel.ring.last
            if seq <= last:
                if not seq:
                    if run:
                        self._send(channel, run)
                        run = []
                    self._say(channel, json.loads(payload))
                continue  # a message that the ring has: the refill repeats it
            if last and seq > last + 1:
                if run:
                    self._send(channel, run)
                    run = []
                self._miss(channel, Gap(last + 1, seq - 1, "no longer held"))
            data = encode(seq, payload)
            channel.ring.append(seq, due_ns, data)
            run.append(data)
        if current is not None and run:
            self._send(current, run)

    def _send(self, channel: Channel, run: list[bytes]) -> None:
        """Write these messages, one write each, to every connection with room for them; drop the others.

        An empty buffer takes any message, even one larger than the limit.
        """
        channel.advice = None
        room = max(0, self.limits.buffer_bytes - sum(map(len, run)))
        slow = [c for c in channel.connections if c.transport.get_write_buffer_size() > room]
        for connection in slow:
            self.drop(connection, "it would hold too much")
        for data in run:
            self._write(channel.connections, data)
        if channel.waiters:
            channel.wake()

    def _say(self, channel: Channel, notice: dict[str, Any]) -> None:
        """Pass on a channel's notice; a repetition after a refill changes nothing."""
        kind = notice.pop("control")
        if channel.ended or (kind == "retry" and notice == channel.advice):
            return
        over = kind != "retry"
        if over:
            channel.final = kind, notice
        channel.advice = None if over else notice
        self._write(channel.connections, self.encoder.control(kind, notice))
        if over:
            for connection in list(channel.connections):
                self.detach(connection)
                connection.finish(kind)
        channel.wake()

    def _miss(self, channel: Channel, gap: Gap) -> None:
        """Announce a gap: the feed was away for longer than the publisher's ring holds."""
        channel.ring.clear()
        self._write(channel.connections, self.encoder.control("gap", gap.fields()))

    def _write(self, connections: Iterable[Connection], data: bytes) -> None:
        """Write to each of these connections.

        When a client leaves, uvloop's transport is closed before its handler runs, and raises RuntimeError: that
        connection is removed, and the others still get the bytes.
        """
        gone: list[Connection] = []
        for connection in connections:
            try:
                connection.transport.write(data)
            except RuntimeError:
                if not connection.transport.is_closing():
                    raise
                gone.append(connection)
        for connection in gone:
            self.detach(connection)
            connection.finish("gone")

    # Subscribers

    def find(self, stream: str, index: int) -> Channel | None:
        """The channel that a request names."""
        return self.streams.get(stream, {}).get(index)

    def start(self, channel: Channel, cursor: int | None) -> tuple[int, Gap | None]:
        """Where a subscriber with this cursor begins, and the gap before that, if any."""
        ring = channel.ring
        if cursor is None:
            whole = ring.finite and (channel.stream.from_start or channel.ended)
            return (0 if whole else ring.last), None
        if ring.last < cursor <= channel.void:
            # The cursor is from the publisher's previous run: every message of this run is new to the client.
            return ring.first - 1, Gap(1, max(cursor, ring.first - 1), BEGAN_AGAIN)
        if cursor > ring.last:
            return ring.last, Gap(ring.last + 1, cursor, "this cursor is from the future")
        if cursor + 1 < ring.first:
            return ring.first - 1, Gap(cursor + 1, ring.first - 1, "no longer held")
        return cursor, None

    async def attach(self, transport: ClientTransport, channel: Channel, cursor: int | None) -> Connection:
        """Replay from `cursor`, then live. Returns when the connection is live or finished."""
        connection = Connection(transport, channel)
        at, gap = self.start(channel, cursor)
        self._tell(transport, gap)
        half = self.limits.buffer_bytes // 2
        deadline = time.monotonic() + 2 * self.limits.heartbeat_s
        while (held := channel.ring.after(at)) and not (self.stopping or transport.is_closing()):
            # The replay takes half of the buffer; the other half is for messages published meanwhile.
            room = half - transport.get_write_buffer_size()
            if room <= 0:
                # The client did not read its replay within two heartbeats: the slow-consumer policy.
                if time.monotonic() > deadline:
                    self.drop(connection, "it did not take its replay")
                    return connection
                await asyncio.sleep(0.01)
                at, gap = self.start(channel, at)  # the ring may have dropped more meanwhile
                self._tell(transport, gap)
                continue
            for item in _batch(held, room):
                transport.write(item.data)
                at = item.seq
            deadline = time.monotonic() + 2 * self.limits.heartbeat_s
        # No await from here on: no message can be published in between.
        if transport.is_closing():
            connection.finish("gone")
        elif self.stopping:
            connection.finish("stop")
        elif channel.final is not None:
            kind, fields = channel.final
            transport.write(self.encoder.control(kind, fields))
            connection.finish(kind)
        else:
            if channel.advice is not None:
                transport.write(self.encoder.control("retry", channel.advice))
            channel.connections[connection] = None
            turns = self._rounds[self.heartbeat_s(channel)]
            connection.turn = turns[next(self._order) % len(turns)]
            connection.turn[connection] = None
        return connection

    def _tell(self, transport: ClientTransport, gap: Gap | None) -> None:
        if gap is not None and not transport.is_closing():
            transport.write(self.encoder.control("gap", gap.fields()))

    def detach(self, connection: Connection) -> None:
        """Remove a connection: it gets no more messages."""
        connection.channel.connections.pop(connection, None)
        connection.turn.pop(connection, None)

    def drop(self, connection: Connection, why: str) -> None:
        """Abort a slow consumer's connection, and log its channel, the reason and the count so far."""
        self.dropped += 1
        held, of = connection.transport.get_write_buffer_size(), connection.channel.address.query
        sys.stderr.write(f"dropped a slow consumer of {of}: {why}; it held {held} bytes (number {self.dropped})\n")
        self.detach(connection)
        connection.transport.abort()
        connection.finish("slow")

    def held(self, channel: Channel, after: int) -> tuple[list[Held], int]:
        """The messages that answer a poll with the cursor `after`, and their last id (`after` when there are none)."""
        found = channel.ring.after(after)
        return found, found[-1].seq if found else after

    async def next(self, channel: Channel, timeout_s: float) -> None:
        """Wait until the channel has something new, ends, or `timeout_s` has passed."""
        if channel.ended or self.stopping:
            return
        waiter = asyncio.get_running_loop().create_future()
        channel.waiters.add(waiter)
        handle = asyncio.get_running_loop().call_later(timeout_s, _resolve, waiter)
        try:
            await waiter
        finally:
            handle.cancel()
            channel.waiters.discard(waiter)

    def heartbeat_s(self, channel: Channel) -> float:
        """The heartbeat period of this channel's connections, in seconds."""
        return self.limits.heartbeat_s if channel.stream.heartbeat_s is None else channel.stream.heartbeat_s

    async def beat(self) -> None:
        """Write a heartbeat to every connection in its turn, and check halfway to the next whether it acknowledged."""
        await asyncio.gather(*(self._beat(period_s, turns) for period_s, turns in self._rounds.items()))

    async def _beat(self, period_s: float, turns: list[dict[Connection, None]]) -> None:
        """One turn at a time: heartbeats to 10,000 connections at once delay messages by a third of a second (seen)."""
        while True:
            for index, turn in enumerate(turns):
                await asyncio.sleep(period_s / len(turns))
                self._look(turn, beaten=True)
                self._write(turn, self.encoder.heartbeat)
                self._look(turns[index - len(turns) // 2], beaten=False)

    def _look(self, turn: Iterable[Connection], beaten: bool) -> None:
        """Drop connections that acknowledged nothing since the last look although bytes were outstanding throughout.

        A peer that vanished without FIN and one that stopped reading look alike. `beaten`: a heartbeat follows, which
        is then outstanding. Bytes still in this process do not count: their delay may be its own.
        """
        now_s = time.monotonic()
        silent: list[tuple[Connection, float]] = []
        for connection in turn:
            seen = liveness.progress(connection.socket) if connection.socket is not None else None
            if seen is None:
                continue
            mark = connection.mark
            if mark is None or not seen.outstanding or seen.acknowledged_bytes != mark[0]:
                mark = seen.acknowledged_bytes, now_s
            elif now_s - mark[1] >= LEAST_PATIENCE_S:
                silent.append((connection, now_s - mark[1]))
            connection.mark = mark if seen.outstanding or beaten else None
        for connection, silent_s in silent:
            self.drop(connection, f"it acknowledged nothing for {silent_s:.1f} s")

    def stop(self) -> None:
        """Shut down: connections get the transport's farewell, waiting polls get an answer."""
        self.stopping = True
        for channel in self.channels:
            for connection in list(channel.connections):
                self.detach(connection)
                connection.finish("stop")
            channel.wake()

    def subscribers(self) -> int:
        """How many connections are live."""
        return sum(len(channel.connections) for channel in self.channels)

    def schedule(self, stream: str, index: int, since: int) -> dict[str, Any]:
        """The answer to GET /plan/STREAM: the due time of each held message, in Unix time."""
        channel = self.streams[stream][index]
        offset_ns = clock.offset_ns()
        ticks = [[held.seq, held.due_ns + offset_ns] for held in channel.ring.after(since)]
        return {**self.plan, "ticks": ticks}


def _batch(held: list[Held], limit_bytes: int) -> list[Held]:
    size = 0
    for taken, item in enumerate(held):
        size += len(item.data)
        if size > limit_bytes and taken:
            return held[:taken]
    return held


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
