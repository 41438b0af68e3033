"""One TCP connection of one subscriber, by transport: what it sends, and what it must look at while it is read.

Invariant: within a read a link does no more than its transport owes at once: a push link looks at its response head,
and for WebSocket at pings and closes; a polling link looks at the end of a response to ask again. Messages are left
to the recorder, which feeds `codec` from the capture buffer. Created by the users, driven by the reactor.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtbench.records.tables import FOR_GOOD
from rtbench.streams import find
from rtbench.transports import Asked, Codec, ProtocolError
from rtbench.transports.catalogue import Transport
from rtbench.transports.tcp import OK
from rtbench.transports.websocket import ControlScanner, plain, text_frame

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.reactor import Reactor
    from rtbench.loadtests.subscriber import Subscriber

_TCP_INFO = 11
_ACKED_RECEIVED = struct.Struct("<QQ")
_SENT = struct.Struct("<Q")
_CLOSE_WAIT = 8
_LAST_CHUNK = b"\r\n0\r\n\r\n"
"""What a chunked body ends with (RFC 9112 §7.1), behind the chunk or the head before it."""
_LAST_RECEIVED_MS = struct.Struct("<I")


def tcp_bytes(sock: Any) -> tuple[int, int]:
    """(received, sent) stream bytes of a TCP socket, from TCP_INFO (R5); (-1, -1) where the kernel has none.

    Received counts what arrived in order; sent counts what was sent, less what was sent again.
    """
    try:
        info = sock.getsockopt(6, _TCP_INFO, 256)
    except OSError:
        return -1, -1
    if len(info) < 216:
        return -1, -1
    _, received = _ACKED_RECEIVED.unpack_from(info, 120)
    received -= info[0] == _CLOSE_WAIT  # the peer's FIN, which takes a sequence number, was counted with them
    (sent,) = _SENT.unpack_from(info, 200)
    (again,) = _SENT.unpack_from(info, 208)
    return received, sent - again


def silent_s(sock: Any) -> float:
    """How long nothing was received on a TCP socket (tcpi_last_data_recv); 0 where the kernel does not say."""
    try:
        info = sock.getsockopt(6, _TCP_INFO, 64)
    except OSError:
        return 0.0
    return _LAST_RECEIVED_MS.unpack_from(info, 52)[0] / 1000 if len(info) >= 56 else 0.0


class Link:
    """What all transports share."""

    socket: Any
    read: Callable[..., Any]
    codec: Any

    def __init__(self, reactor: Reactor, subscriber: Subscriber) -> None:
        self.reactor = reactor
        self.subscriber = subscriber
        self.connection = subscriber.connections
        self.index = -1
        self.look: Callable[[int, int, int], None] | None = None
        self.but_plain_text = False
        self.started_ns = -1
        self.connected_ns = -1
        self.response_ns = -1
        self.first_message_ns = -1
        self.closed_ns = -1
        self.outcome = "open"
        self.local_port = 0
        self.status = 0
        self.accepted = False  # the server said yes
        self.received_bytes = self.sent_bytes = -1
        self.at_start = (-1, -1)
        self.at_end = (-1, -1)
        self.deaf = False
        """Whether it stops reading when the window opens."""
        self.last_stamp_ns = 0
        self.last_row = -1
        self._unsent = b""

    def watch(self, look: Callable[[int, int, int], None] | None, but_plain_text: bool = False) -> None:
        """From now on `look(start, end, now_ns)` at each read, which is in the capture buffer from `start` to `end`.

        `but_plain_text`: there is nothing to see in a read that is one whole text frame.
        """
        self.look, self.but_plain_text = look, but_plain_text
        self.reactor.heed(self)

    def connected(self) -> None:
        """The socket is connected: ask."""
        self.local_port = self.socket.getsockname()[1]
        self.send(self.request())

    def secured(self) -> None:
        """The TLS handshake is done: ask."""
        self.connected()

    def request(self) -> bytes:
        """The first bytes to send."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send, and keep what the socket does not take until it does."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # its end shows as a read
        if sent < len(data):
            self._unsent = data[sent:]
            self.reactor.listen(self, also_write=True)

    def flush(self) -> None:
        """There is room again."""
        data, self._unsent = self._unsent, b""
        self.reactor.listen(self)
        if data:
            self.send(data)

    def over(self, outcome: str) -> None:
        """The connection is over, whoever ended it."""
        if self.closed_ns < 0:
            self.closed_ns = time.monotonic_ns()
            self.outcome = "closed unanswered" if outcome == "closed" and not self.accepted else outcome
            self.received_bytes, self.sent_bytes = tcp_bytes(self.socket)
            self.reactor.forget(self)
            self.noticed()

    def noticed(self) -> None:
        """Tell who wants to know that it is over."""
        self.subscriber.ended(self)

    def bytes_now(self) -> tuple[int, int]:
        """`tcp_bytes` now, or what they were at its end."""
        return tcp_bytes(self.socket) if self.closed_ns < 0 else (self.received_bytes, self.sent_bytes)


