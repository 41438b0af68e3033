"""rtbench's part of one Locust process: settings, the reactor, the recorder, and the subscribers' numbers.

Invariant: a process has one reactor and one recorder. In a trial (RTBENCH_TRIAL names its settings) it has one `Load`,
which the campaign steers through `trial.py`. In a Locust test of one's own each user class has a `Load` of its own
beside the first one; Locust steers them, and `locust_stats.py` feeds Locust once a second.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from gevent.event import Event

from rtbench.loadtests.reactor.compiled import CompiledReactor
from rtbench.loadtests.reactor.http2 import Pool
from rtbench.loadtests.reactor.links import Link, PushLink, SealedLink
from rtbench.loadtests.reactor.reactor import Reactor
from rtbench.loadtests.reactor.tcp_info import silent_s
from rtbench.loadtests.recorder import Recorder
from rtbench.loadtests.sender import Sender, sends
from rtbench.loadtests.subscriber import Endpoint, Subscriber
from rtbench.messages.load import LoadSettings, TlsCounts
from rtbench.records.tables import SUCCEEDED
from rtbench.streams import Pace, find
from rtbench.workload import Channel, Workload

APART = 1_000_000
"""So far apart are the numbers of the subscribers, and of the channels, of loads that share a process."""

_TURNS = 50
"""A look at all connections is divided into so many turns."""

_UNKNOWN_HEARTBEAT_S = 10.0
"""How often sealed connections are opened where the heartbeat is not known."""

_PIECE_READS = 128
"""Reads decoded at once while others may come: about a millisecond of work."""

_NEARLY_FULL = 3 / 4
"""From this share of the capture buffer on, a trial counts as a long one: see `Load.relieve`. Late: what is in the
buffer has to be decoded before it is full, while more comes."""

_CALM_READS, _PAUSE_NS = 32, 1_000_000
"""In a long trial, reads decoded at once, and the time for reading after that."""


def reactor_of(settings: LoadSettings) -> Reactor:
    """A process's reactor."""
    return (
        CompiledReactor(settings.capture_bytes, Path(settings.library))
        if settings.library
        else Reactor(settings.capture_bytes)
    )


