"""The publisher: a process that plays the workload on its absolute timetable into any connected server.

Invariant: `due = start + offset` (R1); a tick's `sent` is stamped when the publisher is ready to send it, and sending
never blocks, so that a server that stopped reading is not blamed on the publisher (R2). It owns the ring that refills a
server that (re)connects, and each channel's current notice. Run by the campaign and by `rtbench serve`
(`python -m rtbench.servers.publisher`). It takes the commands of `rtbench.messages.publisher` on standard input and
ends when that closes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, SelectSelector
from typing import Any

from rtbench.messages.feed import Hello, PlayedWorkload
from rtbench.messages.lines import Lines, say, text
from rtbench.messages.publisher import COMMAND, Command, Count, Pause, Play, PostCounts, PostTo, Resume, Started, Stop
from rtbench.servers.kit import feed
from rtbench.servers.kit.ring import Budget, Ring
from rtbench.servers.publisher.post import AGAIN_S, Poster
from rtbench.servers.publisher.timetable import Timetable
from rtbench.workload import Workload

_GAP_NS = 500_000
"""The shortest time between batches (2,000 a second): channels share a wake-up, on average half of this late."""
_MOST_UPLINK_BYTES = 2**20
"""The longest frame from a server. A subscriber's message has 65,536 bytes at most."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Server:
    """One connected server: its socket and its unsent bytes."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
        self.socket = connection
        self.waiting: deque[memoryview] = deque()
        self.reader = feed.Reader(_MOST_UPLINK_BYTES)
        self.events = 0
        """The events that the publisher's selector waits for on its socket."""

    @property
    def open(self) -> bool:
        """Whether the publisher still serves it."""
        return self.socket.fileno() >= 0

    def send(self, data: bytes) -> None:
        """Send as much as the socket takes, keep the rest. Raises OSError when the server is gone."""
        self.waiting.append(memoryview(data))
        self.flush()

    def flush(self) -> None:
        """Send the kept bytes. Raises OSError when the server is gone."""
        while self.waiting:
            try:
                sent = self.socket.send(self.waiting[0])
            except BlockingIOError:
                return
            rest = self.waiting[0][sent:]
            if rest:
                self.waiting[0] = rest
            else:
                self.waiting.popleft()


