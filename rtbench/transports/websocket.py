"""WebSocket as a client reads it (RFC 6455): frames out of bytes, the codec, and a scanner for deferred decoding.

The handshake and whatever is unusual (fragments, control frames, closing, faults) go through `websockets`' Sans-I/O
`ClientProtocol`, one complete frame at a time; a plain, complete, unfragmented text frame is parsed in place.

Invariant: every frame is judged by `FrameSplitter` or by the same rules in place, so that what comes out does not
depend on how the bytes were split. Called by the load generator (`plain`, `ControlScanner` inside the window,
`WebSocketClient` to decode), `rtbench verify` and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, PayloadTooBig
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from rtbench.transports import Asked, Closed, Event, Heartbeat, Opened, ProtocolError, TooLarge
from rtbench.transports.catalogue import Transport
from rtbench.transports.coding import Inflater
from rtbench.transports.envelope import Reader, reader
from rtbench.transports.http import END_OF_HEAD, MAX_HEAD_BYTES, Head, ResponseParser, request_head

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
PLAIN_TEXT = 0x81  # FIN and opcode 1, nothing else
DEFLATED = 0x40  # RSV1: the message is compressed (RFC 7692 §6)
_SWITCHING = b"HTTP/1.1 101 "
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})


class FrameError(ProtocolError):
    """A frame that breaks RFC 6455; `code`: the close code for the fault (§7.4.1)."""

    def __init__(self, message: str, events: Sequence[object] = (), code: int = 1002) -> None:
        super().__init__(message, events)
        self.code = code


class FrameTooLong(FrameError, TooLarge):
    """A frame that is longer than the limit."""


def plain(data: bytes, start: int, end: int) -> bool:
    """Whether `data[start:end]` is exactly one complete, unfragmented text frame of at most 64 KiB, compressed or not.

    A compressed one that was not negotiated is found when it is decoded.
    """
    size = end - start
    if size < 2 or data[start] & ~DEFLATED != PLAIN_TEXT:
        return False
    length = data[start + 1]
    if length < 126:
        return size == length + 2
    return length == 126 and size >= 130 and size == (data[start + 2] << 8 | data[start + 3]) + 4


class FrameSplitter:
    """Complete raw server frames, header included (RFC 6455 §5.2). A header is checked before its payload is kept."""

    def __init__(self, max_frame_bytes: int = MAX_MESSAGE_BYTES, *, deflate: bool = False) -> None:
        """`deflate`: permessage-deflate was negotiated, so that RSV1 may be set on a message's first frame."""
        self._limit = max_frame_bytes
        self._reserved = 0x30 if deflate else 0x70
        self._held = bytearray()
        self._need = 2
        self._fault: FrameError | None = None

    @property
    def idle(self) -> bool:
        """No byte of the next frame was read yet."""
        return not self._held

    def feed(self, data: bytes) -> list[bytes]:
        """Frames completed by `data`. Raises FrameError with the frames before it; after that, every call raises it."""
        if self._fault is not None:
            raise FrameError(str(self._fault), code=self._fault.code)
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        frames: list[bytes] = []
        position, end = 0, len(data)
        try:
            while position < end:
                self._need = need = self._measure(data, position, end - position)
                if need > end - position:
                    self._held += data[position:]
                    break
                frames.append(data[position : position + need])
                position += need
        except FrameError as error:
            self._fault = error
            error.events = tuple(frames)
            raise
        return frames

    def _measure(self, data: bytes, at: int, have: int) -> int:
        """The size of the frame at `at`; with an incomplete header, the number of bytes needed to continue."""
        if have < 2:
            return 2
        first, length = data[at], data[at + 1]
        opcode = first & 0x0F
        if first & self._reserved or (first & DEFLATED and opcode not in (_TEXT, _BINARY)):
            raise FrameError("reserved bits set without an extension")  # §5.2, RFC 7692 §6.1
        if opcode not in _OPCODES:
            raise FrameError(f"reserved opcode {opcode:#x}")
        if length & 0x80:
            raise FrameError("masked frame from a server")  # §5.1
        if opcode >= _CLOSE and (length > 125 or not first & 0x80):
            raise FrameError("control frame fragmented or longer than 125 bytes")  # §5.5
        header = 2
        if length >= 126:
            header = 4 if length == 126 else 10
            if have < header:
                return header
            shortest = 126 if length == 126 else 65536
            length = int.from_bytes(data[at + 2 : at + header], "big")
            if length < shortest:
                raise FrameError("payload length not in its shortest form")  # §5.2
        if length > self._limit:
            raise FrameTooLong(f"frame of {length} bytes, limit {self._limit}", code=1009)
        return header + length


