"""One connection that listens: it reads a stream until it has seen enough, and notes when each byte came.

It uses the sockets of `rtbench.conformance` and the parsers of `rtbench.transports`, and knows nothing of rtbench's
own messages: an event of any type counts. Invariant: every step ends at its deadline or at the limit of bytes,
whatever the server does. Acknowledgements are delayed on purpose: a server that leaves Nagle's algorithm on then shows
its pauses. Used by `rtbench.diagnosis._gathering`, one thread each.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from rtbench.conformance._client import connect
from rtbench.conformance._target import Target
from rtbench.diagnosis._evidence import Limits
from rtbench.diagnosis._recording import CUT, ENDED, EVENT, HEARTBEAT, OPEN, RETRY, Item, Recording
from rtbench.transports import Asked, Closed, Heartbeat, Message, Opened, ProtocolError
from rtbench.transports.catalogue import find
from rtbench.transports.http import END_OF_HEAD, Body, Complete, Head, ResponseParser, request_head
from rtbench.transports.sse import Comment, EventStreamParser, Retry, ServerSentEvent
from rtbench.transports.websocket import ping_frame, text_frame

_SLICE_S = 0.1
_TEXT_BYTES, _BEGINNING_BYTES, _MOST_STRANGE = 2048, 4096, 5
_MOST_ITEMS = _MOST_READS = 20_000
_EVENT_BYTES = 4 * 2**20
_FIELD = re.compile(rb"(data|event|id|retry)(:|$)|:")
_LOOKS = re.compile(rb"\s*(data|event|id|retry)?:")
_NORMAL = (1000, 1001)
PING = b"rtcheck"


class Listener(threading.Thread):
    """A connection to `target`; `recording` is its value so far, also while it runs.

    `until`: enough was seen. `most_s`: the longest from the request on. `farewell`: ping and close a WebSocket at last.
    `keep_bytes`: of the body.
    """

    def __init__(
        self,
        target: Target,
        path: str,
        limits: Limits,
        *,
        headers: Mapping[str, str] | None = None,
        most_s: float | None = None,
        until: Callable[[Listener], bool] = lambda _: False,
        farewell: bool = False,
        keep_bytes: int = _BEGINNING_BYTES,
    ) -> None:
        super().__init__(daemon=True, name="listener")
        self._target, self._path, self._limits = target, path, limits
        self._headers = dict(headers or {})
        self._most_s = limits.seconds if most_s is None else most_s
        self._until, self._farewell, self._keep = until, farewell, keep_bytes
        self._enough = threading.Event()
        self.asked_at = time.monotonic()
        self.status, self.line, self.head_at = 0, "", 0.0
        self.fields: tuple[str, ...] = ()
        self.headers: Mapping[str, str] = {}
        self.reads: list[tuple[float, int]] = []
        self.items: list[Item] = []
        self._size = self._body_bytes = self._data_lines = self._code = 0
        self._state, self._why, self._said = OPEN, "", ""
        self._pong: bool | None = None
        self._stopped_at = 0.0
        self._raw = bytearray()
        self._beginning = bytearray()
        self._strange: list[str] = []
        self._rest = b""
        self._began: float | None = None
        self._pause = 0.0
        self._stream: EventStreamParser | None = None
        self._unzip: Any = None
        self._http = ResponseParser()
        self._socket: Any = None
        if target.transport == "websocket":
            subject = target.subject
            asked = Asked(
                host=target.authority,
                path=path,
                headers={**(subject.headers if subject is not None else {}), **self._headers},
                subprotocol=subject.subprotocol if subject is not None else "",
                carries_id="none",
            )
            self._socket = find("websocket").make(asked)

    def begin(self) -> Listener:
        """Start the thread."""
        self.start()
        return self

    def enough(self) -> None:
        """Stop soon."""
        self._enough.set()

    def finish(self) -> Recording:
        """Stop, wait for the thread, and return what came."""
        self.enough()
        return self.wait()

    def wait(self) -> Recording:
        """Wait for the thread's own end, and return what came."""
        self.join()
        return self.recording

    @property
    def over(self) -> bool:
        """The server ended the connection, or nothing more is read."""
        return self._state != OPEN or not self.is_alive()

    @property
    def recording(self) -> Recording:
        """What came so far."""
        return Recording(
            self.asked_at, self.status, self.line, self.fields, self.headers, self.head_at, tuple(self.reads),
            tuple(self.items), self._body_bytes, bytes(self._beginning), tuple(self._strange), self._data_lines,
            self._state, self._why, self._code, self._stopped_at or time.monotonic(),
            self._size >= self._limits.bytes, self._pong, self._said,
        )  # fmt: skip

    def run(self) -> None:
        """Connect, ask, read to the end."""
        try:
            with connect(self._target) as link:
                self.asked_at = time.monotonic()
                link.sendall(self._request())
                self._read(link, self.asked_at + self._most_s)
                self._stopped_at = time.monotonic()
                if self._farewell and self._state == OPEN and self.status == 101:
                    self._leave(link)
        except (OSError, ProtocolError) as error:
            if self._state == OPEN:
                self._state, self._why = CUT, str(error)
        finally:
            self._stopped_at = self._stopped_at or time.monotonic()

    def _request(self) -> bytes:
        if self._socket is not None:
            opening: bytes = self._socket.open()
            return opening
        subject = self._target.subject
        fields = {"Cache-Control": "no-cache", **(subject.headers if subject is not None else {}), **self._headers}
        return request_head("GET", self._path, self._target.authority, fields)

    def _read(self, link: socket.socket, deadline: float) -> None:
        while self._state == OPEN and not self._enough.is_set() and not self._until(self):
            left = deadline - time.monotonic()
            full = len(self.items) >= _MOST_ITEMS or len(self.reads) >= _MOST_READS
            if left <= 0 or self._size >= self._limits.bytes or full:
                return
            # Pingpong mode: acknowledgements wait for 40 ms, as an interactive client's do (tcp(7), TCP_QUICKACK).
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            link.settimeout(min(_SLICE_S, left))
            try:
                data = link.recv(65536)
            except TimeoutError:
                continue
            self._take(link, data)

    def _take(self, link: socket.socket, data: bytes) -> None:
        now = time.monotonic()
        before = self.reads[-1][0] if self.reads else now
        if data:
            self.reads.append((now, len(data)))
            self._size += len(data)
            self._pause = max(self._pause, now - before) if self._began is not None else 0.0
            if len(self._raw) < _BEGINNING_BYTES and not self.status:
                self._raw += data
        try:
            if self._socket is not None:
                self._frames(link, data, now)
            else:
                self._body(data, now)
        except ProtocolError as error:
            self._state, self._why = CUT, str(error)

    # WebSocket

    def _frames(self, link: socket.socket, data: bytes, now: float) -> None:
        events = self._socket.feed(data) if data else self._socket.eof()
        for event in events:
            if isinstance(event, Opened):
                self._opened(event.status, event.headers, now)
                for text in self._target.subject.greeting if self._target.subject is not None else ():
                    link.sendall(text_frame(text))
            elif isinstance(event, Heartbeat):
                self._add(HEARTBEAT, now)
            elif isinstance(event, Message):
                self._add(EVENT, now, text=event.payload)
            elif isinstance(event, Closed):
                self._state = ENDED if event.code in _NORMAL else CUT
                self._why, self._code = event.reason, event.code
        if owed := self._socket.to_send():
            link.sendall(owed)
        self._under_way(not self._socket.idle, now, bool(events))

    def _leave(self, link: socket.socket) -> None:
        """Ping, then the closing handshake (RFC 6455 §5.5.3, §7.1): what the server answers."""
        deadline = time.monotonic() + self._limits.patience_s
        self._pong, seen = False, b""
        link.sendall(ping_frame(PING))
        wanted = bytes((0x8A, len(PING))) + PING
        while not self._pong and self._state == OPEN and (data := _received(link, deadline)) is not None:
            seen = seen[-64:] + data
            self._pong = wanted in seen
            self._quietly(link, data)
        if self._state != OPEN:
            return
        self._said = "ignored"
        self._socket.close()
        link.sendall(self._socket.to_send())
        deadline = time.monotonic() + self._limits.patience_s
        while self._said == "ignored" and (data := _received(link, deadline)) is not None:
            if any(isinstance(event, Closed) and event.code != 1006 for event in self._quietly(link, data)):
                self._said = "echoed"
            elif not data:
                self._said = "dropped"

    def _quietly(self, link: socket.socket, data: bytes) -> list[Any]:
        events: list[Any] = self._socket.feed(data) if data else self._socket.eof()
        with contextlib.suppress(OSError):
            link.sendall(self._socket.to_send())
        return events

    # HTTP

    def _body(self, data: bytes, now: float) -> None:
        fault: ProtocolError | None = None
        try:
            parts: list[Any] = self._http.feed(data) if data else self._http.eof()
        except ProtocolError as error:
            parts, fault = list(error.events), error
        count = len(self.items)
        for part in parts:
            if isinstance(part, Head):
                self._opened(part.status, part.headers, now)
            elif isinstance(part, Body):
                self._text(part.data, now)
            elif isinstance(part, Complete):
                # Without a length or chunks, the end of the connection is the only end there is.
                framed = "content-length" in self.headers or "transfer-encoding" in self.headers
                self._state = ENDED if framed or self.status != 200 else CUT
                self._why = "the answer ended" if framed else "the connection was closed"
                return
        if fault is not None:
            raise fault
        if not data and self._state == OPEN:
            self._state, self._why = CUT, "the connection was closed without an answer"
        chunked = "chunked" in self.headers.get("transfer-encoding", "")
        inside = (self._stream is not None and not self._stream.idle) or (chunked and not self._http.between_chunks)
        self._under_way(bool(self._body_bytes) and inside, now, len(self.items) > count)

    def _opened(self, status: int, headers: Mapping[str, str], now: float) -> None:
        self.status, self.headers, self.head_at = status, headers, now
        lines = bytes(self._raw).partition(END_OF_HEAD)[0].decode("latin-1").split("\r\n")
        self.line, self.fields = lines[0], tuple(lines[1:])
        if headers.get("content-type", "").startswith("text/event-stream"):
            self._stream = EventStreamParser(_EVENT_BYTES)
        coding = headers.get("content-encoding", "").strip().lower()
        self._unzip = zlib.decompressobj(47) if coding in ("gzip", "deflate") else None

    def _text(self, data: bytes, now: float) -> None:
        self._body_bytes += len(data)
        if self._unzip is not None:
            try:
                data = self._unzip.decompress(data, _EVENT_BYTES)
            except zlib.error as error:
                raise ProtocolError(f"wrong {self.headers.get('content-encoding')}: {error}") from error
        if len(self._beginning) < self._keep:
            self._beginning += data[: self._keep - len(self._beginning)]
            self._lines(data)
        if self._stream is None and self.status == 200 and _LOOKS.match(self._beginning):
            self._stream = EventStreamParser(_EVENT_BYTES)
        if self._stream is None:
            return
        for item in self._stream.feed(data):
            if isinstance(item, ServerSentEvent):
                self._add(EVENT, now, id=item.last_event_id, type=item.type, text=item.data)
            elif isinstance(item, Comment):
                self._add(HEARTBEAT, now, text=item.text)
            elif isinstance(item, Retry):
                self._add(RETRY, now, id=str(item.after_ms), type="notice" if item.in_notice else "")

    def _lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._data_lines += line.startswith(b"data")
            if line and not _FIELD.match(line) and len(self._strange) < _MOST_STRANGE:
                self._strange.append(line[:80].decode("utf-8", "replace"))

    # Items

    def _add(self, kind: str, now: float, *, id: str = "", type: str = "", text: bytes = b"") -> None:
        began = self._began if self._began is not None else now
        read, digest = len(self.reads), zlib.crc32(text)
        self.items.append(Item(kind, now, began, self._pause, read, id, type, text[:_TEXT_BYTES], len(text), digest))
        self._began, self._pause = None, 0.0

    def _under_way(self, inside: bool, now: float, completed: bool) -> None:
        """Note whether an event has begun and is not whole yet."""
        if not inside:
            self._began, self._pause = None, 0.0
        elif self._began is None or completed:
            self._began, self._pause = now, 0.0


def looks_like_events(beginning: bytes) -> bool:
    """Whether a body begins as an event stream does."""
    return bool(_LOOKS.match(beginning))


def _received(link: socket.socket, deadline: float) -> bytes | None:
    """The next bytes, empty at the end of the connection; None at the deadline."""
    left = deadline - time.monotonic()
    if left <= 0:
        return None
    link.settimeout(left)
    try:
        return link.recv(65536)
    except TimeoutError:
        return None
    except OSError:
        return b""
