"""The feed: how ticks travel from the publisher to one of our servers, over a Unix socket.

A frame is `length (u32) kind (u8) body`. HELLO opens (`rtbench.messages.feed.Hello`), TICKS carry any number of
ticks and notices (seq 0: retry, failure, end) that were due together, LIVE ends the refill after a (re)connect. UPLINK
goes from server to publisher with a subscriber's message: the publisher numbers it and plays it to everyone as a tick.
Invariant: between HELLO and LIVE a server gets everything that the publisher's ring holds, and it gets every tick once;
the current notice is sent again after each refill.
Used by the publisher (pack) and the hub (Reader). The publisher also reads what a server under test sends, so the
readers raise FeedError for whatever breaks the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "HELLO",
    "LIVE",
    "TICKS",
    "UPLINK",
    "FeedError",
    "Reader",
    "frame",
    "pack",
    "pack_uplink",
    "unpack",
    "unpack_uplink",
]

HELLO, TICKS, LIVE, UPLINK = 1, 2, 3, 4

_FRAME = struct.Struct("<IB")
_TICK = struct.Struct("<iqqI")
_CHANNEL = struct.Struct("<i")


class FeedError(ValueError):
    """The other end of the feed broke its format."""


def frame(kind: int, body: bytes = b"") -> bytes:
    """One frame on the wire."""
    return _FRAME.pack(len(body), kind) + body


def pack(channel: int, seq: int, due_ns: int, payload: bytes) -> bytes:
    """One tick in the body of a TICKS frame; `due_ns` absolute, CLOCK_MONOTONIC."""
    return _TICK.pack(channel, seq, due_ns, len(payload)) + payload


def unpack(body: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The ticks of a TICKS frame: (channel, seq, due_ns, payload). Raises FeedError."""
    at, end, head = 0, len(body), _TICK.size
    while at < end:
        if end - at < head:
            raise FeedError(f"a tick's head of {end - at} bytes")
        channel, seq, due_ns, size = _TICK.unpack_from(body, at)
        at += head + size
        if at > end:
            raise FeedError(f"a tick of {size} bytes, {at - end} too many for its frame")
        yield channel, seq, due_ns, body[at - size : at]


def pack_uplink(channel: int, payload: bytes) -> bytes:
    """A subscriber's message as a frame to the publisher."""
    return frame(UPLINK, _CHANNEL.pack(channel) + payload)


def unpack_uplink(body: bytes) -> tuple[int, bytes]:
    """Channel and payload of an UPLINK frame. Raises FeedError."""
    if len(body) < _CHANNEL.size:
        raise FeedError(f"an uplink of {len(body)} bytes")
    return _CHANNEL.unpack_from(body)[0], body[_CHANNEL.size :]


class Reader:
    """Reads frames from a byte stream that may be split anywhere. A body has `most_bytes` at most."""

    def __init__(self, most_bytes: int = 2**32 - 1) -> None:
        self._buffer = bytearray()
        self._most_bytes = most_bytes

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Complete frames as (kind, body). Raises FeedError for a frame that is too long."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _FRAME.size:
            size, kind = _FRAME.unpack_from(buffer, at)
            start = at + _FRAME.size
            if size > self._most_bytes:
                raise FeedError(f"a frame of {size} bytes, limit {self._most_bytes}")
            if len(buffer) < start + size:
                break
            at = start + size
            yield kind, bytes(buffer[start:at])
        del buffer[:at]
