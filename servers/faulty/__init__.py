"""Fault-injecting subjects: known truths that the harness must report (R16). Never in a default campaign.

Each is one of the aiohttp subjects with a hub that delays, drops, duplicates, reorders or corrupts messages, stalls,
works for a known time with each message (its capacity is then known, R19), forgets what a client missed, or keeps its
connections.
The scenario's [faults] inject names the messages and the subscribers (by `?subscriber=N`). Invariant: without an
injection it behaves like the original subject. Used by `rtbench calibrate` and the tests.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import os
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from rtbench.messages.server import Limits
from rtbench.scenario.tables import Injection
from rtbench.servers.kit import feed
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Channel, ClientTransport, Connection, Encoder
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.ring import Held
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find
from rtbench.workload import NOTICE

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")

_SUBSCRIBER: ContextVar[int] = ContextVar("subscriber", default=-1)
_KEPT_BYTES = 64 * 1024
_CLOCK_MONOTONIC, _TFD_NONBLOCK, _TFD_TIMER_ABSTIME = 1, 0o4000, 1


def subject(of: Subject) -> Subject:
    """The fault-injecting subject made of one of ours."""

    async def serve(server: Server) -> None:
        faults = Faults(server.options.inject)
        server.hub_type = faults.hub
        web.middleware(Faults.middleware)  # marks the function as aiohttp's middleware
        server.middlewares = (faults.middleware,)
        assert of.serve is not None
        await of.serve(server)

    name = f"{of.transport}-faulty"
    path = find(of.transport).prefix + "/{stream}?channel={channel}&subscriber={subscriber}"
    words = f"{of.name} with the faults of [faults] inject"
    return replace(of, name=name, technique="faulty", serve=serve, path=path, description=words)


class FineClock:
    """Calls at an instant of CLOCK_MONOTONIC to some 50 µs: a timerfd, since asyncio's timers count milliseconds."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._due: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        asyncio.get_running_loop().add_reader(self._descriptor, self._run)

    def at(self, due_ns: int, call: Callable[..., object], *arguments: Any) -> None:
        """Call at `due_ns`; calls of one instant keep their order."""
        heapq.heappush(self._due, (due_ns, next(self._order), call, arguments))
        if self._due[0][0] == due_ns:
            self._set(due_ns)

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        done = asyncio.Event()
        self.at(time.monotonic_ns() + int(seconds * 1e9), done.set)
        await done.wait()

    def _set(self, due_ns: int) -> None:
        when = struct.pack("qqqq", 0, 0, *divmod(max(1, due_ns), 1_000_000_000))
        self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, when, None)

    def _run(self) -> None:
        os.read(self._descriptor, 8)
        while self._due and self._due[0][0] <= time.monotonic_ns():
            _, _, call, arguments = heapq.heappop(self._due)
            call(*arguments)
        if self._due:
            self._set(self._due[0][0])


class Faults:
    """The injections of one server process."""

    def __init__(self, injections: Sequence[Injection]) -> None:
        self.injections = tuple(injections)
        self.clock = FineClock()

    def hub(self, encoder: Encoder, limits: Limits) -> Hub:
        """Make a faulty hub; `Server.hub_type`."""
        return FaultyHub(Tagging(encoder), limits, self)

    def delay_s(self, subscriber: int) -> float:
        """The delay of everything that this subscriber gets, in seconds."""
        return sum(i.delay_s for i in self.injections if i.do == "delay" and i.hits(subscriber, i.of))

    def work_s(self, subscriber: int, seq: int) -> float:
        """How long the core is busy with this message at this subscriber, in seconds."""
        return sum(i.delay_s for i in self.injections if i.do == "work" and i.hits(subscriber, seq))

    def has(self, do: str, subscriber: int) -> bool:
        """Whether this subscriber's connections have the fault `do`."""
        return any(i.do == do and i.hits(subscriber, i.of) for i in self.injections)

    def doing(self, subscriber: int, seq: int) -> set[str]:
        """The faults of this message at this subscriber."""
        return {i.do for i in self.injections if i.hits(subscriber, seq)}

    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Read the request's subscriber number, and delay the answers to its polls."""
        text = request.query.get("subscriber", "")
        subscriber = int(text) if text.isdigit() else -1
        _SUBSCRIBER.set(subscriber)
        response = await handler(request)
        if isinstance(response, web.Response) and (delay_s := self.delay_s(subscriber)):
            await self.clock.sleep(delay_s)
        return response


