"""One TCP connection of one subscriber, by transport: its requests, and the part of its reads that cannot wait.

Invariant: within a read a link does only what its transport needs at once. A push link looks at its response head, and
for WebSocket at pings and closes; a polling link looks for the end of a response, to poll again. The recorder decodes
messages: it feeds `codec` from the capture buffer. Created by the users, driven by the reactor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rtbench.loadtests.reactor.tcp_info import TcpCounts, tcp_counts
from rtbench.loadtests.reactor.tls import TlsError, TlsSocket, bulk
from rtbench.records.tables import CUT, FOR_GOOD
from rtbench.streams import find
from rtbench.transports import Asked, Codec, ProtocolError
from rtbench.transports.catalogue import Transport
from rtbench.transports.http import MAX_HEAD_BYTES
from rtbench.transports.tcp import OK
from rtbench.transports.websocket import ControlScanner, plain, text_frame

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.http2 import SharedLink
    from rtbench.loadtests.reactor.reactor import Reactor
    from rtbench.loadtests.subscriber import Subscriber

_LAST_CHUNK = b"\r\n0\r\n\r\n"
"""The end of a chunked body (RFC 9112 §7.1), after the chunk or the head before it."""
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""What a connection owes a server that does not read, at most: pongs to a flood of pings, messages of the uplink."""


class Link:
    """The connection as all transports share it."""

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
        self.at_once = False
        """Whether `look` sees every read of a sealed connection, not only those with a short record."""
        self.shared: SharedLink | None = None
        """The connection of HTTP/2 that it is a stream of; None: it has a connection of its own."""
        self.stream = -1
        """The number of that stream, the last one of a polling link; -1: none."""
        self.attempt_ns = -1
        """When the attempt was to begin."""
        self.started_ns = -1
        self.connected_ns = self.secured_ns = -1
        self.sealed = False
        """Whether its reads are captured encrypted (`tls`)."""
        self.session: Any = None
        """The TLS session to resume."""
        self.response_ns = -1
        self.first_message_ns = -1
        self.closed_ns = -1
        self.outcome = "open"
        self.local_port = 0
        self.status = 0
        self.accepted = False  # by the server
        self.at_start = self.at_end = self.at_last = TcpCounts()
        self.deaf = False
        """Whether it stops reading when the window opens."""
        self.was_cut = False
        """Whether a storm reset it."""
        self.last_stamp_ns = 0
        self.last_row = -1
        self._unsent = b""

    def watch(self, look: Callable[[int, int, int], None] | None, but_plain_text: bool = False) -> None:
        """Call `look(start, end, now_ns)` after each read; its bytes are in the capture buffer from `start` to `end`.

        `but_plain_text`: skip reads that are one whole text frame.
        """
        self.look, self.but_plain_text = look, but_plain_text
        self.reactor.heed(self)

    def connected(self) -> None:
        """The socket is connected: send the request."""
        self.local_port = self.socket.getsockname()[1]
        self.send(self.request())

    def secured(self) -> None:
        """The TLS handshake is done: send the request."""
        self.secured_ns = time.monotonic_ns()
        self.connected()

    def seal(self) -> None:
        """Nothing of its reads is needed at once: a TLS connection is decrypted after the window."""
        if isinstance(self.socket, TlsSocket) and self.closed_ns < 0:
            self.sealed = True
            self.reactor.seal(self)

    def unsealed(self, number: int, at: int, data: bytes) -> bytes:
        """The plaintext of a read of a sealed connection, for the recorder. Raises TlsError."""
        plaintext: bytes = self.socket.opened(data)
        return plaintext

    def request(self) -> bytes:
        """The first bytes to send."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send; keep the rest until the socket has room."""
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > MAX_UNSENT_BYTES:
                self._unsent = b""
                self.over("error (the server does not read)")
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read shows the end
        if sent < len(data):
            self._unsent = data[sent:]
            self.reactor.listen(self, also_write=True)

    def flush(self) -> None:
        """The socket has room again."""
        data, self._unsent = self._unsent, b""
        self.reactor.listen(self)
        if data:
            self.send(data)

    def over(self, outcome: str) -> None:
        """Close the connection, whichever side ended it."""
        if self.closed_ns < 0:
            self.closed_ns = time.monotonic_ns()
            self.outcome = "closed unanswered" if outcome == "closed" and not self.accepted else outcome
            if self.was_cut:
                self.outcome = CUT
            else:
                self.at_last = self._counts()
            if self.shared is None:
                self.reactor.forget(self)
            else:
                self.shared.leave(self)
            self.noticed()

    def cut(self) -> None:
        """Reset the connection; the next read finds it reset. Its counts are read first: a reset clears them."""
        self.was_cut, self.at_last = True, self._counts()
        if self.shared is None:
            self.reactor.reset(self)
        elif not self.shared.was_cut:
            self.shared.cut()

    def noticed(self) -> None:
        """Report the end to the subscriber."""
        self.subscriber.ended(self)

    def counts_now(self) -> TcpCounts:
        """`tcp_counts` now, or at the connection's end; of a stream, its share of them."""
        return self._counts() if self.closed_ns < 0 else self.at_last

    def _counts(self) -> TcpCounts:
        return tcp_counts(self.socket) if self.shared is None else self.shared.share(self)

    def received(self, data: bytes, now_ns: int) -> None:
        """A stream of HTTP/2 got this part of its response, in the form of HTTP/1.1: what `look` does with a read."""


