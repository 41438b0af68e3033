"""Messages over plain TCP, one per line: the lower bound for any transport on a stack, without HTTP and framing.

A client sends `STREAM?channel=C&since=N` and a line feed; the server answers `ok` or `error TEXT`, then one line a
message or notice: `{"id":N,"data":PAYLOAD}`, `{"control":KIND,…}`; an empty line is a heartbeat. A payload has no line
feed (streams.md), so nothing is escaped. Called by the load generator, `rtbench verify` and the tests.
"""

from __future__ import annotations

from rtbench.transports import Asked, Closed, Event, Heartbeat, Opened, ProtocolError, TooLarge
from rtbench.transports.catalogue import Transport
from rtbench.transports.envelope import Reader, reader

MAX_LINE_BYTES = 16 * 1024 * 1024
OK = b"ok"


def codec(asked: Asked) -> LineClient:
    """The codec for a subscriber's request."""
    return LineClient(asked.resuming, reader(asked.carries_id, asked.json_payload, asked.payload))


class LineClient:
    """A `Codec`. A notice of an end or a failure is the last line; the connection then closes."""

    def __init__(self, path: str, read: Reader) -> None:
        self._path = path
        self._read = read
        self._held = bytearray()  # the unfinished line
        self._open = False
        self._closed = False

    def open(self) -> bytes:
        """The request line."""
        return f"{self._path}\n".encode()

    def to_send(self) -> bytes:
        """Always empty: the protocol has no replies."""
        return b""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`; after a refusal or a fault nothing is read any more. Raises ProtocolError."""
        events: list[Event] = []
        *lines, rest = data.split(b"\n")
        if lines and self._held:
            lines[0] = bytes(self._held) + lines[0]
            self._held.clear()
        try:
            for line in lines:
                if self._closed:
                    break
                self._line(line, events)
            if not self._closed:
                self._held += rest
                self._check(len(self._held))
        except ProtocolError as error:
            self._closed = True
            self._held.clear()
            error.events = tuple(events)
            raise
        return events

    def _check(self, size: int) -> None:
        if size > MAX_LINE_BYTES:
            raise TooLarge(f"line longer than {MAX_LINE_BYTES} bytes")

    def _line(self, line: bytes, events: list[Event]) -> None:
        self._check(len(line))
        if not self._open:
            self._open = True
            events.append(Opened(200 if line == OK else 400, {}))
            if line != OK:
                self._closed = True
                events.append(Closed(False, reason=line.decode("utf-8", "replace")))
        elif not line:
            events.append(Heartbeat())
        else:
            events.append(self._read(line))

    def eof(self) -> list[Event]:
        """Closed, once; clean after an end and between two lines."""
        if self._closed:
            return []
        self._closed = True
        if not self._open:
            return [Closed(False, reason="connection closed before the answer")]
        whole = not self._held
        return [Closed(whole, reason="end of the connection" if whole else "connection closed inside a line")]


TRANSPORTS = (Transport("tcp", "", "TCPUser", "Plain TCP", make=codec, place=9),)
