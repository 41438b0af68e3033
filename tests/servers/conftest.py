"""Fakes: for the hub a transport that holds what it is given, an encoder that can be read, a stream that ends; for a
server a publisher that says what the test wants."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from rtbench.messages.feed import Hello, PlayedWorkload
from rtbench.messages.server import Limits
from rtbench.servers.kit import feed as wire
from rtbench.servers.kit.hub import Hub
from rtbench.streams import Emission, Pace, Source, Stream, catalogue
from rtbench.workload import NOTICE, Workload


def on_one_connection(
    address: tuple[str, int], asked: Mapping[str, int], within_s: float
) -> list[tuple[Message, bytes]]:
    """Ask for each path, and expect its status; headers and bodies. The connection is kept alive throughout."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=within_s)) as link:
        answers, ends = [], set()
        for path, status in asked.items():
            link.request("GET", path)
            response = link.getresponse()
            body = response.read()
            assert response.status == status, path
            assert link.sock is not None, f"closed after {path}"
            ends.add(link.sock.getsockname())
            answers.append((response.headers, body))
        assert len(ends) == 1
        return answers


LIMITS = Limits(ring_messages=10, ring_bytes=2**20, buffer_bytes=4096, heartbeat_s=15.0)


class FakeTransport:
    """Holds every write. `stalled` keeps them in the buffer; `closed` raises as uvloop's does."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.stalled = False
        self.closed = False
        self.aborted = False
        self.held = 0
        self.socket: Any = None

    def write(self, data: bytes) -> None:
        if self.closed:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.writes.append(data)
        if self.stalled:
            self.held += len(data)

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def get_write_buffer_size(self) -> int:
        return self.held

    def get_extra_info(self, name: str) -> Any:
        return self.socket

    def abort(self) -> None:
        self.aborted = True

    @property
    def ids(self) -> list[int]:
        """The ids of the messages among the writes."""
        return [int(data.split(b" ")[1]) for data in self.writes if data.startswith(b"message ")]

    @property
    def notices(self) -> list[dict[str, Any]]:
        """The notices among the writes."""
        return [json.loads(data) for data in self.writes if data.startswith(b"{")]


class FakeEncoder:
    """Messages as `message N PAYLOAD`, notices as JSON."""

    heartbeat = b"heartbeat"

    def __init__(self) -> None:
        self.encoded = 0

    def message(self, seq: int, payload: bytes) -> bytes:
        self.encoded += 1
        return b"message %d %b" % (seq, payload)

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return json.dumps({"kind": kind, **fields}).encode()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a finite stream that exists during this test only."""
    known = catalogue()  # before there is a class that it would find

    class Brief(Stream):
        """Three messages, 1 ms apart, then the end."""

        name = "brief"
        description = "ends soon"
        finite = True

        def emissions(self, source: Source) -> Iterator[Emission]:
            yield from (Emission(10**6 * n, f'{{"n":{n}}}') for n in range(3))

    monkeypatch.setitem(known, "brief", Brief())
    return "brief"


def greeting(*streams: str, epoch: str = "e1", conversation: bool = False) -> Hello:
    """The publisher's HELLO for these streams."""
    workload = Workload(streams, pace=Pace(conversation=conversation))
    return Hello(epoch, "b", PlayedWorkload.of(workload))


def notice(kind: str, channel: int = 0, **fields: Any) -> bytes:
    """The body of a TICKS frame that says something about a stream."""
    return wire.pack(channel, NOTICE, 0, json.dumps({"control": kind, **fields}).encode())


def ticks(*seqs: int, channel: int = 0, size: int = 10) -> bytes:
    """The body of a TICKS frame."""
    return b"".join(wire.pack(channel, seq, 1000 * seq, b"x" * size) for seq in seqs)


MakeHub = Callable[..., Hub]


@pytest.fixture
def make_hub() -> MakeHub:
    """A hub with these streams, before anything is published."""

    def make(*streams: str, limits: Limits = LIMITS) -> Hub:
        hub = Hub(FakeEncoder(), limits)
        hub.hello(greeting(*(streams or ("fanout",))))
        return hub

    return make


@pytest.fixture
def new_transport() -> type[FakeTransport]:
    """The fake transport's class."""
    return FakeTransport


@pytest.fixture
def ticks_of() -> Callable[..., bytes]:
    """See `ticks`."""
    return ticks


@pytest.fixture
def notice_of() -> Callable[..., bytes]:
    """See `notice`."""
    return notice


@pytest.fixture
def greeting_of() -> Callable[..., Hello]:
    """See `greeting`."""
    return greeting


class Feed:
    """A publisher that says what the test wants, to one server at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "feed.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(4)
        self._listener.settimeout(10)
        self._link: socket.socket | None = None

    def accept(self) -> None:
        """Wait for the server to (re)connect."""
        self.leave()
        self._link, _ = self._listener.accept()

    def leave(self) -> None:
        """Go away."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def say(self, kind: int, body: bytes = b"") -> None:
        """Send one frame."""
        assert self._link is not None
        self._link.sendall(wire.frame(kind, body))

    def hello(self, *streams: str, epoch: str = "e1", **workload: Any) -> None:
        """Greet the server. The streams need not be in the catalogue."""
        table = {
            "streams": streams,
            "seed": 7,
            "epoch_s": 0,
            "subscribers": 1,
            "pace": ["broadcast", 5.0, 150, "constant"],
        }
        greeting = {"epoch": epoch, "boot_id": "b", "workload": {**table, **workload}, "later": ["more"]}
        self.say(wire.HELLO, json.dumps(greeting).encode())

    def ticks(self, *seqs: int, channel: int = 0, payload: str = '{"n":%d}') -> None:
        """Send ticks that are due together."""
        texts = [(seq, payload % seq if "%d" in payload else payload) for seq in seqs]
        self.say(wire.TICKS, b"".join(wire.pack(channel, seq, 1000 * seq, text.encode()) for seq, text in texts))

    def live(self) -> None:
        """The refill is over."""
        self.say(wire.LIVE)

    def notice(self, kind: str, channel: int = 0, **fields: Any) -> None:
        """What a stream says of itself."""
        text = json.dumps({"control": kind, **fields}, separators=(",", ":"))
        self.say(wire.TICKS, wire.pack(channel, NOTICE, 0, text.encode()))

    def close(self) -> None:
        """For good."""
        self.leave()
        self._listener.close()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    feed = Feed(tmp_path)
    with contextlib.closing(feed):
        yield feed
