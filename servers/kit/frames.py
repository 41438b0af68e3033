"""Walks over the frames of a WebSocket client (RFC 6455 §5) and finds the first that no server has to take.

It reads heads alone, so that a flood is refused before a library parses it, and that all libraries refuse alike: some
take frames without a mask, others have no limit for the sum of fragments. Invariant: it keeps at most a head's bytes.
Called by `guard` with what a client sends; nothing that a server sends passes here.
"""

from __future__ import annotations

import struct
import time

__all__ = ["FLOOD", "PROTOCOL", "TOO_BIG", "Bucket", "Frames", "close_frame"]

PROTOCOL, FLOOD, TOO_BIG = 1002, 1008, 1009
"""Close codes: a frame that the protocol forbids, too many frames, too long a message (RFC 6455 §7.4.1)."""

_CONTROL, _MOST_CONTROL_BYTES = 8, 125


class Bucket:
    """So many events a second, and as many at once."""

    __slots__ = ("_at_s", "_hz", "_left")

    def __init__(self, hz: float) -> None:
        self._hz = hz
        self._left = max(1.0, hz)
        self._at_s = time.monotonic()

    def take(self, events: int = 1) -> bool:
        """Whether so many more events are within the rate."""
        if self._left < events:
            now_s = time.monotonic()
            self._left = min(max(1.0, self._hz), self._left + (now_s - self._at_s) * self._hz)
            self._at_s = now_s
            if self._left < events:
                return False
        self._left -= events
        return True

    @property
    def full(self) -> bool:
        """Whether it has been unused for as long as it takes to fill."""
        return self._left + (time.monotonic() - self._at_s) * self._hz >= max(1.0, self._hz)


class Frames:
    """The frames of one client."""

    __slots__ = ("_bucket", "_head", "_message", "_most", "_skip")

    def __init__(self, message_bytes: int, frames_hz: float) -> None:
        self._most = message_bytes
        self._bucket = Bucket(frames_hz)
        self._head = b""
        """The beginning of a head that is not whole."""
        self._skip = 0
        """Bytes of a payload that are still to come."""
        self._message = 0
        """Bytes of the message so far, over its fragments."""

    def feed(self, data: bytes) -> int:
        """The close code that these bytes deserve; 0: none."""
        at, self._skip = self._skip, 0
        if self._head:
            data, self._head = self._head + data, b""
        size = len(data)
        while at < size:
            if (known := size - at) < 2 or known < (need := _head_bytes(data[at + 1])):
                self._head = data[at:]
                return 0
            first, second = data[at], data[at + 1]
            length = second & 0x7F
            if need == 4:
                (length,) = struct.unpack_from(">H", data, at + 2)
            elif need == 10:
                (length,) = struct.unpack_from(">Q", data, at + 2)
            if not second & 0x80:
                return PROTOCOL  # not masked (§5.1)
            opcode = first & 0x0F
            if opcode >= _CONTROL:
                if length > _MOST_CONTROL_BYTES or not first & 0x80:
                    return PROTOCOL  # §5.5
            else:
                self._message = length if opcode else self._message + length
                if self._message > self._most:
                    return TOO_BIG
            if not self._bucket.take():
                return FLOOD
            at += need + 4 + length
        self._skip = at - size
        return 0


def _head_bytes(second: int) -> int:
    """The bytes of a head up to its mask, by its second byte (§5.2)."""
    length = second & 0x7F
    return 2 if length < 126 else 4 if length == 126 else 10


def close_frame(code: int) -> bytes:
    """A server's close frame."""
    return b"\x88\x02" + code.to_bytes(2, "big")
