"""HTTP/1.1 as a client reads it: request heads out, response heads, body pieces and completions in.

`httptools` (llhttp, C) checks the syntax. This module finds the ends of heads, bodies and responses, because httptools
does not report the byte at which a callback fired, and rtbench charges each byte to its response.

Invariant: the parts do not depend on how the bytes were split, except for the cuts between Body pieces; no piece
handed to httptools crosses the end of a response. Only responses to GET are understood (a response to HEAD has a
Content-Length and no body). Called by the sse, poll and websocket codecs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import httptools

from rtbench.transports import ProtocolError, TooLarge

MAX_HEAD_BYTES = 64 * 1024
MAX_HEAD_FIELDS = 1000
_BLOCK_BYTES = 16 * 1024
"""A chunked body is judged in blocks of this size, counted from its first byte: reads have any size, blocks do not."""
_STILL_BLOCKS = MAX_HEAD_BYTES // _BLOCK_BYTES
END_OF_HEAD = b"\r\n\r\n"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_TARGET = re.compile(r"[\x21-\x7e]+")  # no space, no control: RFC 9112 §3.2
_VALUE = re.compile(r"[^\x00\r\n]*")  # RFC 9110 §5.5: these three make a request of one's own choice


@dataclass(frozen=True, slots=True)
class Head:
    """A final response's status line and fields; names are lower-case, repeated fields joined by ", "."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the body without the transfer coding. The cuts between pieces have no meaning."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Complete:
    """The response is whole. `wire_bytes`: head, body, framing, and interim responses before it."""

    keep_alive: bool
    wire_bytes: int


Part = Head | Body | Complete