class Publisher:
    """Plays `workload` to the servers that connect to the Unix socket at `path` (mode 0600)."""

    def __init__(self, workload: Workload, path: Path, ring_messages: int, ring_bytes: int) -> None:
        self.workload = workload
        self.epoch = f"{time.time_ns():x}"
        self.started: dict[str, int] = {}
        self._prepared: dict[frozenset[str], Timetable] = {}
        self._playing: list[tuple[int, Timetable]] = []
        self._paused_ns = 0
        budget = Budget(ring_bytes)
        self._rings = [Ring(budget, ring_messages, workload.finite(c.stream)) for c in workload.channels()]
        self._standing: dict[int, bytes] = {}
        """A channel's current notice, packed: retry advice until the next message, an end for ever."""
        self._servers: dict[_Server, None] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            path.unlink(missing_ok=True)  # left by an earlier run; servers reconnect to it
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        self._listener.listen(8)
        self._listener.setblocking(False)
        self.poster: Poster | None = None
        self._posting: dict[int, int] = {}
        """The poster's descriptors, and the events to wait for on each."""
        # select(2) counts microseconds; epoll(7) counts milliseconds and would be late by as much (R1).
        self._selector = SelectSelector()
        self._lines = Lines()
        self._commands: dict[type[Command], Callable[[Any], None]] = {
            Play: self._play,
            PostTo: self._post_to,
            Pause: lambda _: self.pause(),
            Resume: lambda _: self.resume(),
            Count: lambda _: None,
            Stop: self._stop,
        }
        self._over = False
        self._ticks_path: str | None = None
        # The record of every tick: five int64 (channel, seq, due, sent, bytes) and a digest.
        self._record = array("q")
        self._digests = array("L")

    def prepare(self, streams: Sequence[str], ahead_s: float) -> None:
        """Make the first `ahead_s` seconds of these streams' ticks before they are played."""
        if streams and ahead_s:
            timetable = self._prepared[frozenset(streams)] = Timetable(self.workload, streams)
            timetable.prepare(int(ahead_s * 1e9))

    def play(self, streams: Iterable[str], start_ns: int) -> None:
        """Start the timetable of these streams at `start_ns` (CLOCK_MONOTONIC)."""
        wanted = frozenset(streams) - set(self.started)
        self.started.update(dict.fromkeys(wanted, start_ns))
        if wanted:
            timetable = self._prepared.pop(wanted, None) or Timetable(self.workload, wanted)
            self._playing.append((start_ns, timetable))

    def pause(self) -> None:
        """Stop the clock."""
        self._paused_ns = self._paused_ns or time.monotonic_ns()

    def resume(self) -> None:
        """Go on; the ticks that were not yet due are due later, by the length of the pause."""
        if self._paused_ns:
            late_ns = time.monotonic_ns() - self._paused_ns
            self._paused_ns = 0
            self._playing = [(start_ns + late_ns, timetable) for start_ns, timetable in self._playing]
            self.started = {name: start_ns + late_ns for name, start_ns in self.started.items()}

    def _next_ns(self) -> int | None:
        """When the next tick is due (ns, CLOCK_MONOTONIC); None after the last."""
        if self._paused_ns:
            return None
        due = [(start_ns, timetable.next_ns()) for start_ns, timetable in self._playing]
        return min((start_ns + next_ns for start_ns, next_ns in due if next_ns is not None), default=None)

    def _due(self) -> None:
        """Play everything that is due by now, as one frame."""
        record, digests = self._record, self._digests
        sent_ns = time.monotonic_ns()
        batch: list[bytes] = []
        posts: list[tuple[int, int, bytes]] = []
        standing = self._standing
        for start_ns, timetable in self._playing:
            for tick in timetable.take(sent_ns - start_ns):
                channel, seq, offset_ns, payload = tick
                due_ns = start_ns + offset_ns
                if not payload:
                    payload = self.workload.make(tick)
                packed = feed.pack(channel, seq, due_ns, payload)
                batch.append(packed)
                if seq and self.poster is not None:
                    posts.append((channel, seq, payload))
                if not seq:
                    standing[channel] = packed
                    continue
                if standing:
                    standing.pop(channel, None)
                record.extend((channel, seq, due_ns, sent_ns, len(payload)))
                digests.append(zlib.crc32(payload))
                self._rings[channel].append(seq, due_ns, packed)
        if batch and self._servers:
            self._broadcast(feed.frame(feed.TICKS, b"".join(batch)))
        if posts and self.poster is not None:
            self.poster.post(posts)

    def _take_uplinks(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Number subscribers' messages in their order of arrival and send them to everyone, due at once."""
        batch: list[bytes] = []
        now_ns = time.monotonic_ns()
        for channel, payload in messages:
            if not 0 <= channel < len(self._rings) or not self.workload.takes(channel):
                continue
            ring = self._rings[channel]
            seq = ring.last + 1
            packed = feed.pack(channel, seq, now_ns, payload)
            batch.append(packed)
            self._record.extend((channel, seq, now_ns, now_ns, len(payload)))
            self._digests.append(zlib.crc32(payload))
            ring.append(seq, now_ns, packed)
        if batch:
            self._broadcast(feed.frame(feed.TICKS, b"".join(batch)))

    def _broadcast(self, data: bytes) -> None:
        for server in list(self._servers):
            self._send(server, data)

    def _send(self, server: _Server, data: bytes) -> None:
        try:
            server.send(data)
        except OSError:
            self._forget(server)
        else:
            self._watch(server)

    def _forget(self, server: _Server) -> None:
        del self._servers[server]
        self._selector.unregister(server.socket)
        server.socket.close()

    def _accept(self, descriptor: int, events: int) -> None:
        connection, _ = self._listener.accept()
        server = _Server(connection)
        self._servers[server] = None
        self._watch(server)
        boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
        greeting = Hello(self.epoch, boot_id, PlayedWorkload.of(self.workload))
        frames = [feed.frame(feed.HELLO, text(greeting).encode())]
        for ring in self._rings:
            if ring.held:
                frames.append(feed.frame(feed.TICKS, b"".join(held.data for held in ring.held)))
        if self._standing:
            frames.append(feed.frame(feed.TICKS, b"".join(self._standing.values())))
        frames.append(feed.frame(feed.LIVE))
        self._send(server, b"".join(frames))

    # The loop

    def run(self, commands: int) -> str | None:
        """Play until a Stop (its `ticks` is returned) or the end of file on descriptor `commands` (None)."""
        self._selector.register(commands, EVENT_READ, self._obey)
        self._selector.register(self._listener, EVENT_READ, self._accept)
        played_ns = 0
        while True:
            next_ns, now_ns = self._next_ns(), time.monotonic_ns()
            if next_ns is not None and max(next_ns, played_ns + _GAP_NS) <= now_ns:
                played_ns = now_ns
                self._due()
                next_ns, now_ns = self._next_ns(), time.monotonic_ns()
            wait = None if next_ns is None else _patience_s(max(next_ns, played_ns + _GAP_NS) - now_ns)
            self._watch_poster()
            if self.poster is not None and self.poster.waiting:
                wait = AGAIN_S if wait is None else min(wait, AGAIN_S)
            for key, events in self._selector.select(wait):
                key.data(key.fd, events)
                if self._over:
                    return self._ticks_path

    def _obey(self, descriptor: int, events: int) -> None:
        data = os.read(descriptor, 65536)
        self._over = not data
        for line in self._lines.feed(data):
            command = COMMAND(line)
            self._commands[type(command)](command)
            if self._over:
                return
            say(self.posts() if isinstance(command, Count) else Started(self.started))

    def _play(self, command: Play) -> None:
        self.play(command.streams, command.start_ns or time.monotonic_ns() + 20_000_000)

    def _post_to(self, command: PostTo) -> None:
        self.poster = Poster(command, self.workload.channels())

    def _stop(self, command: Stop) -> None:
        self._ticks_path, self._over = command.ticks, True

    def _serve(self, server: _Server, events: int) -> None:
        """Send a server's kept bytes and read its subscribers' messages. Skips a server dropped in this round."""
        try:
            if events & EVENT_WRITE and server.open:
                server.flush()
                self._watch(server)
            data = server.socket.recv(65536) if events & EVENT_READ and server.open else None
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            try:
                frames = list(server.reader.feed(data))
                uplinks = [feed.unpack_uplink(body) for kind, body in frames if kind == feed.UPLINK]
            except feed.FeedError as error:
                sys.stderr.write(f"dropped a server that broke the feed's format: {error}\n")
                self._forget(server)
                return
            self._take_uplinks(uplinks)
        elif data is not None:
            self._forget(server)

    def _watch(self, server: _Server) -> None:
        """Wait also for room in its socket while bytes are kept."""
        wanted = EVENT_READ | (EVENT_WRITE if server.waiting else 0)
        if server.events != wanted:
            wait_for = self._selector.modify if server.events else self._selector.register
            wait_for(server.socket, wanted, lambda _, events: self._serve(server, events))
            server.events = wanted

    def _watch_poster(self) -> None:
        """Wait for the poster's connections, which it opens and closes by itself."""
        if self.poster is None:
            return
        reading, writing = self.poster.descriptors()
        wanted = dict.fromkeys(reading, EVENT_READ) | dict.fromkeys(writing, EVENT_READ | EVENT_WRITE)
        for descriptor in self._posting.keys() - wanted.keys():
            self._selector.unregister(descriptor)
        for descriptor, events in wanted.items():
            if descriptor not in self._posting:
                self._selector.register(descriptor, events, self._post_on)
            elif self._posting[descriptor] != events:
                self._selector.modify(descriptor, events, self._post_on)
        self._posting = wanted

    def _post_on(self, descriptor: int, events: int) -> None:
        if self.poster is not None:
            self.poster.ready(descriptor)
            self._watch_poster()  # a descriptor it closed may become the next server's

    def posts(self) -> PostCounts:
        """The outcomes of the posts so far."""
        return PostCounts() if self.poster is None else self.poster.counts()

    def ticks(self) -> dict[str, Any]:
        """The columns of ticks.parquet (rtbench.records.tables)."""
        import numpy as np

        table = np.frombuffer(self._record, dtype=np.int64).reshape(-1, 5)
        names = ("channel", "seq", "due_ns", "sent_ns", "payload_bytes")
        columns: dict[str, Any] = {name: table[:, index] for index, name in enumerate(names)}
        columns["digest"] = np.frombuffer(self._digests, dtype=np.uint64)
        return columns


def _patience_s(left_ns: int) -> float:
    """The next wait, in seconds: select(2) may be late by a thousandth of its timeout, so the last wait is short."""
    return max(0, left_ns if left_ns < 2_000_000 else left_ns - 1_000_000) / 1e9


def hurry() -> str:
    """Take the highest priority that this user may have: a late publisher makes a trial invalid (R13)."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
        return "SCHED_FIFO 2"
    with contextlib.suppress(OSError):
        return f"nice {os.nice(-10)}"
    return "as everyone"