def _payload(frame: bytes) -> bytes:
    length = frame[1] & 0x7F
    return frame[2 if length < 126 else 4 if length == 126 else 10 :]


def _client_frame(opcode: Opcode, data: bytes) -> bytes:
    return Frame(opcode, data).serialize(mask=True)  # §5.3: a client masks, with an unpredictable key


def text_frame(text: str) -> bytes:
    """A client's text frame, masked."""
    return _client_frame(Opcode.TEXT, text.encode())


def ping_frame(data: bytes) -> bytes:
    """A client's ping, masked."""
    return _client_frame(Opcode.PING, data)


def codec(asked: Asked) -> WebSocketClient:
    """The codec for a subscriber's request."""
    names = (asked.subprotocol,) if asked.subprotocol else ()
    read = reader(asked.carries_id, asked.json_payload, asked.payload)
    deflate = asked.compression == "deflate"
    return WebSocketClient(
        asked.host, asked.resuming, headers=asked.headers, subprotocols=names, read=read, deflate=deflate
    )


class WebSocketClient:
    """A `Codec`. Text and binary messages must be envelopes (`rtbench.transports.envelope`).

    `json_payload`: see `unwrap`. permessage-deflate is negotiated by `websockets`; frames stay as they came, and a
    message is inflated when it is whole.

    Closed comes with the server's close frame (its echo is then in `to_send`), with a refused handshake as soon as
    its head is there, or with `eof`; nothing is read after it.
    """

    def __init__(
        self,
        host: str,
        path: str,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        headers: Mapping[str, str] = MappingProxyType({}),
        subprotocols: Sequence[str] = (),
        *,
        json_payload: bool | None = None,
        read: Reader | None = None,
        deflate: bool = False,
    ) -> None:
        """`deflate`: offer permessage-deflate, as browsers do."""
        request_head("GET", path, host, headers)  # ValueError for what cannot stand in a request
        self._protocol = ClientProtocol(
            parse_uri(f"ws://{host}{path}"),
            extensions=[ClientPerMessageDeflateFactory()] if deflate else None,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=max_message_bytes,
        )
        self._headers = headers
        self._read = read or reader("protocol", json_payload)
        self._limit = max_message_bytes
        self._splitter = FrameSplitter(max_message_bytes)
        self._inflater: Inflater | None = None
        self._deflated = False  # the message of these fragments
        self._head = bytearray()
        self._fragments: bytearray | None = None  # of the unfinished message; websockets limits their sum
        self._binary = False  # the message of these fragments; UTF-8 is for text only (§5.6)
        self._open = False
        self._closed = False
        self._fault = ""

    @property
    def idle(self) -> bool:
        """Between two messages: no byte of the next one was read yet."""
        return self._splitter.idle and self._fragments is None

    def open(self) -> bytes:
        """The opening handshake (RFC 6455 §4.1)."""
        request = self._protocol.connect()
        for name, value in self._headers.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        return self.to_send()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake, unless it has begun; Closed comes with the server's answer."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)

    def to_send(self) -> bytes:
        """Pongs and the client's close frame, masked."""
        return b"".join(self._protocol.data_to_send())

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`; after Closed nothing is read any more. Raises ProtocolError."""
        if self._closed:
            return []
        if self._fault:
            raise ProtocolError(self._fault)
        events: list[Event] = []
        try:
            if self._open:
                self._frames(data, events)
            else:
                self._handshake(data, events)
        except ProtocolError as error:
            self._fault = str(error)
            if self._protocol.state is State.OPEN:  # websockets has not failed the connection itself (§7.1.7)
                self._protocol.fail(error.code if isinstance(error, FrameError) else 1007)
            error.events = tuple(events)
            raise
        return events

    def eof(self) -> list[Event]:
        """Closed with code 1006 (RFC 6455 §7.1.5), once, if no close frame came before."""
        if self._closed:
            return []
        self._closed = True
        missing = "a close frame" if self._open else "the handshake's response"
        return [Closed(False, 1006, self._fault or f"connection closed without {missing}")]

    def _handshake(self, data: bytes, events: list[Event]) -> None:
        held = len(self._head)
        self._head += data
        found = self._head.find(END_OF_HEAD, max(0, held - 3))
        size = found + 4 if found >= 0 else len(self._head)
        if size > MAX_HEAD_BYTES:
            self._head.clear()
            raise TooLarge(f"response head longer than {MAX_HEAD_BYTES} bytes")
        if found < 0:
            return
        head, rest = bytes(self._head[:size]), bytes(self._head[size:])
        self._head.clear()
        if not head.startswith(_SWITCHING):
            self._refused(head, events)
            return
        self._protocol.receive_data(head)
        for response in self._protocol.events_received():
            assert isinstance(response, Response)
            headers: dict[str, str] = {}
            for raw_name, value in response.headers.raw_items():
                name = raw_name.lower()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            events.append(Opened(response.status_code, headers))
        fault = self._protocol.handshake_exc
        if fault is None:
            self._open = True
            self._agreed()
            self._frames(rest, events)
        elif isinstance(fault, InvalidHandshake) and events:
            self._closed = True
            events.append(Closed(False, reason=str(fault)))
        else:
            raise ProtocolError(f"handshake: {fault.__cause__ or fault}")

    def _agreed(self) -> None:
        """Take permessage-deflate over from the protocol if it was negotiated: messages are inflated here."""
        for extension in self._protocol.extensions:
            assert isinstance(extension, PerMessageDeflate)
            self._inflater = Inflater(not extension.remote_no_context_takeover, self._limit)
            self._splitter = FrameSplitter(self._limit, deflate=True)
        self._protocol.extensions = []

    def _refused(self, head: bytes, events: list[Event]) -> None:
        for part in ResponseParser().feed(head):
            if isinstance(part, Head):
                self._closed = True
                events += (Opened(part.status, part.headers), Closed(False, reason=f"status {part.status}"))
        if not self._closed:
            raise ProtocolError("interim response instead of a handshake")

    def _frames(self, data: bytes, events: list[Event]) -> None:
        if self._splitter.idle and self._fragments is None:
            done = self._in_place(data, events)
            if done == len(data):
                return
            if done:
                data = data[done:]
        fault: FrameError | None = None
        try:
            frames = self._splitter.feed(data)
        except FrameError as error:
            frames, fault = list(error.events), error
        for frame in frames:
            if frame[0] & ~DEFLATED == PLAIN_TEXT and self._fragments is None:
                self._message(_payload(frame), events, deflated=frame[0] != PLAIN_TEXT)
            else:
                self._unusual(frame, events)
                if self._closed:
                    return
        if fault is not None:
            raise fault

    def _in_place(self, data: bytes, events: list[Event]) -> int:
        """Takes the plain text frames at the start of `data`; returns how many bytes they were."""
        position, last = 0, len(data) - 2
        other = PLAIN_TEXT if self._inflater is None else PLAIN_TEXT | DEFLATED
        while position <= last and ((first := data[position]) == PLAIN_TEXT or first == other):
            length = data[position + 1]
            if length < 126:
                start = position + 2
            elif length == 126 and position + 2 <= last:
                length = data[position + 2] << 8 | data[position + 3]
                start = position + 4
                if length < 126:
                    break
            else:
                break
            stop = start + length
            if stop - 2 > last or length > self._limit:
                break
            self._message(data[start:stop], events, deflated=first != PLAIN_TEXT)
            position = stop
        return position

    def _message(self, text: bytes, events: list[Event], binary: bool = False, deflated: bool = False) -> None:
        if deflated:
            assert self._inflater is not None
            text = self._inflater.message(text)
        if not binary and not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                raise FrameError(f"message is not UTF-8: {error.reason}", code=1007) from error  # §8.1
        events.append(self._read(text))

    def _unusual(self, raw: bytes, events: list[Event]) -> None:
        if self._fragments is not None and raw[0] & 0x0F == _CLOSE:
            self._protocol.current_size = None  # §5.4 allows a close between fragments, websockets refuses it
        deflated = bool(raw[0] & DEFLATED)
        self._protocol.receive_data(bytes((raw[0] & ~DEFLATED,)) + raw[1:] if deflated else raw)
        fault = self._protocol.parser_exc
        if fault is not None:
            self._fragments = None
            raise (TooLarge if isinstance(fault, PayloadTooBig) else ProtocolError)(str(fault))
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.PING:
                events.append(Heartbeat())
            elif frame.opcode is Opcode.CLOSE:
                close = self._protocol.close_rcvd
                assert close is not None
                self._closed = True
                events.append(Closed(close.code in (1000, 1001), close.code, close.reason))
            elif frame.opcode is not Opcode.PONG:
                if frame.opcode is not Opcode.CONT:
                    self._binary, self._deflated = frame.opcode is Opcode.BINARY, deflated
                if self._fragments is None:
                    self._fragments = bytearray()
                self._fragments += frame.data
                if frame.fin:
                    message, self._fragments = bytes(self._fragments), None
                    self._message(message, events, self._binary, self._deflated)


class ControlScanner:
    """The replies that a connection owes its server while the decoding of its messages is deferred.

    `handshake=True` expects the response head first and steps over it. After a close frame, or a head that is not
    101, `closed` is true, `close_code` is the reason (1006: the handshake was refused), and nothing more is read.
    """

    def __init__(
        self, max_frame_bytes: int = MAX_MESSAGE_BYTES, *, handshake: bool = False, deflate: bool = False
    ) -> None:
        self.close_code: int | None = None
        self._splitter = FrameSplitter(max_frame_bytes, deflate=deflate)
        self._head: bytearray | None = bytearray() if handshake else None

    @property
    def idle(self) -> bool:
        """At a frame boundary: a read that is `plain` need not be scanned."""
        return self._head is None and self._splitter.idle

    @property
    def closed(self) -> bool:
        """A close frame was seen; `scan` has returned its echo."""
        return self.close_code is not None

    def scan(self, data: bytes) -> bytes:
        """The bytes to send now, often none: pongs (RFC 6455 §5.5.3) and a close frame's echo (§5.5.1).

        Raises FrameError for a frame that no server may send; the caller must then drop the connection.
        """
        if self.closed:
            return b""
        if self._head is not None:
            data = self._step_over(data)
        owed: list[bytes] = []
        fault: FrameError | None = None
        try:
            frames = self._splitter.feed(data)
        except FrameError as error:
            frames, fault = list(error.events), error
        for frame in frames:
            opcode = frame[0] & 0x0F
            if opcode == _PING:
                owed.append(_client_frame(Opcode.PONG, frame[2:]))
            elif opcode == _CLOSE:
                body = frame[2:]
                self.close_code = int.from_bytes(body[:2], "big") if len(body) >= 2 else 1005  # §7.1.5
                owed.append(_client_frame(Opcode.CLOSE, body[:2] if len(body) >= 2 else b""))
                return b"".join(owed)
        if fault is not None:
            raise fault
        return b"".join(owed)

    def _step_over(self, data: bytes) -> bytes:
        assert self._head is not None
        held = len(self._head)
        self._head += data
        found = self._head.find(END_OF_HEAD, max(0, held - 3))
        if (found + 4 if found >= 0 else len(self._head)) > MAX_HEAD_BYTES:
            self._head.clear()
            raise TooLarge(f"response head longer than {MAX_HEAD_BYTES} bytes")
        if found < 0:
            return b""
        head, self._head = bytes(self._head), None
        if not head.startswith(_SWITCHING):
            self.close_code = 1006
            return b""
        return head[found + 4 :]


TRANSPORTS = (Transport("websocket", "/ws", "WebSocketUser", "WebSocket", make=codec, place=2),)
