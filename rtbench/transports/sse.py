"""Server-Sent Events as a client reads them: an event-stream parser and the codec around it.

`EventStreamParser` is WHATWG HTML §9.2.5–9.2.6 on bytes; `SSEClient` puts it behind an HTTP/1.1 response and has
a short cut for the steady state, in which a read is one or more whole chunks and each chunk one whole event.

Invariant: the short cut gives the same events as the parsers and leaves them in the same state
(tests/transports/test_sse.py compares the two). Called by the load generator, `rtbench verify` and the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rtbench.transports import Asked, Closed, Control, Event, Heartbeat, Message, Opened, ProtocolError, TooLarge
from rtbench.transports.catalogue import Transport
from rtbench.transports.coding import Decoder, decoder
from rtbench.transports.envelope import Reader, reader
from rtbench.transports.http import Body, Complete, Head, Part, ResponseParser, request_head

MAX_EVENT_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
LF, CR = 0x0A, 0x0D
RETRY = b"retry"
MAX_ID_DIGITS = 18  # what fits an int64 column whatever the digits are


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """A dispatched event. `data`: the bytes that were sent, with U+FFFD for invalid UTF-8."""

    type: str
    data: bytes
    last_event_id: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that begins with a colon; `text` is what follows it."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Retry:
    """A `retry` field: the wait before reconnecting after a lost connection.

    `in_notice`: the field belongs to an event of the type `retry`, which has more members.
    """

    after_ms: int
    in_notice: bool = False


Item = ServerSentEvent | Comment | Retry


class EventStreamParser:
    """One event stream from its first byte. Lines are handled as soon as they end, a CR at the end of a read included.

    `retry_ms`: the last `retry` field, None before the first. A block without a final empty line is never dispatched,
    so the end of the stream needs no handling.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.retry_ms: int | None = None
        self._limit = max_event_bytes
        self._start: bytes | None = b""  # the first bytes while they may still become a BOM, then None
        self._after_cr = False
        self._line = bytearray()  # the unfinished one
        self._data = bytearray()  # each value with a line feed after it
        self._type = b""
        self._id = b""  # the spec's "last event ID buffer"
        self._id_text: str | None = ""  # decoded once, at the first event: all events after it share it
        self._dispatched_id = b""  # the spec's "last event ID string"

    @property
    def last_event_id(self) -> str:
        """The value of a client's `Last-Event-ID`: the id in force at the last empty line."""
        return _text(self._dispatched_id)

    @property
    def idle(self) -> bool:
        """Between two blocks: nothing that was read so far can change how the next line is read."""
        return self._start is None and not (self._after_cr or self._line or self._data or self._type)

    def skip_to(self, last_event_id: bytes) -> None:
        """Skip whole blocks that the caller parsed itself; the last has this decimal id. Only for an idle parser."""
        self._id = self._dispatched_id = last_event_id
        self._id_text = None

    def feed(self, data: bytes) -> list[Item]:
        """Items completed by `data`. Raises ProtocolError if the bytes to keep exceed the limit."""
        if self._start is not None:
            data = self._start + data
            if len(data) < len(BOM) and BOM.startswith(data):
                self._start = data
                return []
            self._start = None
            data = data.removeprefix(BOM)
        if not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        items: list[Item] = []
        *lines, rest = data.split(b"\n")
        try:
            if lines and self._line:
                lines[0] = bytes(self._line) + lines[0]
                self._line.clear()
            for line in lines:
                self._check(len(line))
                self._take(line, items)
            if rest:
                self._line += rest
                self._check(len(self._line))
        except ProtocolError as error:
            self._line.clear()
            self._data.clear()
            error.events = tuple(items)
            raise
        return items

    def _check(self, line_bytes: int) -> None:
        if len(self._data) + line_bytes > self._limit:
            raise TooLarge(f"event longer than {self._limit} bytes")

    def _take(self, line: bytes, items: list[Item]) -> None:
        if not line:
            self._dispatch(items)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data.append(LF)
        elif name == b"id":
            if b"\0" not in value:
                self._id, self._id_text = value, None
        elif name == b"event":
            self._type = value
        elif name == b"retry":
            if value.isdigit():  # of bytes: ASCII digits, at least one
                self.retry_ms = int(value.lstrip(b"0")[: MAX_ID_DIGITS + 1] or b"0")
                items.append(Retry(self.retry_ms, self._type == RETRY))
        elif not name:
            items.append(Comment(line[1:]))

    def _dispatch(self, items: list[Item]) -> None:
        self._dispatched_id = self._id  # also when there is no data to dispatch
        if self._data:
            self._data.pop()
            data = bytes(self._data)
            if self._id_text is None:
                self._id_text = _text(self._id)
            items.append(ServerSentEvent(_text(self._type) or "message", _scalar(data), self._id_text))
            self._data.clear()
        self._type = b""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _scalar(data: bytes) -> bytes:
    """The bytes themselves when they are UTF-8, else with U+FFFD where a decoder would put it (WHATWG Encoding)."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


# A chunk-size line and the two fields of an event in the steady state; six digits stay below MAX_EVENT_BYTES.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,6})\r\nid: ([0-9]{1,18})\ndata: ")
_CONTROLS = frozenset({"end", "gap", "failure", "retry"})


def codec(asked: Asked) -> SSEClient:
    """The codec for a subscriber's request."""
    numbered = asked.carries_id == "protocol"
    carries_id = "none" if numbered else asked.carries_id
    read = None if numbered and not asked.payload else reader(carries_id, asked.json_payload, asked.payload)
    return SSEClient(asked.host, asked.path, asked.cursor, asked.fields, read=read, numbered=numbered)