class SealedLink(Link):
    """A connection whose reads may be captured encrypted although some of them need an answer: a read with a short
    record makes the reactor decrypt, within OPEN_NS, what came so far (`tls`)."""

    def __init__(self, reactor: Reactor, subscriber: Subscriber) -> None:
        super().__init__(reactor, subscriber)
        self._data: Any = reactor.capture.data
        self._plaintexts: deque[bytes] = deque()
        """Of reads that were decrypted and not yet recorded."""
        self._opened = (-1, 0, 0)

    @property
    def opened_up_to(self) -> tuple[int, int]:
        """The first read of the capture buffer that is not decrypted yet, and where it begins."""
        cleared, number, at = self._opened
        return (number, at) if cleared == self.reactor.capture.cleared else (0, 0)

    @opened_up_to.setter
    def opened_up_to(self, place: tuple[int, int]) -> None:
        self._opened = (self.reactor.capture.cleared, *place)

    def watch_sealed(self, start: int, end: int, _now_ns: int) -> None:
        """Look at a read of a sealed connection."""
        if not bulk(self._data, start, end):
            self.reactor.open_soon(self)

    def caught_up(self, reads: Sequence[bytes]) -> None:
        """Decrypt these reads, which the recorder still has to get, and answer what is in them."""
        try:
            for data in reads:
                records = self.socket.records(data)
                self._plaintexts.append(b"".join(records))
                self.heed(records)
        except TlsError as error:
            self.failed(error)

    def unsealed(self, number: int, at: int, data: bytes) -> bytes:
        if self._plaintexts:
            return self._plaintexts.popleft()
        self.opened_up_to = number + 1, at + len(data)
        records = self.socket.records(data)
        self.heed(records)
        return b"".join(records)

    def heed(self, records: Sequence[bytes]) -> None:
        """Answer what is in these records of one read."""
        raise NotImplementedError

    def failed(self, error: TlsError) -> None:
        """A record cannot be decrypted."""
        super().over(f"error ({error.why})")

    def over(self, outcome: str) -> None:
        if self.sealed and self.closed_ns < 0:
            self.reactor.open_sealed([self])  # the last bytes say how it ended
        super().over(outcome)


class PushLink(Link):
    """SSE and WebSocket: one request, then messages."""

    expects = 200
    head_end = b"\r\n\r\n"
    codec: Codec

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber)
        self.codec = subscriber.make(asked)
        self._head = bytearray()
        self.look = self._opening

    def request(self) -> bytes:
        return self.codec.open()

    def _opening(self, start: int, end: int, now_ns: int) -> None:
        self.received(self.reactor.capture.view[start:end], now_ns)

    def received(self, data: bytes | memoryview, now_ns: int) -> None:
        if self.accepted:
            return
        if self.response_ns < 0:
            self.response_ns = now_ns
        held = len(self._head)
        self._head += data
        stop = self._head.find(self.head_end, max(0, held - len(self.head_end) + 1))
        if (stop + len(self.head_end) if stop >= 0 else len(self._head)) > MAX_HEAD_BYTES:
            self.over("error (no response head)")
            return
        if stop < 0:
            return
        head, rest = bytes(self._head[:stop]), bytes(self._head[stop + len(self.head_end) :])
        self._head.clear()
        if refused := self.accepts(head):
            self.over(refused)
            return
        self.subscriber.subscribed(self)
        self.opened(rest)  # may already be the server's farewell

    def accepts(self, head: bytes) -> str:
        """Empty when the server accepts, else the connection's outcome."""
        status = head[9:12]
        self.status = int(status) if status.isdigit() else 0
        if self.status == self.expects:
            return ""
        # 204 makes an EventSource stop (WHATWG 9.2.3); for a WebSocket it is a refusal like others.
        stopped = self.status == 204 and self.subscriber.transport == "sse"
        if stopped:
            return FOR_GOOD[2]
        # An SSE server answers a WebSocket request with 200: the status alone does not show the error.
        other = " text/event-stream: is this SSE?" if self.expects == 101 and b"text/event-stream" in head else ""
        return f"error (status {self.status}{other})"

    def opened(self, rest: bytes) -> None:
        """The head is read; `rest` came after it."""
        self.watch(None)
        self.seal()


