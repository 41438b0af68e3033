"""A reactor without sockets, links and subscribers around it, and bytes as servers of ours send them."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import gevent
import pytest
from gevent import monkey

from rtbench.loadtests import load as load_module
from rtbench.loadtests.load import Load
from rtbench.loadtests.reactor.capture import NO_STAMP, READ_BYTES, CaptureBuffer
from rtbench.loadtests.reactor.links import Link
from rtbench.loadtests.subscriber import Subscriber
from rtbench.messages.load import LoadSettings
from rtbench.transports.envelope import wrap


class Wire:
    """Bytes as servers of ours send them."""

    sse_head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    websocket_head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    @staticmethod
    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data)

    @classmethod
    def sse(cls, seq: int, payload: bytes) -> bytes:
        """One event in a chunk of its own."""
        return cls.chunk(b"id: %d\ndata: %b\n\n" % (seq, payload))

    @staticmethod
    def frame(opcode: int, payload: bytes) -> bytes:
        """A server's frame (RFC 6455 §5.2): final, not masked."""
        size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))
        return bytes([0x80 | opcode]) + size + payload

    @classmethod
    def text(cls, seq: int, payload: bytes) -> bytes:
        return cls.frame(1, wrap(seq, payload))

    @classmethod
    def upgrade(cls, request: bytes) -> bytes:
        """The 101 that this request wants."""
        (key,) = (
            line.partition(b":")[2].strip() for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
        )
        accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        return cls.websocket_head[:-2] + b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept

    @staticmethod
    def answer(*messages: tuple[int, bytes], following: int, end: bool = False, head: bytes = b"") -> bytes:
        """A poll's 200."""
        body = b'{"messages":[%b],"next":%d,"gap":null,"end":%b}' % (
            b",".join(wrap(seq, payload) for seq, payload in messages),
            following,
            b"true" if end else b"false",
        )
        etag = b'ETag: "%d"\r\n' % following
        return b"HTTP/1.1 200 OK\r\n%b%bContent-Length: %d\r\n\r\n%b" % (etag, head, len(body), body)

    @staticmethod
    def empty(status: int, head: bytes = b"") -> bytes:
        return b"HTTP/1.1 %d Nothing\r\n%b%b\r\n" % (status, head, b"Content-Length: 0\r\n" if status > 400 else b"")


class FakeSocket:
    """Takes what it is given, `room` bytes at a time at most."""

    def __init__(self) -> None:
        self.sent = b""
        self.room = 1 << 20
        self.closed = False
        self.broken = False

    def send(self, data: bytes) -> int:
        if self.broken:
            raise ConnectionResetError
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 50_000)

    def getsockopt(self, *_: int) -> Any:
        raise OSError

    def close(self) -> None:
        self.closed = True


class FakeReactor:
    """A reactor whose bytes are handed over by the test, and whose timers are only noted."""

    def __init__(self, capture_bytes: int = 0) -> None:
        self.capture = CaptureBuffer(capture_bytes)
        self.links: list[Link] = []
        self.on_full: Callable[[], object] = self.capture.clear
        self.timers: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []
        self.listening: list[tuple[Link, bool]] = []
        self.resets: list[Link] = []

    def connect(self, link: Link, family: int, address: tuple[Any, ...], tls: Any = None) -> None:
        link.index = len(self.links)
        link.socket = FakeSocket()
        self.links.append(link)
        link.started_ns = 1
        link.connected_ns = 2
        link.connected()

    def listen(self, link: Link, also_write: bool = False) -> None:
        self.listening.append((link, also_write))

    def heed(self, link: Link) -> None:
        pass

    def reset(self, link: Link) -> None:
        self.resets.append(link)

    def forget(self, link: Link) -> None:
        link.socket.close()

    def at(self, due_ns: int, call: Callable[..., None], *arguments: Any) -> None:
        self.timers.append((due_ns, call, arguments))

    def drain(self) -> None:
        pass

    def read(self, link: Link, data: bytes, stamp_ns: int = 0, app_ns: int = 0) -> None:
        """As `Reactor._drain` does: into the capture buffer with its stamps, then the link looks."""
        assert 0 < len(data) <= READ_BYTES
        capture = self.capture
        if capture.at > capture.limit:
            self.on_full()
        at = capture.at
        capture.view[at : at + len(data)] = data
        capture.reads.extend((link.index, app_ns, len(data)))
        capture.stamps += struct.pack("qq", *divmod(stamp_ns, 10**9)) if stamp_ns else NO_STAMP
        capture.at = at + len(data)
        if link.look is not None:
            link.look(at, at + len(data), app_ns)


class Bench:
    """A Load on a FakeReactor. Kernel stamps here are on a CLOCK_REALTIME that began with CLOCK_MONOTONIC."""

    def __init__(self, settings: LoadSettings) -> None:
        self.load = Load(settings)
        self.load.base_ns = 0
        self.load.recorder.clock.pairs = [(0, 0)]

    @property
    def reactor(self) -> FakeReactor:
        reactor: Any = self.load.reactor
        return reactor

    def link(self, transport: str) -> Any:
        """The connection of a new subscriber, which has sent its request."""
        subscriber = self.load.subscriber(transport)
        return self.connect(subscriber)

    def connect(self, subscriber: Subscriber) -> Any:
        subscriber.connect(TARGET)
        return subscriber.link

    def subscribing(self, subscriber: Subscriber) -> gevent.Greenlet:
        """A user's greenlet that subscribes until its connection is over."""
        greenlet = gevent.spawn(subscriber.subscribe, TARGET)
        gevent.sleep(0)
        return greenlet

    def turn(self) -> None:
        """What is due on the reactor's timers, and the greenlets that it wakes."""
        due, self.reactor.timers = self.reactor.timers, []
        for _, call, arguments in due:
            call(*arguments)
        gevent.sleep(0)

    def deliveries(self, *columns: str) -> list[tuple[Any, ...]]:
        """Rows decoded so far, as tuples of the columns."""
        self.load.recorder.decode()
        table = self.load.recorder.table()
        return list(zip(*(table[name].tolist() for name in columns), strict=True))

    def requests(self) -> list[tuple[int, ...]]:
        """Rows of requests: subscriber, planned, started, response, status, messages, bytes."""
        self.load.recorder.decode()
        columns = self.load.recorder.requests.columns()
        return list(zip(*(column.tolist() for column in columns.values()), strict=True))


class _Target:
    host = "server:8080"
    family = 0
    address = ("127.0.0.1", 8080)
    tls = None


TARGET: Any = _Target()


@pytest.fixture(scope="session")
def target() -> Any:
    """The address of a server that is not there."""
    return TARGET


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """Make a Bench: `bench(streams=("stocks",), poll_interval_s=0.5)`."""
    monkeypatch.setattr(load_module, "Reactor", FakeReactor)
    return lambda **settings: Bench(LoadSettings(**{"capture_bytes": 0, **settings}))


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    return Wire


@pytest.fixture(autouse=True, scope="session")
def unpatched() -> Any:
    """Importing locust patches the process; tests that need it run in one of their own."""
    yield
    assert not monkey.is_module_patched("socket")
