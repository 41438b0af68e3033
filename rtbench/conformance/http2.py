"""HTTP/2 where it is asked for (`http2` of a scenario): streams beyond the limit, and one that is not read.

Subscribers share one connection here, each on a stream of its own (RFC 9113).
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from rtbench.conformance import Skipped, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber, connect
from rtbench.conformance._target import Target
from rtbench.transports import ProtocolError
from rtbench.transports.http2 import ALPN, WIDEST, Http2Client

MOST_STREAMS = 1000
"""A limit above this is not tried."""
SMALL_WINDOW = 65_535
"""The window that streams have unless a client asks for another one (RFC 9113 §6.9.2), bytes."""
ENOUGH = 200
"""Messages of the busy stream that fill a small window and what the server holds for a subscriber, several times."""


class _Shared:
    """One connection. Its streams fill as any of them is read."""

    def __init__(self, target: Target, stream_window: int = WIDEST) -> None:
        link: Any = connect(target, protocol=ALPN)
        self.socket = link
        self.client = Http2Client(stream_window=stream_window)
        self.over = ""
        """How the connection ended; empty: it goes on."""
        self.streams: dict[int, _Stream] = {}
        try:
            self.agreed = self.socket.selected_alpn_protocol() == ALPN
            self.flush()
        except OSError:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def flush(self) -> None:
        if not self.over and (owed := self.client.to_send()):
            self.socket.sendall(owed)

    def read(self, deadline: float) -> bool:
        """Read once. Returns whether anything came before the deadline."""
        if self.over or (left := deadline - time.monotonic()) <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        except OSError as error:
            data, self.over = b"", str(error)
        try:
            pieces = self.client.feed(data) if data else []
        except ProtocolError as error:
            pieces, self.over = list(error.events), str(error)
        if not data:
            self.over = self.over or "the connection was closed"
        for piece in pieces:
            if (stream := self.streams.get(piece.stream)) is not None:
                stream.data += piece.data
                stream.over = stream.over or piece.over
        self.flush()
        return True


class _Stream:
    """A stream as a subscriber's socket."""

    def __init__(self, shared: _Shared, beyond: bool = False) -> None:
        self.shared, self.beyond = shared, beyond
        self.number = 0
        self.data = bytearray()
        self.over = ""
        self._patience_s = 0.0

    def sendall(self, head: bytes) -> None:
        self.number = self.shared.client.ask(head, self.beyond)
        self.shared.streams[self.number] = self
        self.shared.flush()

    def settimeout(self, seconds: float) -> None:
        self._patience_s = seconds

    def recv(self, size: int) -> bytes:
        deadline = time.monotonic() + self._patience_s
        while not self.data:
            if self.over or self.shared.over:
                return b""
            if not self.shared.read(deadline) and not self.shared.over:
                raise TimeoutError
        data = bytes(self.data[:size])
        del self.data[:size]
        return data

    def close(self) -> None:
        """The connection is closed once, with all of its streams."""


def _share(target: Target, stream_window: int = WIDEST) -> _Shared:
    shared = _Shared(target, stream_window)
    if not shared.agreed:  # the case `tls` fails of it
        shared.close()
        raise Skipped("it did not choose h2 by ALPN")
    return shared


@case("http2-limit", transports=("sse",), claims={"http2"}, needs={"http2"})
def limit(target: Target) -> list[str]:
    """A stream beyond the limit that the server announced is refused at once, by RST_STREAM or GOAWAY."""
    stream = target.quiet or target.stream
    with closing(_share(target)) as shared:
        first = Subscriber(target, stream=stream, link=_Stream(shared))
        if not first.open():
            return [f"a subscriber did not open: {first.why()}"]
        allowed = shared.client.limit
        if allowed is None or allowed > MOST_STREAMS:
            raise Skipped("it announced no limit of streams" if allowed in (None, WIDEST) else f"it allows {allowed:,}")
        for number in range(2, allowed + 1):
            if not Subscriber(target, stream=stream, link=_Stream(shared)).open():
                return [f"it allows {allowed:,} streams a connection, and stream {number:,} did not open"]
        extra = _Stream(shared, beyond=True)
        one_more = Subscriber(target, stream=stream, link=extra)
        deadline = time.monotonic() + target.patience_s
        while not (extra.over or shared.over or one_more.opened is not None) and time.monotonic() < deadline:
            one_more.event(deadline - time.monotonic())
        if extra.over or shared.over or shared.client.leaving:
            return []
        what = "answers" if one_more.opened is not None else "leaves waiting"
        return [f"it allows {allowed:,} streams a connection, and {what} one more"]


@case("http2-stopped-reader", transports=("sse",), claims={"http2"}, needs={"http2"})
def stopped_reader(target: Target) -> list[str]:
    """A stream whose window is full holds up no other stream of its connection."""
    with closing(_share(target, SMALL_WINDOW)) as shared:
        stopped, read = _Stream(shared), _Stream(shared)
        still, reader = Subscriber(target, link=stopped), Subscriber(target, link=read)
        shared.client.widen(read.number)
        shared.flush()
        if not (still.open() and reader.open()):
            return [f"a subscriber did not open: {reader.why()}"]
        found = reader.messages(ENOUGH)
        problems = consecutive(found, "the stream that is read")
        if len(found) < ENOUGH:
            problems.append(
                f"the stream that is read got {len(found)} of {ENOUGH} messages beside one that is not: {reader.why()}"
            )
        return problems
