"""One connection of HTTP/2 (RFC 9113) as a client: many requests at once, each answer as HTTP/1.1 would have it.

`h2` reads and writes the frames. What a stream receives comes out as the bytes of an HTTP/1.1 response, a DATA frame as
a chunk, so that every codec reads both versions of HTTP. Windows are opened as wide as the protocol allows when the
connection begins, so that no update is owed for the first GiB; `top_up` opens them again. A WebSocket is a stream,
too (RFC 8441): its response comes out as that to an upgrade, and what follows as it is.
Invariant: the pieces of a stream do not depend on how the bytes were split, except for the cuts between them. No
socket, no clock. Driven by `loadtests/reactor/http2.py` and by the clients of the conformance cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from websockets.utils import accept_key

from rtbench.transports import ProtocolError
from rtbench.transports.http import END_OF_HEAD

ALPN = "h2"
"""The name of HTTP/2 over TLS (RFC 9113 §3.2)."""
WIDEST = 2**31 - 1
"""The largest window (RFC 9113 §6.9.1), bytes."""
_FIRST_WINDOW = 65_535
_HEADER_LIST_BYTES = 64 * 1024
MAX_UNSENT_BYTES = 1024 * 1024
"""What a stream keeps for a server that opens no window for it."""
_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
"""Fields that HTTP/2 does not have (RFC 9113 §8.2.2)."""
_KEY = "sec-websocket-key"
"""The field that an upgrade has and RFC 8441 has not."""
_States, _Inputs = h2.connection.ConnectionState, h2.connection.ConnectionInputs


class _StateMachine(h2.connection.H2ConnectionStateMachine):
    """After GOAWAY the streams that the server has taken go on (RFC 9113 §6.8). h2 takes it for the end of them all."""

    _transitions: Any = h2.connection.H2ConnectionStateMachine._transitions | {
        (_States.CLIENT_OPEN, _Inputs.RECV_GOAWAY): (None, _States.CLIENT_OPEN)
    }


@dataclass(frozen=True, slots=True)
class Piece:
    """What one stream got. `data`: bytes of its response, in the form of HTTP/1.1. `over`: how the stream ended; empty:
    it goes on. `reset` and `refused` begin a reason (RFC 9113 §6.4, §8.7), `closed` is the end of the response."""

    stream: int
    data: bytes = b""
    over: str = ""


class Refused(Exception):
    """The connection takes no more streams; the text is the reason."""


class Http2Client:
    """The client's side of one connection.

    `limit`: how many streams the server allows at once; None before its SETTINGS came. `leaving`: it sent GOAWAY.
    `pings` and `updates`: PINGs that were answered, and WINDOW_UPDATEs that were sent after the first one.
    """

    def __init__(self, window: int = WIDEST, stream_window: int | None = None) -> None:
        """`window`: of the connection, and of each stream where `stream_window` is not given; bytes."""
        self.limit: int | None = None
        self.leaving = False
        self.pings = self.updates = 0
        self._fault = ""
        self._open: set[int] = set()
        self._chunked: set[int] = set()
        """Streams whose response has no length, so that their pieces are chunks."""
        self._upgrades: dict[int, str] = {}
        """What proves to a WebSocket's client that the server has read its request, by stream."""
        self._unsent: dict[int, bytes] = {}
        """What waits for the server to open a stream's window."""
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2: Any = h2.connection.H2Connection(configuration)
        self._h2.state_machine = _StateMachine()
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                codes.ENABLE_PUSH: 0,
                codes.INITIAL_WINDOW_SIZE: window if stream_window is None else stream_window,
                codes.MAX_HEADER_LIST_SIZE: _HEADER_LIST_BYTES,
            },
        )
        self._h2.initiate_connection()
        if window > _FIRST_WINDOW:
            self._h2.increment_flow_control_window(window - _FIRST_WINDOW)
        self._window = window

    def ask(self, head: bytes, beyond: bool = False) -> int:
        """Send a GET, given as the head of an HTTP/1.1 request; the number of its stream. Raises Refused.

        The head of an upgrade to WebSocket becomes an extended CONNECT (RFC 8441 §4); `send` then sends on its stream.

        `beyond`: ask even where the server's limit of streams is reached, to see what it does then.
        """
        if self._fault or self.leaving:
            raise Refused("the connection is ending")
        if beyond:
            allowed = self._h2.remote_settings
            allowed[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = WIDEST
            allowed.acknowledge()
        elif self.limit is not None and len(self._open) >= self.limit:
            raise Refused(f"the server allows {self.limit:,} streams a connection")
        fields, key = _fields(head)
        if key and not self._h2.remote_settings.enable_connect_protocol:
            raise Refused("the server takes no WebSocket over HTTP/2: it did not announce RFC 8441")
        stream: int = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, fields, end_stream=not key)
        self._open.add(stream)
        if key:
            self._upgrades[stream] = accept_key(key)
        return stream

    def send(self, stream: int, data: bytes) -> None:
        """Send on the stream of a WebSocket. Bytes beyond the server's window wait. Raises Refused when too many do."""
        if stream not in self._open:
            return
        data = self._unsent.pop(stream, b"") + data
        while data and (room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)) > 0:
            self._h2.send_data(stream, data[:room])
            data = data[room:]
        if len(data) > MAX_UNSENT_BYTES:
            raise Refused("the server does not read")
        if data:
            self._unsent[stream] = data

    def widen(self, stream: int) -> None:
        """Open a stream's window as wide as the protocol allows."""
        self._h2.increment_flow_control_window(WIDEST - self._h2.remote_flow_control_window(stream), stream)

    def reset(self, stream: int) -> None:
        """Leave a stream (CANCEL)."""
        self._forget(stream)
        try:
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:  # it is over
            return

    def feed(self, data: bytes) -> list[Piece]:
        """What the streams got. Raises ProtocolError with the pieces before the fault; the connection is then over."""
        if self._fault:
            raise ProtocolError(self._fault)
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._fault = f"HTTP/2: {error or type(error).__name__}"
            raise ProtocolError(self._fault) from error
        pieces: list[Piece] = []
        for event in events:
            self._take(event, pieces)
        for stream in list(self._unsent):
            self.send(stream, b"")
        return pieces

    def to_send(self) -> bytes:
        """Frames that are owed: the preface, SETTINGS, answers to PING; empty most of the time."""
        data: bytes = self._h2.data_to_send()
        return data

    def top_up(self) -> None:
        """Open the windows again, where the connection's is less than half open. The updates are then owed."""
        left = self._h2.inbound_flow_control_window
        if self._fault or left > self._window // 2:
            return
        self._h2.increment_flow_control_window(self._window - left)
        self.updates += 1
        for stream in self._open:
            room = self._h2.remote_flow_control_window(stream)
            if room < self._window:
                self._h2.increment_flow_control_window(self._window - room, stream)
                self.updates += 1

    def _take(self, event: Any, pieces: list[Piece]) -> None:
        kind = type(event)
        if kind is h2.events.DataReceived:
            self._data(event, pieces)
        elif kind is h2.events.ResponseReceived:
            pieces.append(Piece(event.stream_id, self._head(event.stream_id, event.headers)))
        elif kind is h2.events.StreamEnded:
            last = b"0\r\n\r\n" if event.stream_id in self._chunked else b""
            self._forget(event.stream_id)
            pieces.append(Piece(event.stream_id, last, "closed"))
        elif kind is h2.events.StreamReset:
            self._forget(event.stream_id)
            pieces.append(Piece(event.stream_id, over=_why(event.error_code)))
        elif kind is h2.events.PingReceived:
            self.pings += 1
        elif kind is h2.events.RemoteSettingsChanged:
            limit = event.changed_settings.get(h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS)
            self.limit = limit.new_value if limit is not None else WIDEST if self.limit is None else self.limit
        elif kind is h2.events.ConnectionTerminated:
            self.leaving = True
            for stream in sorted(self._open):
                if stream > event.last_stream_id:  # not taken, and never answered
                    self._forget(stream)
                    pieces.append(Piece(stream, over="closed"))

    def _forget(self, stream: int) -> None:
        self._open.discard(stream)
        self._chunked.discard(stream)
        self._upgrades.pop(stream, None)
        self._unsent.pop(stream, None)

    def _data(self, event: Any, pieces: list[Piece]) -> None:
        stream, data = event.stream_id, event.data
        if stream in self._chunked:
            if data:  # an empty chunk would end the body
                pieces.append(Piece(stream, b"%x\r\n%b\r\n" % (len(data), data)))
        else:
            pieces.append(Piece(stream, bytes(data)))

    def _head(self, stream: int, fields: list[tuple[str, str]]) -> bytes:
        """A response's head; one without a length becomes a chunked one."""
        status = next((value for name, value in fields if name == ":status"), "0")
        accepted = self._upgrades.get(stream, "") if status == "200" else ""
        lines = [f"HTTP/1.1 {status} "]
        if accepted:
            lines = ["HTTP/1.1 101 ", "upgrade: websocket", "connection: upgrade", f"sec-websocket-accept: {accepted}"]
            fields = [field for field in fields if field[0] != "sec-websocket-accept"]
        lines += [f"{name}: {value}" for name, value in fields if not name.startswith(":")]
        bodiless = status in ("204", "304") or bool(accepted)
        if not bodiless and not any(name == "content-length" for name, _ in fields):
            self._chunked.add(stream)
            lines.append("transfer-encoding: chunked")
        return ("\r\n".join(lines)).encode("utf-8", "surrogateescape") + END_OF_HEAD


def _why(code: Any) -> str:
    """The end of a stream that was reset. NO_ERROR: the server needs nothing more (RFC 9113 §8.1)."""
    try:
        name = h2.errors.ErrorCodes(code).name
    except ValueError:
        name = str(code)
    if name == "REFUSED_STREAM":
        return "refused (the server takes no more streams on this connection)"
    return "closed" if name == "NO_ERROR" else f"reset ({name})"


def _fields(head: bytes) -> tuple[list[tuple[str, str]], str]:
    """The fields of a request in HTTP/2 (RFC 9113 §8.3.1), from its head in HTTP/1.1 (`request_head`), and the key of
    an upgrade to WebSocket; empty: it is none."""
    line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = line.split(" ")
    pairs = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)]
    named = dict(pairs)
    key = named.get(_KEY, "") if named.get("upgrade", "").lower() == "websocket" else ""
    first = [(":method", "CONNECT"), (":protocol", "websocket")] if key else [(":method", method)]
    return [
        *first,
        (":scheme", "https"),
        (":authority", named.get("host", "")),
        (":path", path),
        *(pair for pair in pairs if pair[0] not in ("host", _KEY) and pair[0] not in _OF_THE_CONNECTION),
    ], key