class SSEClient:
    """A `Codec`. It drops events of types outside the contract, as onmessage does."""

    def __init__(
        self,
        host: str,
        path: str,
        last_event_id: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        read: Reader | None = None,
        numbered: bool = True,
    ) -> None:
        """`read`: makes a message from an event's data where that is not the payload itself (`envelope.reader`).

        `numbered`: the event's id is the message's.
        """
        fields = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if last_event_id is not None:
            fields["Last-Event-ID"] = str(last_event_id)
        self._request = request_head("GET", path, host, {**fields, **headers})
        self._http = ResponseParser()
        self._stream = EventStreamParser(max_event_bytes)
        self._read = read
        self._numbered = numbered
        self._limit = max_event_bytes
        self.retry_ms: int | None = None
        """The server's last reconnection time, milliseconds; None before the first."""
        self._decoder: Decoder | None = None
        self._steady = False  # both layers are at a boundary: the short cut may be tried
        self._opened = False
        self._closed = False
        self._fault = ""

    @property
    def last_event_id(self) -> str:
        """See EventStreamParser.last_event_id."""
        return self._stream.last_event_id

    def open(self) -> bytes:
        """The GET request."""
        return self._request

    def to_send(self) -> bytes:
        """Always empty: SSE has no uplink."""
        return b""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`; after Closed nothing is read any more. Raises ProtocolError."""
        events: list[Event] = []
        if self._steady:
            done = self._short_cut(data, events)
            if done == len(data):
                return events
            if done:
                data = data[done:]
        self._general(data, events)
        return events

    def eof(self) -> list[Event]:
        """Closed, once; clean only if the body was complete in HTTP (RFC 9112 §8)."""
        if self._closed:
            return []
        self._closed = True
        try:
            self._http.eof()
        except ProtocolError as error:
            return [Closed(False, reason=self._fault or str(error))]
        if self._fault:
            return [Closed(False, reason=self._fault)]
        if not self._opened:
            return [Closed(False, reason="connection closed before the response")]
        return [Closed(True, reason="end of the connection")]

    def _short_cut(self, data: bytes, events: list[Event]) -> int:
        """Takes whole chunks of one whole plain event each; returns their number of bytes."""
        position, end, limit, match = 0, len(data), self._limit, _CHUNK.match
        last = b""
        while position < end:
            found = match(data, position)
            if found is None:
                break
            size, number = found.groups()
            start = found.end()
            length = int(size, 16)
            stop = found.end(1) + length  # + 2 for the CR LF after the size, - 2 for the LF LF that end the event
            payload = data[start:stop]
            if (
                data[stop : stop + 4] != b"\n\n\r\n"
                or start > stop
                or length > limit
                or LF in payload  # an int: looks for the byte four times as fast as for the bytes of length one
                or CR in payload
                or not (payload.isascii() or _scalar(payload) == payload)
            ):
                break
            events.append(Message(int(number), payload))
            last = number
            position = stop + 4
        if position:
            self._http.skipped += position
            self._stream.skip_to(last)
        return position

    def _general(self, data: bytes, events: list[Event]) -> None:
        if self._closed:
            return
        if self._fault:
            raise ProtocolError(self._fault, events)
        fault = self._http.hand(data, lambda parts: self._take(parts, events))
        if fault is not None and not self._closed:  # what comes after the end does not matter
            self._steady, self._fault = False, str(fault)
            raise type(fault)(self._fault, events) from fault
        at_boundary = self._http.between_chunks and self._stream.idle
        plain = self._read is None and self._decoder is None
        self._steady = at_boundary and plain and not self._closed

    def _take(self, parts: list[Part], events: list[Event]) -> None:
        for part in parts:
            if self._part(part, events):
                break

    def _part(self, part: Part, events: list[Event]) -> bool:
        """Handle one part. Returns whether the connection is over with it."""
        if isinstance(part, Body):
            fault: ProtocolError | None = None
            try:
                data = part.data if self._decoder is None else self._decoder.feed(part.data)
                items = self._stream.feed(data)
            except ProtocolError as error:
                items, fault = list(error.events), error
            for item in items:
                try:
                    _event(item, events, self._read, self._numbered)
                except ProtocolError:
                    # Forget what was read after the faulty event, so that splits make no difference.
                    assert isinstance(item, ServerSentEvent)
                    self._stream.skip_to(item.last_event_id.encode())
                    raise
                if isinstance(item, Retry):
                    self.retry_ms = item.after_ms
            if fault is not None:
                raise fault
        elif isinstance(part, Head):
            self._opened = True
            events.append(Opened(part.status, part.headers))
            kind = part.headers.get("content-type", "")
            if part.status != 200:
                # 204 stops an EventSource from reconnecting (WHATWG §9.2.3): a stream ends for good this way.
                self._end(events, part.status == 204, f"status {part.status}")
            elif kind.partition(";")[0].strip().lower() != "text/event-stream":
                self._end(events, False, f"content type {kind!r}")
            self._decoder = decoder(part.headers)
        else:
            assert isinstance(part, Complete)
            self._end(events, True, "end of the response")
        return self._closed

    def _end(self, events: list[Event], clean: bool, reason: str) -> None:
        self._closed = True
        events.append(Closed(clean, reason=reason))


def _number(item: ServerSentEvent) -> int:
    digits = item.last_event_id
    plain = len(digits) <= MAX_ID_DIGITS and digits.isascii() and digits.isdigit()
    return int(digits) if plain else -1


def _event(item: Item, events: list[Event], read: Reader | None, numbered: bool) -> None:
    if isinstance(item, ServerSentEvent):
        if read is not None:
            found = read(item.data)
            events.append(Message(_number(item), found.payload) if numbered and type(found) is Message else found)
        elif item.type == "message":
            events.append(Message(_number(item), item.data))
        elif item.type in _CONTROLS:
            try:
                fields = json.loads(item.data)
            except (ValueError, RecursionError):
                fields = None
            if not isinstance(fields, dict):
                raise ProtocolError(f"event {item.type!r} without a JSON object")
            events.append(Control(item.type, fields))
    elif isinstance(item, Comment):
        events.append(Heartbeat())
    elif not item.in_notice:
        events.append(Control("retry", {"after_ms": item.after_ms}))


TRANSPORTS = (Transport("sse", "/sse", "SSEUser", "Server-Sent Events", make=codec, place=1),)
