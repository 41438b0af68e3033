"""One connection of HTTP/2 that several subscribers share: each has a link of its own, which is a stream of it.

The connection is the link that the reactor reads. Its bytes are captured encrypted (`tls`); the frames in them are
decoded once, in their order: at once while a stream waits for its response and for polls, else within OPEN_NS where a
record is so short that it may be a PING, and after the window for all others. The recorder gets the parts of each
stream from `taken`.
Invariant: the bytes and segments that TCP counts are divided evenly over the links that were open when they came, and
the shares add up to the connection's. Made by the `Pool` of a load process.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rtbench.loadtests.reactor.links import Link, PollLink, SealedLink, WebSocketLink
from rtbench.loadtests.reactor.tcp_info import TcpCounts, tcp_counts
from rtbench.loadtests.reactor.tls import SEALED, Tls
from rtbench.transports import ProtocolError
from rtbench.transports.http2 import ALPN, Http2Client, Piece, Refused

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.reactor import Reactor
    from rtbench.loadtests.subscriber import Subscriber

APART = -2
"""The number of a shared connection, which has no row: its streams have one each."""


class Part(NamedTuple):
    """What a read has of one stream: bytes of a response in the form of HTTP/1.1, and the number of their record."""

    link: Link
    data: bytes
    record: int


class StreamSocket:
    """What a link sees as its socket: a stream of the shared connection."""

    def __init__(self, shared: SharedLink, link: Link) -> None:
        self._shared, self._link = shared, link

    @property
    def session(self) -> Any:
        """The TLS session of the connection."""
        return getattr(self._shared.socket, "session", None)

    def fileno(self) -> int:
        """The reactor does not watch a stream."""
        return -1

    def getsockname(self) -> Any:
        """The connection's address."""
        return self._shared.socket.getsockname()

    def getsockopt(self, *option: int) -> Any:
        """An option of the connection."""
        return self._shared.socket.getsockopt(*option)

    def send(self, data: bytes) -> int:
        """Send a request, as the head of one in HTTP/1.1; of a WebSocket that has asked, its frames."""
        if isinstance(self._link, WebSocketLink) and self._link.stream >= 0:
            self._shared.send_on(self._link, data)
        else:
            self._shared.ask(self._link, data)
        return len(data)