def request_head(method: str, path: str, host: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A request without a body. ValueError for a part that a head cannot hold unchanged (CR, LF, NUL, blanks)."""
    headers = headers or {}
    for what, text, allowed in (
        ("method", method, _TOKEN),
        ("path", path, _TARGET),
        ("host", host, _TARGET),
        *(("header name", name, _TOKEN) for name in headers),
        *(("header value", value, _VALUE) for value in headers.values()),
    ):
        if not allowed.fullmatch(text):
            raise ValueError(f"{what} {text!r} cannot stand in a request head")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Mode(Enum):
    HEAD = "head"
    LENGTH = "body of known length"
    CHUNKED = "chunked body"
    UNTIL_EOF = "body that ends with the connection"


class ResponseParser:
    """The responses of one connection, in order.

    `between_chunks`: no byte of the next chunk was read yet. `skipped`: the caller adds the bytes of whole chunks that
    it parsed itself, between two chunks.
    """

    def __init__(self) -> None:
        self.between_chunks = False
        self.skipped = 0
        self._parser = httptools.HttpResponseParser(self)
        self._mode = _Mode.HEAD
        self._partial = bytearray()  # of a head
        self._fields: list[tuple[bytes, bytes]] = []
        self._left = 0  # of a body of known length
        self._tail = b""  # last three bytes of a chunked body: its end may straddle two reads
        self._block = 0  # bytes of the current block of a chunked body
        self._moved = False  # the current block brought data or the end of a chunk
        self._still = 0  # whole blocks before it, one after another, that brought neither
        self._chunk_done = False
        self._heads = 0
        self._interim = False
        self._wire = 0
        self._parts: list[Part] = []
        self._fault = ""

    @property
    def idle(self) -> bool:
        """Between two responses: the connection may be closed or used for the next request."""
        return self._mode is _Mode.HEAD and not self._partial and not self._wire

    def feed(self, data: bytes) -> list[Part]:
        """Parts completed by `data`. Raises ProtocolError; after that, every call raises it."""
        if self._fault:
            raise ProtocolError(self._fault)
        parts: list[Part] = []
        self._parts = parts
        position, end = 0, len(data)
        try:
            while position < end:
                position = self._step(data, position, end)
        except ProtocolError as error:
            self._fault = str(error)
            error.events = tuple(parts)
            raise
        finally:
            self._parts = []
        # A byte after the end of a chunk belongs to a chunk-size line, whose LF makes llhttp report a chunk header.
        self.between_chunks = self._chunk_done and data.endswith(b"\n")
        return parts

    def hand(self, data: bytes, take: Callable[[list[Part]], None]) -> ProtocolError | None:
        """Hand the parts completed by `data` to `take`. Returns the first fault: of a part, or of what follows."""
        fault: ProtocolError | None = None
        try:
            parts = self.feed(data)
        except ProtocolError as error:
            parts, fault = list(error.events), error
        try:
            take(parts)
        except ProtocolError as error:
            return error
        return fault

    def eof(self) -> list[Part]:
        """The peer closed: completes a body that ends this way (RFC 9112 §6.3). Raises ProtocolError inside another."""
        if self._fault:
            raise ProtocolError(self._fault)
        if self._mode is _Mode.UNTIL_EOF:
            complete = Complete(False, self._wire)
            self._mode, self._wire = _Mode.HEAD, 0
            return [complete]
        if self.idle:
            return []
        self._fault = f"connection closed inside a response ({self._mode.value})"
        raise ProtocolError(self._fault)

    def _step(self, data: bytes, position: int, end: int) -> int:
        if self._mode is _Mode.HEAD:
            return self._head(data, position, end)
        if self._mode is _Mode.CHUNKED:
            return self._chunks(data, position, end)
        stop = end
        if self._mode is _Mode.LENGTH:
            stop = min(end, position + self._left)
            self._left -= stop - position
        self._execute(data[position:stop])
        return stop

    def _head(self, data: bytes, position: int, end: int) -> int:
        held = len(self._partial)
        if held:
            self._partial += data[position : position + MAX_HEAD_BYTES]
            found = self._partial.find(END_OF_HEAD, max(0, held - 3))
            size = found + 4 if found >= 0 else len(self._partial)
            head = bytes(self._partial[:size])
        else:
            found = data.find(END_OF_HEAD, position)
            stop = found + 4 if found >= 0 else end
            size = stop - position
            head = data[position : min(stop, position + MAX_HEAD_BYTES + 1)]
        if size > MAX_HEAD_BYTES:
            self._partial.clear()
            raise TooLarge(f"response head longer than {MAX_HEAD_BYTES} bytes")
        if found < 0:
            self._partial[:] = head
            return end
        self._partial.clear()
        if head.count(b"\n") - 2 > MAX_HEAD_FIELDS:
            raise TooLarge(f"response head with more than {MAX_HEAD_FIELDS} fields")
        self._heads = 0
        self._execute(head)
        if self._heads != 1:
            raise ProtocolError("malformed HTTP: no single response head before the empty line")
        return position + size - held

    def _chunks(self, data: bytes, position: int, end: int) -> int:
        # A chunked body ends with CR LF CR LF (RFC 9112 §7.1), so a piece that is cut there holds at most one end.
        if self.skipped:
            whole, self._block = divmod(self._block + self.skipped, _BLOCK_BYTES)
            self._still = 0 if whole else self._still
            self._moved, self.skipped = self._block > 0, 0
        end = min(end, position + _BLOCK_BYTES - self._block)
        straddle = (self._tail + data[position : min(position + 3, end)]).find(END_OF_HEAD)
        found = position + straddle - len(self._tail) if straddle >= 0 else data.find(END_OF_HEAD, position, end)
        stop = found + 4 if straddle >= 0 or found >= 0 else end
        piece = data[position:stop]
        self._tail = piece[-3:] if len(piece) >= 3 else (self._tail + piece)[-3:]
        self._execute(piece)
        # Chunk extensions and trailers have no bound in llhttp, and httptools keeps a field until it is whole.
        self._block += len(piece)
        if self._block == _BLOCK_BYTES:
            self._still = 0 if self._moved else self._still + 1
            self._block, self._moved = 0, False
            if self._still == _STILL_BLOCKS:
                raise TooLarge(f"chunk framing longer than {MAX_HEAD_BYTES} bytes")
        return stop

    def _execute(self, piece: bytes) -> None:
        self._wire += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            raise ProtocolError("unexpected 101 Switching Protocols") from None
        except httptools.HttpParserError as error:
            raise ProtocolError(f"malformed HTTP: {error}") from error

    # httptools' callbacks. They must not raise: httptools would hide the reason.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._mode is _Mode.HEAD:  # else a trailer, which nothing here needs
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._heads += 1
        status = self._parser.get_status_code()
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._fields:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._fields.clear()
        self._interim = 100 <= status < 200  # RFC 9110 §15.2: any number of them may come first
        if self._interim:
            return
        self._parts.append(Head(status, headers))
        # RFC 9112 §6.3; llhttp has refused both at once and lengths that are not decimal.
        coding = headers.get("transfer-encoding")
        if coding is not None:
            chunked = coding.rpartition(",")[2].strip().lower() == "chunked"
            self._mode = _Mode.CHUNKED if chunked else _Mode.UNTIL_EOF
            self._tail, self._block, self._still, self._moved = b"", 0, 0, False
        elif "content-length" in headers:
            self._mode, self._left = _Mode.LENGTH, int(headers["content-length"])
        else:
            self._mode = _Mode.UNTIL_EOF

    def on_body(self, data: bytes) -> None:
        self._moved = True
        self._parts.append(Body(data))

    def on_chunk_header(self) -> None:
        self._chunk_done = False

    def on_chunk_complete(self) -> None:
        self._chunk_done = self._moved = True

    def on_message_complete(self) -> None:
        self._chunk_done = False
        if self._interim:
            self._interim = False
            return
        self._parts.append(Complete(self._parser.should_keep_alive(), self._wire))
        self._mode, self._wire = _Mode.HEAD, 0