class StreamLink(PushLink):
    """Server-Sent Events and the like: one request. A finite stream's response ends while its kept-alive connection
    stays open: for an EventSource that is the end of the connection (WHATWG 9.2.3)."""

    _tail = b""

    def opened(self, rest: bytes) -> None:
        if not find(self.subscriber.channel.stream).finite:
            self.watch(None)
            self.seal()
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
    """Plain TCP: the first line accepts or refuses (`rtbench.transports.tcp`)."""

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
        if outcome == "closed":  # plain TCP has no close code: the last line has the reason
            last = self._tail.rstrip(b"\n").rpartition(b"\n")[2]
            outcome = next((reason for start, reason in _LAST_LINES.items() if last.startswith(start)), outcome)
        super().over(outcome)


class WebSocketLink(PushLink, SealedLink):
    """WebSocket: answers pings and closes at once, leaves messages in the capture buffer.

    With TLS it answers within OPEN_NS: a read with a short record makes the reactor decrypt what came so far.
    """

    expects = 101

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber, asked)
        self._greeting = asked.greeting
        self._scanner = ControlScanner(deflate=asked.compression == "deflate")

    def opened(self, rest: bytes) -> None:
        for text in self._greeting:
            self.send(text_frame(text))
        self._scan(rest)
        self.opened_up_to = len(self.reactor.capture.reads) // 3, self.reactor.capture.at
        self.seal()
        if self.sealed:
            self.watch(self.watch_sealed)

    def heed(self, records: Sequence[bytes]) -> None:
        plaintext = b"".join(records)
        if self.closed_ns < 0 and not (self._scanner.idle and plain(plaintext, 0, len(plaintext))):
            self._scan(plaintext)

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
        if not self.sealed:
            self.watch(self._watch, self._scanner.idle)
        if owed:
            self.send(owed)
        if self._scanner.closed:
            code = self._scanner.close_code
            self.over(
                {1000: FOR_GOOD[0], 1001: "closed", 1011: FOR_GOOD[1]}.get(code or 0) or f"error (close code {code})"
            )


class PollLink(Link):
    """Polling over one keep-alive connection. `Subscriber.schedule` times the next request."""

    def __init__(self, reactor: Reactor, subscriber: Subscriber, asked: Asked) -> None:
        super().__init__(reactor, subscriber)
        # Two codecs: `client` sends requests and finds the ends of responses; `codec` decodes messages later.
        self.client = subscriber.make(asked)
        self.codec = subscriber.make(asked)
        self.look = self._watch
        self.planned_ns = self.asked_ns = -1
        self.rows: deque[int] = deque()
        """The places of the requests that were answered and are not decoded yet."""
        self._partial_bytes = 0
        self._waiting = False

    def over(self, outcome: str) -> None:
        if self._waiting and self.closed_ns < 0:
            self.subscriber.answered(self, 0, 0, -1)  # a request without an answer: status 0
        super().over(outcome)

    def request(self) -> bytes:
        self._waiting = True
        self.planned_ns = self.asked_ns = time.monotonic_ns()
        data: bytes = self.client.request()
        return data

    def ask(self, planned_ns: int) -> None:
        """Send the next request, planned for `planned_ns`."""
        if self.shared is not None and self.shared.client.leaving:
            self.over("closed")  # the server takes no more streams (GOAWAY), as after `Connection: close`
        elif self.closed_ns < 0:
            self._waiting = True
            self.planned_ns, self.asked_ns = planned_ns, time.monotonic_ns()
            self.send(self.client.request())

    def _watch(self, start: int, end: int, now_ns: int) -> None:
        self.received(bytes(self.reactor.capture.view[start:end]), now_ns)

    def received(self, data: bytes, now_ns: int) -> None:
        if self.response_ns < 0:
            self.response_ns = now_ns
        client = self.client
        seen = None if self._partial_bytes else client.glance(data)
        if seen is not None:
            self._answered(seen.status, len(data), now_ns, seen.end)
            return
        self._partial_bytes += len(data)
        try:
            responses = client.feed(data)
        except ProtocolError as error:
            self.over(f"error ({error})")
            return
        for response in responses:
            self._partial_bytes = 0
            size = response.received_bytes
            self._answered(response.status, size, now_ns, response.end, response.failed, response.more)
            if not response.keep_alive:
                self.over("closed")

    def _answered(
        self, status: int, size: int, now_ns: int, end: bool, failed: bool = False, more: bool = False
    ) -> None:
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
            self.subscriber.schedule(self, now_ns, more)


LINKS: dict[str, type[PushLink] | type[PollLink]] = {"websocket": WebSocketLink, "tcp": LineLink}
"""The links of transports other than polls and streams in an HTTP response."""


def link_of(transport: Transport) -> type[PushLink] | type[PollLink]:
    """The class of a transport's connections."""
    return PollLink if transport.polls else LINKS.get(transport.name, StreamLink)