class PushLink(Link):
    """SSE and WebSocket: one request, then whatever comes."""

    expects = 200
    head_end = b"\r\n\r\n"
    codec: Codec

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber)
        self.codec = subscriber.make(asked)
        self._head = b""
        self.look = self._opening

    def request(self) -> bytes:
        return self.codec.open()

    def _opening(self, start: int, end: int, now_ns: int) -> None:
        if self.response_ns < 0:
            self.response_ns = now_ns
        self._head += bytes(self.reactor.capture.view[start:end])
        stop = self._head.find(self.head_end)
        if stop < 0:
            if len(self._head) > 65536:
                self.over("error (no response head)")
            return
        head, rest = self._head[:stop], self._head[stop + len(self.head_end) :]
        self._head = b""
        if refused := self.accepts(head):
            self.over(refused)
            return
        self.subscriber.subscribed(self)
        self.opened(rest)  # which may be all there is: the server's farewell

    def accepts(self, head: bytes) -> str:
        """Empty when the server said yes, else the connection's outcome."""
        status = head[9:12]
        self.status = int(status) if status.isdigit() else 0
        if self.status == self.expects:
            return ""
        # 204 is how an EventSource is told to stop (WHATWG 9.2.3); to a WebSocket it is a refusal like others.
        stopped = self.status == 204 and self.subscriber.transport == "sse"
        if stopped:
            return FOR_GOOD[2]
        # A WebSocket is asked of what streams events: the status, 200, does not show what is wrong.
        other = " text/event-stream: is this SSE?" if self.expects == 101 and b"text/event-stream" in head else ""
        return f"error (status {self.status}{other})"

    def opened(self, rest: bytes) -> None:
        """The head is read; `rest` came behind it."""
        self.watch(None)


class StreamLink(PushLink):
    """Server-Sent Events and the like: nothing to say any more. The response of a stream that ends does end, and its
    kept-alive connection stays: to an EventSource that is the end of the connection (WHATWG 9.2.3)."""

    _tail = b""

    def opened(self, rest: bytes) -> None:
        if not find(self.subscriber.channel.stream).finite:
            self.watch(None)
            return
        self.watch(self._watch)
        self._end(rest)

    def _watch(self, start: int, end: int, _now_ns: int) -> None:
        self._end(bytes(self.reactor.capture.view[max(start, end - len(_LAST_CHUNK)) : end]))

    def _end(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._tail == _LAST_CHUNK:
            self.over("closed")


_NOTICE_BYTES = 1024
_LAST_LINES = {b'{"control":"end"': FOR_GOOD[0], b'{"control":"failure"': FOR_GOOD[1]}


class LineLink(PushLink):
    """Plain TCP: one line says yes or no (`rtbench.transports.tcp`)."""

    head_end = b"\n"
    _tail = b""

    def accepts(self, head: bytes) -> str:
        return "" if head == OK else f"error ({head.decode('utf-8', 'replace')[:60]})"

    def opened(self, rest: bytes) -> None:
        self._tail = rest
        self.watch(self._watch)

    def _watch(self, start: int, end: int, _now_ns: int) -> None:
        self._tail = bytes(self.reactor.capture.view[max(start, end - _NOTICE_BYTES) : end])

    def over(self, outcome: str) -> None:
        if outcome == "closed":  # an end has no code here: the last line says it
            last = self._tail.rstrip(b"\n").rpartition(b"\n")[2]
            outcome = next((said for start, said in _LAST_LINES.items() if last.startswith(start)), outcome)
        super().over(outcome)


class WebSocketLink(PushLink):
    """WebSocket: pings and closes are answered at once, messages are left in the capture buffer."""

    expects = 101

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber, asked)
        self._greeting = asked.greeting
        self._scanner = ControlScanner()
        self._data: Any = reactor.capture.data

    def opened(self, rest: bytes) -> None:
        for text in self._greeting:
            self.send(text_frame(text))
        self._scan(rest)

    def send_text(self, text: str) -> None:
        """Send one text message."""
        self.send(text_frame(text))

    def _watch(self, start: int, end: int, _now_ns: int) -> None:
        if self._scanner.idle and plain(self._data, start, end):
            return
        self._scan(bytes(self._data[start:end]))

    def _scan(self, data: bytes) -> None:
        try:
            owed = self._scanner.scan(data)
        except ProtocolError as error:
            self.over(f"error ({error})")
            return
        self.watch(self._watch, self._scanner.idle)
        if owed:
            self.send(owed)
        if self._scanner.closed:
            code = self._scanner.close_code
            self.over(
                {1000: FOR_GOOD[0], 1001: "closed", 1011: FOR_GOOD[1]}.get(code or 0) or f"error (close code {code})"
            )