class Load:
    """The subscribers of one kind: their settings, their server and their numbers.

    `beside`: the load that was made before it in this process. They share the reactor and the recorder.
    """

    def __init__(self, settings: LoadSettings, beside: Load | None = None) -> None:
        self.settings = settings
        self.origin: int = 0 if beside is None else beside.origin + APART
        """The lowest number of its subscribers and channels."""
        self.reactor: Reactor = reactor_of(settings) if beside is None else beside.reactor
        self.pool = Pool(self.reactor, settings.streams_per_connection) if settings.streams_per_connection else None
        """The connections of HTTP/2; None: each subscriber has a connection of HTTP/1.1."""
        self.recorder: Recorder = Recorder(self.reactor) if beside is None else beside.recorder
        self.due_path = settings.due.split(".") if settings.due else []
        self.base_ns = time.monotonic_ns()
        self.subscribed_count = 0
        self.failed: dict[str, int] = {}
        self.given_up = 0
        """Subscribers that do not reconnect."""
        self.target: Endpoint | None = None
        self.transport = self.name = ""
        """What its subscribers speak, and its name in Locust's statistics."""
        self.ramp_ns = 0
        self.ramp_hz = 0.0
        self.ramp_from = 0
        self.on_connection: list[Link] = []
        self.senders: list[Sender] = []
        self._caught_up: Event | None = None
        self._long = False
        # From `origin` on subscribers are numbered first, first + step, …: contiguous over `step` workers.
        self.first, self.step = 0, 1
        self._given = 0
        self._returned: list[int] = []
        self._workload = Workload(
            settings.streams, subscribers=1, pace=Pace("unicast" if settings.unicast else "broadcast")
        )

    def subscriber(self, transport: str) -> Subscriber:
        """The next subscriber."""
        if self._returned:
            local = heapq.heappop(self._returned)
        else:
            local, self._given = self._given, self._given + 1
        index = self.origin + self.first + local * self.step
        subscriber = self._made(index, transport)
        channel = subscriber.channel
        if sends(self.settings.chat, index) and find(channel.stream).uplink:
            self.senders.append(Sender(subscriber, self.settings.chat))
        return subscriber

    def visitor(self, index: int) -> Subscriber:
        """The visitor (`[churn]`) with this number, which is beyond those of all subscribers."""
        return self._made(index, self.transport)

    def _made(self, index: int, transport: str) -> Subscriber:
        channel = self.channel(self.origin + self._workload.channel_of(index - self.origin))
        return Subscriber(self, index, transport, channel, find(channel.stream).json_payload)

    def channel(self, number: int) -> Channel:
        """The channel of that number."""
        return replace(self._workload.channel(number - self.origin), number=number)

    def release(self, subscriber: Subscriber) -> None:
        """Free the subscriber's number."""
        heapq.heappush(self._returned, self.number(subscriber))

    def number(self, subscriber: Subscriber) -> int:
        """The subscriber's number within this process, from 0."""
        return (subscriber.index - self.origin - self.first) // self.step

    def connect_at(self, subscriber: Subscriber) -> int:
        """When the subscriber connects for the first time, by its place on the ramp; 0 (now) for later connections."""
        if not self.ramp_hz or subscriber.connections:
            return 0
        return self.ramp_ns + int((self.number(subscriber) - self.ramp_from) / self.ramp_hz * 1e9)

    def watch(self) -> None:
        """Start closing push connections that are silent for two heartbeats; each turn looks at a share of them.

        Also have sealed WebSockets and connections of HTTP/2 opened once a heartbeat, for a ping that came in one
        record with other frames.
        """
        if self.settings.heartbeat_s or (self.target is not None and self.target.tls is not None):
            self._watch_turn(0)

    def _watch_turn(self, turn: int) -> None:
        heartbeat_s = self.settings.heartbeat_s
        for link in self.reactor.links[turn::_TURNS]:
            if link.sealed and isinstance(link, SealedLink) and link.closed_ns < 0:
                self.reactor.open_soon(link)
            live = isinstance(link, PushLink) and link.accepted and link.closed_ns < 0
            if live and heartbeat_s and silent_s(link.socket) > 2 * heartbeat_s:
                link.over("silent for two heartbeats")
        due_ns = time.monotonic_ns() + int((heartbeat_s or _UNKNOWN_HEARTBEAT_S) / _TURNS * 1e9)
        self.reactor.at(due_ns, self._watch_turn, (turn + 1) % _TURNS)

    # Called by the subscribers

    def subscribed(self, link: Link) -> None:
        """The server accepted a subscription."""
        link.accepted = True
        self.subscribed_count += 1
        self.on_connection.append(link)

    def ended(self, link: Link) -> None:
        """A connection is over."""
        if link.accepted:
            self.subscribed_count -= 1
        else:
            self.on_connection.append(link)
        if link.outcome not in SUCCEEDED:
            self.failed[link.outcome] = self.failed.get(link.outcome, 0) + 1

    def secured(self) -> TlsCounts:
        """What TLS negotiated on all connections so far, and its plaintext in the window."""
        seen: Counter[str] = Counter()
        resumed = 0
        for link in self.reactor.links:
            if link.secured_ns >= 0 and link.shared is None:
                seen[f"{link.socket.version} {link.socket.cipher}"] += 1
                resumed += link.socket.resumed
        return TlsCounts(dict(seen), resumed, self.recorder.opened_bytes)

    def catch_up(self) -> None:
        """Wait until every read is decoded, piece by piece, so that reading goes on in between."""
        self._catch_up().wait()

    def relieve(self) -> None:
        """Keep the memory of a long trial flat: call it once a second.

        In a trial that reads more than the capture buffer holds, or that has filled most of it, what was read is
        decoded every second, in pieces between the reads, and rows go to a file. Others decode nothing before the end.
        """
        capture = self.reactor.capture
        self._long = self._long or self.settings.long or capture.at > _NEARLY_FULL * capture.limit
        if self._long:
            self._catch_up()

    def _catch_up(self) -> Event:
        if self._caught_up is None:
            self._caught_up = Event()
            self.reactor.at(0, self._decode_piece)
        return self._caught_up

    def _decode_piece(self) -> None:
        capture, caught_up = self.reactor.capture, self._caught_up
        behind = capture.at > capture.limit // 2
        done = self.recorder.decode(_CALM_READS if self._long and not behind else _PIECE_READS)
        if self._long and self.settings.spill:
            self.recorder.spill(Path(self.settings.spill))
        if done:
            assert caught_up is not None
            caught_up.set()
            self._caught_up = None
        else:
            self.reactor.at(time.monotonic_ns() + (_PAUSE_NS if self._long else 0), self._decode_piece)
