"""Publishing by HTTP POST: messages are pipelined on kept-alive connections, answers are counted as they come.

A server that closes after each answer, and says so, gets one request a connection from then on (RFC 9112 §9.6); from
the start if `Connection: close` is among the headers of the posts.

Invariant: sending never blocks the publisher, and one channel's messages keep their order, since all of them go over
one connection. Requests unanswered on a lost connection are sent again on the next one, so a server may get a message
twice but misses none. Used by the publisher for subjects without a feed (`rtbench.subjects.Post`).
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Sequence

import httptools

from rtbench.messages.publisher import PostCounts, PostTo
from rtbench.streams import find
from rtbench.transports.envelope import wrap
from rtbench.workload import Channel

AGAIN_S = 0.05
"""The wait between a refused connection and the next attempt."""
ANSWER_S = 10.0
MOST_ANSWER_BYTES = 2**20
"""An answer over these limits counts its request as refused and closes its connection."""


class Poster:
    """All connections to one server."""

    def __init__(self, to: PostTo, channels: Sequence[Channel]) -> None:
        post = to.post
        address = to.host, post.port or to.port
        authority = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
        headers = {"Content-Type": post.sent_type, **post.headers} if post.sent_type else post.headers
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._tail = f" HTTP/1.1\r\nHost: {authority}\r\n{fields}Content-Length: ".encode()
        self._targets = [
            post.path.format(stream=one.stream, channel=one.index, query=one.query).encode() for one in channels
        ]
        self._channels = [(one.stream, one.index, find(one.stream).json_payload) for one in channels]
        self._template, self._wrap, self._batch = post.template(), post.wrap, max(1, post.batch)
        kept = not any((name.lower(), value.lower()) == ("connection", "close") for name, value in headers.items())
        self._lines = [_Line(address, kept) for _ in range(max(1, post.connections))]

    def post(self, ticks: Sequence[tuple[int, int, bytes]]) -> None:
        """Send messages that are due together: (channel, seq, payload)."""
        bodies: dict[int, list[bytes]] = {}
        for channel, seq, payload in ticks:
            bodies.setdefault(channel, []).append(self._body(channel, seq, payload))
        touched = set()
        for channel, messages in bodies.items():
            line = self._lines[channel % len(self._lines)]
            touched.add(line)
            for at in range(0, len(messages), self._batch):
                body = b"\n".join(messages[at : at + self._batch])
                line.requests.append(b"POST %b%b%d\r\n\r\n%b" % (self._targets[channel], self._tail, len(body), body))
        for line in touched:
            line.flush()

    def _body(self, channel: int, seq: int, payload: bytes) -> bytes:
        stream, index, json_payload = self._channels[channel]
        if self._template is not None:
            return self._template.filled(seq, payload, json_payload, stream, index)
        return wrap(seq, payload, json_payload) if self._wrap else payload

    def descriptors(self) -> tuple[list[int], list[int]]:
        """The descriptors to read answers from, and those to go on sending to."""
        self._reconnect()
        open_ = [line for line in self._lines if line.socket is not None]
        return [line.descriptor for line in open_], [line.descriptor for line in open_ if line.unsent]

    def _reconnect(self) -> None:
        for line in self._lines:
            line.check()
            if line.socket is None and line.waiting and time.monotonic() >= line.again_at:
                line.flush()  # connects and sends the last connection's requests, even without a new message

    def ready(self, descriptor: int) -> bool:
        """Read from or send to this descriptor; whether it is one of ours."""
        for line in self._lines:
            if line.socket is not None and line.descriptor == descriptor:
                line.receive()
                line.flush()
                return True
        return False

    def settle(self, patience_s: float) -> None:
        """Wait until everything is answered, `patience_s` at most. Nothing new is due meanwhile."""
        deadline = time.monotonic() + patience_s
        while self.waiting and (left_s := deadline - time.monotonic()) > 0:
            reading, writing = self.descriptors()
            readable, writable, _ = select.select(reading, writing, [], min(left_s, AGAIN_S))
            for descriptor in {*readable, *writable}:
                self.ready(descriptor)

    @property
    def waiting(self) -> bool:
        """Whether an answer is outstanding."""
        return any(line.waiting for line in self._lines)

    def counts(self) -> PostCounts:
        """The outcomes of all requests so far."""
        target, status = next((line.refusal for line in self._lines if line.refusal[1]), ("", 0))
        return PostCounts(
            posted=sum(line.posted for line in self._lines),
            refused=sum(line.refused for line in self._lines),
            reconnected=sum(max(0, line.connections - 1) for line in self._lines),
            unanswered=sum(len(line.requests) + len(line.sent) for line in self._lines),
            refused_target=target,
            refused_status=status,
        )


class _Line:
    """One connection and its open requests: `requests` not sent yet, `sent` not answered yet."""

    def __init__(self, address: tuple[str, int], kept: bool = True) -> None:
        self._address = address
        self._kept = kept
        """Whether the server keeps the connection after an answer."""
        self._answered = False
        """It has announced that it closes this one."""
        self.socket: socket.socket | None = None
        self.descriptor = -1
        self.requests: deque[bytes] = deque()
        self.sent: deque[bytes] = deque()
        self.unsent = b""
        self.posted = self.refused = self.connections = 0
        self.again_at = 0.0
        self.refusal = ("", 0)
        """The target and the status of the first refused request."""
        self._answer_bytes, self._answer_since = 0, 0.0
        self._made = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def waiting(self) -> bool:
        return bool(self.requests or self.sent or self.unsent)

    def connect(self) -> None:
        """Open a new connection in the background; the last one's unanswered requests go first."""
        self.requests.extendleft(reversed(self.sent))
        self.sent.clear()
        self.unsent = b""
        self._answer_bytes, self._answered = 0, False
        self._parser = httptools.HttpResponseParser(self)
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.connect_ex(self._address) not in (0, 115):  # EINPROGRESS
            sock.close()
            self.again_at = time.monotonic() + AGAIN_S
            return
        self._made = False
        self.socket, self.descriptor = sock, sock.fileno()

    def _lost(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.again_at = time.monotonic() + AGAIN_S

    def _renew(self) -> None:
        """Close a connection whose end was announced. The next one does not count as a reconnection."""
        self._lost()
        self.again_at = 0.0
        self.connections -= 1
        self._made = False

    def flush(self) -> None:
        """Send as much as the socket takes."""
        if self.socket is None:
            if self.waiting and time.monotonic() >= self.again_at:
                self.connect()
            if self.socket is None:
                return
        if self._kept:
            self.unsent += b"".join(self.requests)
            self.sent.extend(self.requests)
            self.requests.clear()
        elif self.requests and not self.sent:
            self.unsent += self.requests[0]
            self.sent.append(self.requests.popleft())
        while self.unsent and self.socket is not None:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
                self.connections += not self._made  # refused ones do not count: a starting server refuses
                self._made = True
            except BlockingIOError:
                return
            except OSError:
                self._lost()

    def receive(self) -> None:
        """Read answers."""
        assert self.socket is not None
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._answer_since = self._answer_since if self._answer_bytes else time.monotonic()
        self._answer_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._answered:
                self.refused += 1
                self._lost()
                return
        if self._answered:
            self._renew()

    def check(self) -> None:
        """Give up an answer over the limits: its request counts as refused and is not sent again."""
        late = self._answer_bytes and time.monotonic() - self._answer_since > ANSWER_S
        if self.socket is not None and (late or self._answer_bytes > MOST_ANSWER_BYTES):
            if self.sent:
                self.sent.popleft()
            self.refused += 1
            self._lost()

    def on_message_complete(self) -> None:
        """httptools: one request was answered."""
        status = self._parser.get_status_code()
        if status < 200:
            return
        self._answer_bytes = 0
        self._kept = self._parser.should_keep_alive()
        self._answered = not self._kept
        request = self.sent.popleft() if self.sent else b""
        if status < 300:
            self.posted += 1
            return
        self.refused += 1
        if request and not self.refusal[1]:
            self.refusal = request.split(b" ", 2)[1].decode(), status