class PollLink(Link):
    """Polling over one keep-alive connection. `schedule` says when the next request is to go out."""

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber)
        # Two of them: one asks, from the ends of responses; one decodes from the capture buffer, later.
        self.client = subscriber.make(asked)
        self.codec = subscriber.make(asked)
        self.look = self._watch
        self.planned_ns = self.asked_ns = -1
        self.rows: list[int] = []
        self.decoded = 0
        self._partial_bytes = 0
        self._waiting = False

    def over(self, outcome: str) -> None:
        if self._waiting and self.closed_ns < 0:
            self.subscriber.answered(self, 0, 0, -1)  # asked, and never answered: status 0
        super().over(outcome)

    def request(self) -> bytes:
        self._waiting = True
        self.planned_ns = self.asked_ns = time.monotonic_ns()
        data: bytes = self.client.request()
        return data

    def ask(self, planned_ns: int) -> None:
        """Send the next request, which was planned for `planned_ns`."""
        if self.closed_ns < 0:
            self._waiting = True
            self.planned_ns, self.asked_ns = planned_ns, time.monotonic_ns()
            self.send(self.client.request())

    def _watch(self, start: int, end: int, now_ns: int) -> None:
        if self.response_ns < 0:
            self.response_ns = now_ns
        data = bytes(self.reactor.capture.view[start:end])
        client = self.client
        seen = None if self._partial_bytes else client.glance(data)
        if seen is not None:
            self._answered(seen.status, len(data), seen.end, False, now_ns)
            return
        self._partial_bytes += len(data)
        try:
            responses = client.feed(data)
        except ProtocolError as error:
            self.over(f"error ({error})")
            return
        for response in responses:
            self._partial_bytes = 0
            self._answered(response.status, response.received_bytes, response.end, response.failed, now_ns)
            if not response.keep_alive:
                self.over("closed")

    def _answered(self, status: int, size: int, end: bool, failed: bool, now_ns: int) -> None:
        self._waiting = False
        self.rows.append(self.subscriber.answered(self, status, size, now_ns))
        if status not in (200, 204, 304):
            self.over(FOR_GOOD[1] if failed else f"error (status {status})")
            return
        if not self.accepted:
            self.status = status
            self.subscriber.subscribed(self)
        if end:
            self.over(FOR_GOOD[0])
        else:
            self.subscriber.schedule(self, now_ns)


LINKS: dict[str, type[PushLink] | type[PollLink]] = {"websocket": WebSocketLink, "tcp": LineLink}
"""The link of a transport that is neither a stream behind an HTTP response nor polled."""


def link_of(transport: Transport) -> type[PushLink] | type[PollLink]:
    """The class of a transport's connections."""
    return PollLink if transport.polls else LINKS.get(transport.name, StreamLink)