class Tagged(bytes):
    """A message's bytes with its id."""

    seq: int


class Tagging:
    """An encoder whose messages carry their ids."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.heartbeat = encoder.heartbeat
        self.control = encoder.control

    def message(self, seq: int, payload: bytes) -> bytes:
        """The bytes of one message."""
        data = Tagged(self._encoder.message(seq, payload))
        data.seq = seq
        return data


class FaultyHub(Hub):
    """A hub whose connections, and whose answers to polls, have faults."""

    def __init__(self, encoder: Encoder, limits: Limits, faults: Faults) -> None:
        super().__init__(encoder, limits)
        self._faults = faults
        self._never_let_go: list[tuple[int, bytearray]] = []

    def publish(self, body: bytes) -> None:
        """Stall before the injected ticks, like a server that is busy with something else."""
        seqs = {seq for _, seq, _, _ in feed.unpack(body) if seq != NOTICE}
        for injection in self._faults.injections:
            if injection.do == "stall" and any(injection.hits(-1, seq) for seq in seqs):
                time.sleep(injection.delay_s)
        super().publish(body)

    async def attach(self, transport: ClientTransport, channel: Channel, cursor: int | None) -> Connection:
        """Replay and live through a faulty transport."""
        subscriber = _SUBSCRIBER.get()
        if self._faults.has("keep", subscriber):
            self._never_let_go.append((os.dup(transport.get_extra_info("socket").fileno()), bytearray(_KEPT_BYTES)))
        cursor = None if self._faults.has("forget", subscriber) else cursor
        return await super().attach(FaultyTransport(transport, subscriber, self._faults), channel, cursor)

    def held(self, channel: Channel, after: int) -> tuple[list[Held], int]:
        """The answer to a poll, with its faults."""
        found, last = super().held(channel, after)
        subscriber = _SUBSCRIBER.get()
        messages: list[Held] = []
        kept: list[Held] = []
        for item in found:
            doing = self._faults.doing(subscriber, item.seq)
            if "reorder" in doing:
                kept.append(item)
            else:
                messages += [*_altered(item, doing), *kept]
                kept = []
        return messages, max((item.seq for item in messages), default=after) if kept else last


def _altered(item: Held, doing: set[str]) -> list[Held]:
    if "drop" in doing:
        return []
    if "corrupt" in doing:
        item = item._replace(data=corrupted(item.data))
    return [item, item] if "duplicate" in doing else [item]


class FaultyTransport:
    """Stands between the hub and one connection's transport."""

    def __init__(self, transport: ClientTransport, subscriber: int, faults: Faults) -> None:
        self._transport = transport
        self._subscriber = subscriber
        self._faults = faults
        self._delay_ns = int(faults.delay_s(subscriber) * 1e9)
        self._kept: list[bytes] = []
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.get_extra_info = transport.get_extra_info
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        """Write, with a message's faults."""
        if not isinstance(data, Tagged):
            self._send(data)
            return
        doing, until = self._faults.doing(self._subscriber, data.seq), 0.0
        if "work" in doing:
            until = time.perf_counter() + self._faults.work_s(self._subscriber, data.seq)
        self._give(data, doing)
        while time.perf_counter() < until:  # the write is part of the work
            pass

    def _give(self, data: Tagged, doing: set[str]) -> None:
        if "reorder" in doing:
            self._kept.append(data)
            return
        for item in _altered(Held(data.seq, 0, data), doing):
            self._send(item.data)
        kept, self._kept = self._kept, []
        for late in kept:
            self._send(late)

    def _send(self, data: bytes) -> None:
        if self._delay_ns:
            self._faults.clock.at(time.monotonic_ns() + self._delay_ns, self._late, data)
        else:
            self._transport.write(data)

    def _late(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def corrupted(data: bytes) -> bytes:
    """`data` with its last letter or digit, which is the payload's, changed."""
    at = max(index for index, byte in enumerate(data) if bytes((byte,)).isalnum())
    other = b"1" if data[at : at + 1] == b"0" else b"0"
    return data[:at] + other + data[at + 1 :]
