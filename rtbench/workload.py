"""The workload of a scenario: its channels and all their ticks on one timetable, made lazily.

A channel's script has its ticks and, between them, its notices (retry, failure, end). Only ticks are messages: they
have ids, they are counted, and `rtbench ticks` prints them.

Invariant: fully determined by (seed, epoch_s, streams, channels, pace). `channel` here and in every file numbers the
(stream, channel within the stream) pairs of the scenario. Called by the publisher (to play it), the campaign (to
choose the window's edges), `rtbench ticks` and the tests.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from rtbench.streams import Emission, Pace, Source, Stream, find

NOTICE = 0
"""The seq of a notice in a script; ids of messages begin with 1."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What a subscriber subscribes to: number `number` of the scenario, `index` within its stream."""

    number: int
    stream: str
    index: int

    @property
    def query(self) -> str:
        """Its name on the wire: `stream?channel=C`; the first channel needs no query."""
        return f"{self.stream}?channel={self.index}" if self.index else self.stream


class Tick(NamedTuple):
    """One message: `due_ns` counts from the start of its stream's timetable. (A tuple: made 10,000 times a second.)

    A tick with the seq NOTICE is a notice: `payload` is then its JSON, `{"control":KIND,…}`. `Workload.make` makes an
    empty payload when it is due.
    """

    channel: int
    seq: int
    due_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Workload:
    """The streams and channels of a scenario."""

    streams: tuple[str, ...]
    seed: int = 1
    epoch_s: int = 1_767_225_600
    subscribers: int = 1
    pace: Pace = Pace()

    def __post_init__(self) -> None:
        for name in self.streams:
            find(name)

    @property
    def unicast(self) -> bool:
        """Whether every subscriber has its own channel."""
        return self.pace.channels == "unicast"

    def channels(self) -> list[Channel]:
        """All channels by number. Broadcast: one a stream. Unicast: one a subscriber, streams in turn."""
        kinds = len(self.streams)
        return [self.channel(number) for number in range(max(self.subscribers, kinds) if self.unicast else kinds)]

    def channel(self, number: int) -> Channel:
        """The channel of that number."""
        kinds = len(self.streams)
        return Channel(number, self.streams[number % kinds], number // kinds)

    def channel_of(self, subscriber: int) -> int:
        """The number of the channel that a subscriber subscribes to."""
        return subscriber if self.unicast else subscriber % len(self.streams)

    def stream(self, name: str) -> Stream:
        """One of its streams."""
        return find(name)

    def stream_of(self, channel: int) -> Stream:
        """The stream that a channel belongs to."""
        return find(self.streams[channel % len(self.streams)])

    def finite(self, name: str) -> bool:
        """Whether a stream ends; it is kept whole until then."""
        stream = find(name)
        return stream.finite and not stream.takes(self.pace)

    def takes(self, channel: int) -> bool:
        """Whether subscribers send a channel's messages."""
        return self.stream_of(channel).takes(self.pace)

    def ticks_of(self, channel: Channel) -> Iterator[Tick]:
        """One channel's ticks, lazily; the iterator ends with a finite stream."""
        return (tick for tick in self.script_of(channel) if tick.seq)

    def script_of(self, channel: Channel) -> Iterator[Tick]:
        """One channel's ticks and notices, lazily; the last of a finite stream is its end or failure notice."""
        source = self._source(channel)
        number = channel.number
        seq = due_ns = 0
        for emission in find(channel.stream).emissions(source):
            due_ns = emission.offset_ns
            if isinstance(emission, Emission):
                seq += 1
                yield Tick(number, seq, due_ns, emission.payload.encode())
                continue
            _, kind, fields = emission
            if kind == "failure":
                yield _notice(number, due_ns, kind, {**fields, "last": seq})
                return
            yield _notice(number, due_ns, kind, fields)
        if not self.takes(number):
            yield _notice(number, due_ns, "end", {"last": seq})

    def make(self, tick: Tick) -> bytes:
        """The payload of a tick without one, made when it is due."""
        channel = self.channel(tick.channel)
        return find(channel.stream).live(self._source(channel), tick.due_ns).encode()

    def _source(self, channel: Channel) -> Source:
        total = max(1, -(-self.subscribers // len(self.streams))) if self.unicast else 1
        return Source(self.seed, self.epoch_s, channel.index, max(total, channel.index + 1), self.pace, channel.stream)

    def ticks(self, channels: Sequence[Channel] | None = None) -> Iterator[Tick]:
        """The ticks of all (or the given) channels in the order in which they are due."""
        chosen = self.channels() if channels is None else channels
        return heapq.merge(*(self.ticks_of(channel) for channel in chosen), key=lambda tick: tick.due_ns)


def _notice(channel: int, due_ns: int, kind: str, fields: Mapping[str, object]) -> Tick:
    text = json.dumps({"control": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return Tick(channel, NOTICE, due_ns, text.encode())


def quiet_instant(due_ns: Iterable[int], after_ns: int, within_ns: int) -> int:
    """The middle of the widest gap between due instants that begins within `within_ns` after `after_ns`.

    A window that opens and closes where nothing is due cuts no message in two: its counters (CPU, bytes) and its
    ticks speak of the same messages (R5). `due_ns` must not fall and must reach past `after_ns + within_ns`,
    or end; with nothing due there, `after_ns` itself is quiet.
    """
    best, gap, previous = after_ns, 0, after_ns
    for due in due_ns:
        if due < after_ns:
            continue
        if due - previous > gap:
            gap = due - previous
            best = previous + gap // 2
        if due > after_ns + within_ns:
            break
        previous = due
    return best


def compressibility(workload: Workload, count: int = 200) -> str:
    """What zlib at its default level makes of the first `count` messages of the first channel, in words."""
    payloads = [tick.payload for tick in islice(workload.ticks_of(workload.channel(0)), count)]
    sizes = []
    for flush in (zlib.Z_FULL_FLUSH, zlib.Z_SYNC_FLUSH):
        press = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        sizes.append(sum(len(press.compress(payload)) + len(press.flush(flush)) for payload in payloads))
    bytes_each, alone, following = (total / max(1, len(payloads)) for total in (sum(map(len, payloads)), *sizes))
    return (
        f"a payload of {workload.streams[0]}: {bytes_each:.0f} bytes; {alone:.0f} when deflate has it alone, "
        f"{following:.0f} after those before it"
    )