class SharedLink(SealedLink):
    """The connection and its streams."""

    def __init__(self, reactor: Reactor, subscriber: Subscriber) -> None:
        super().__init__(reactor, subscriber)
        self.connection = APART
        self.accepted = True  # nothing of its own is asked
        self.client = Http2Client()
        self._by_stream: dict[int, Link] = {}
        self._members: dict[Link, list[int]] = {}
        """Its open links, and their shares of what TCP counted."""
        self._counted = TcpCounts(0, 0, 0)
        self._shown: set[Link] = set()
        """The links that have had their share of the last count."""
        self._waiting: deque[Link] = deque()
        """Links that join before it is known how many streams the server allows."""
        self._unanswered: set[Link] = set()
        self._answers: dict[Link, bytearray] = {}
        """What came so far of a poll's answer."""
        self.last_rows: list[int] = []
        """The rows of the messages in the last record of the last read that had any: they have its stamp."""
        self._parsed: deque[list[Part]] = deque()
        """A list for each read that the recorder still has to get."""

    # Its streams

    @property
    def takes_more(self) -> bool:
        """Whether a link may join."""
        return self.closed_ns < 0 and not self.client.leaving

    def join(self, link: Link) -> None:
        """A link becomes a stream of it, once the connection is there."""
        link.shared, link.socket = self, StreamSocket(self, link)
        link.index, link.started_ns = len(self.reactor.links), time.monotonic_ns()
        self.reactor.links.append(link)
        self._settle()
        self._members[link] = [0] * len(TcpCounts._fields)
        if self.client.limit is None and (self.secured_ns < 0 or not self._goes_first(link)):
            self._waiting.append(link)
        else:
            self._open(link)

    def _goes_first(self, link: Link) -> bool:
        """Whether its request may go before the server's SETTINGS came. A WebSocket's depends on them (RFC 8441)."""
        return not self._by_stream and not isinstance(link, WebSocketLink)

    def _open(self, link: Link) -> None:
        """Send a link's request. The first one goes with the preface, as clients send it (RFC 9113 §3.4)."""
        if link.closed_ns >= 0:
            return
        first = not self._by_stream and self.client.limit is None
        link.connected_ns = self.connected_ns if first else time.monotonic_ns()
        link.secured_ns = self.secured_ns if first else -1
        link.connected()

    def ask(self, link: Link, head: bytes) -> None:
        """Send the request of a link."""
        if self.sealed and not self.at_once:
            self.reactor.open_sealed([self])  # from here on each read is decrypted as it comes, in order
        try:
            link.stream = self.client.ask(head)
        except Refused as refused:
            link.over(f"error ({refused})")
            return
        self._by_stream[link.stream] = link
        self._unanswered.add(link)
        self._heed_now()
        self._flush()

    def send_on(self, link: Link, data: bytes) -> None:
        """Send frames of a WebSocket."""
        try:
            self.client.send(link.stream, data)
        except Refused as refused:
            link.over(f"error ({refused})")
        self._flush()

    def leave(self, link: Link) -> None:
        """A link is over; without links the connection is over, too."""
        self._settle()
        self._members.pop(link, None)
        self._shown.discard(link)
        self._unanswered.discard(link)
        self._answers.pop(link, None)
        if self._by_stream.pop(link.stream, None) is not None:
            self.client.reset(link.stream)
            self._flush()
        if not self._members and self.closed_ns < 0:
            self.over("closed by the subscriber")
        else:
            self._heed_now()

    # The connection

    def secured(self) -> None:
        """The TLS handshake is done: it must have agreed on HTTP/2."""
        self.secured_ns = time.monotonic_ns()
        if self.socket.protocol != ALPN:
            other = self.socket.protocol or "nothing"
            self.over(f"error (HTTP/2 was asked for, and the server chose {other} by ALPN)")
            return
        self.local_port = self.socket.getsockname()[1]
        self.look = self._look
        self.at_once = True
        self.seal()
        self._flush()
        if self._waiting and self._goes_first(self._waiting[0]):
            self._open(self._waiting.popleft())

    def noticed(self) -> None:
        """Its end is that of all its streams."""
        for link in list(self._members):
            link.was_cut = link.was_cut or self.was_cut
            link.over(self.outcome)

    def _heed_now(self) -> None:
        """Look at every read while an answer is awaited, else at short records."""
        if self.sealed and self.closed_ns < 0 and self.at_once != bool(self._unanswered):
            self.at_once = not self.at_once
            self.watch(self._look)

    def _look(self, start: int, end: int, now_ns: int) -> None:
        capture = self.reactor.capture
        sealed = capture.reads[-3] & SEALED
        if sealed and not self.at_once:
            self.watch_sealed(start, end, now_ns)
            return
        data, self.opened_up_to = bytes(capture.view[start:end]), (len(capture.reads) // 3, end)
        if sealed:
            self.caught_up([data])
        else:  # what came with the end of the handshake was decrypted with it
            self.heed([data])

    def heed(self, records: Sequence[bytes]) -> None:
        fault, found, heard = "", [], []
        for number, plaintext in enumerate(records):
            try:
                pieces = self.client.feed(plaintext)
            except ProtocolError as error:
                pieces, fault = list(error.events), str(error)
            for piece in pieces:
                if (link := self._by_stream.get(piece.stream)) is not None:
                    found.append(Part(link, piece.data, number))
                    heard.append((link, piece))
            if fault:
                break
        self._parsed.append(found)  # before a link is over, which may have the recorder decode all
        now_ns = time.monotonic_ns()
        for link, piece in heard:
            self._hear(link, piece, now_ns)
        self.client.top_up()
        self._flush()
        if fault:
            super().over(f"error ({fault})")
        elif self.client.limit is not None:
            while self._waiting:
                self._open(self._waiting.popleft())

    def _hear(self, link: Link, piece: Piece, now_ns: int) -> None:
        """What a stream got that its link needs at once."""
        if link.closed_ns >= 0:
            return
        if piece.over:
            self._by_stream.pop(piece.stream, None)
        goes_on = not piece.over
        if isinstance(link, PollLink):
            goes_on = self._answer(link, piece, now_ns)
        elif piece.data and link in self._unanswered:
            link.received(piece.data, now_ns)
            if link.accepted:
                self._unanswered.discard(link)
        elif piece.data and isinstance(link, WebSocketLink):
            link.heed((piece.data,))
        if not goes_on:
            link.over("closed" if piece.over == "closed" else f"error (the stream was {piece.over})")
        self._heed_now()

    def _answer(self, link: PollLink, piece: Piece, now_ns: int) -> bool:
        """A poll's answer is whole when its stream is over. Its link may then ask again, on a stream of its own.
        Returns false when the stream ended without an answer."""
        if link.response_ns < 0 and piece.data:
            link.response_ns = now_ns
        self._answers.setdefault(link, bytearray()).extend(piece.data)
        if not piece.over:
            return True
        self._unanswered.discard(link)
        answer = bytes(self._answers.pop(link))
        if piece.over != "closed" or not answer:
            return False
        link.received(answer, now_ns)
        return True

    def taken(self) -> list[Part]:
        """The parts of the streams in the next read, for the recorder, which has just got its plaintext."""
        return self._parsed.popleft()

    def _flush(self) -> None:
        if self.closed_ns < 0 and self.secured_ns >= 0 and (owed := self.client.to_send()):
            self.send(owed)

    # What TCP counts

    def share(self, link: Link) -> TcpCounts:
        """A link's share of what the connection has carried. The first question of a round counts again for all."""
        if not self._shown or link in self._shown:
            self._settle()
        self._shown.add(link)
        share = self._members.get(link)
        return TcpCounts() if share is None else TcpCounts(*share)

    def _settle(self) -> None:
        """Divide what came since the last count over the links; the first ones get what is left over."""
        self._shown.clear()
        if self.was_cut or self.connected_ns < 0 or self.closed_ns >= 0 or not self._members:
            return
        now = tcp_counts(self.socket)
        if min(now) < 0:
            return
        for place, (count, before) in enumerate(zip(now, self._counted, strict=True)):
            each, over = divmod(count - before, len(self._members))
            for number, share in enumerate(self._members.values()):
                share[place] += each + (number < over)
        self._counted = now


class Pool:
    """The shared connections of a load process: subscribers next to each other share one, `size` of them."""

    def __init__(self, reactor: Reactor, size: int) -> None:
        self._reactor, self._size = reactor, size
        self._open: dict[int, SharedLink] = {}

    def connect(self, link: Link, number: int, family: int, address: tuple[Any, ...], tls: Tls) -> None:
        """Have the link of the process's subscriber `number` join its connection, which is made where there is none."""
        group = number // self._size
        shared = self._open.get(group)
        if shared is None or not shared.takes_more:
            shared = self._open[group] = SharedLink(self._reactor, link.subscriber)
            shared.session, shared.deaf = link.session, link.deaf
            shared.join(link)
            self._reactor.connect(shared, family, address, tls)
        else:
            shared.join(link)
