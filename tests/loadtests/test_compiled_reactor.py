"""The inner loop in C, read by read: what it leaves to Python, and what it does not."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtbench.loadtests.reactor import compiled
from rtbench.loadtests.reactor.capture import NO_STAMP, READ_BYTES
from rtbench.loadtests.reactor.compiled import CompiledReactor
from rtbench.loadtests.reactor.reactor import EPOLLIN, EPOLLOUT
from rtbench.machine import inner_loop
from rtbench.transports.websocket import plain

SOON_NS = 20_000_000


class Listener:
    """What the reactor needs of a link; `seen`: what it looked at, `outcome`: how it ended."""

    def __init__(self, reactor: CompiledReactor) -> None:
        self.reactor = reactor
        self.ours, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.index, self.closed_ns, self.connected_ns = len(reactor.links), -1, 1
        self.but_plain_text = False
        self.look: Any = None
        self.seen: list[bytes] = []
        self.outcome = ""
        self.flushed = 0
        links: Any = reactor.links
        links.append(self)
        reactor._epoll.register(self.socket.fileno(), EPOLLIN)
        reactor._by_descriptor[self.socket.fileno()] = (self.socket.recvmsg_into, self.index, self)  # type: ignore[assignment]
        reactor.listen(self)  # type: ignore[arg-type]

    def watch(self, look: bool = True, but_plain_text: bool = False) -> None:
        def see(start: int, end: int, _now_ns: int) -> None:
            self.seen.append(bytes(self.reactor.capture.view[start:end]))

        self.look, self.but_plain_text = see if look else None, but_plain_text
        self.reactor.heed(self)  # type: ignore[arg-type]

    def over(self, outcome: str) -> None:
        self.outcome, self.closed_ns = outcome, 1
        self.reactor.forget(self)  # type: ignore[arg-type]

    def flush(self) -> None:
        self.flushed += 1
        self.reactor.listen(self)  # type: ignore[arg-type]

    def close(self) -> None:
        self.ours.close()
        if self.closed_ns < 0:
            self.reactor.forget(self)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def library() -> Path:
    found = inner_loop.library()
    if found is None:
        pytest.skip(f"needs a C compiler: {inner_loop.REMEDY}")
    return found


@pytest.fixture(scope="module")
def reactor(library: Path) -> Iterator[CompiledReactor]:
    reactor = CompiledReactor(0, library)
    yield reactor
    reactor._greenlet.kill()
    reactor._watcher.stop()


@pytest.fixture
def link(reactor: CompiledReactor) -> Iterator[Listener]:
    reactor.capture.clear()
    link = Listener(reactor)
    yield link
    link.close()


def read(reactor: CompiledReactor, times: int = 1) -> None:
    """So many stops of the inner loop that are not for waiting."""
    stops, deadline = 0, time.monotonic() + 60
    while stops < times and time.monotonic() < deadline:
        why = reactor._step(time.monotonic_ns() + SOON_NS)
        stops += why not in (compiled._IDLE, compiled._DUE)


def idle(reactor: CompiledReactor) -> None:
    while reactor._step(time.monotonic_ns() + SOON_NS) != compiled._IDLE:
        pass


def test_undecoded_bytes_are_on_the_tape_with_their_stamps(reactor: CompiledReactor, link: Listener) -> None:
    before = time.monotonic_ns()
    for data in (b"one", b"three"):
        link.ours.send(data)
        idle(reactor)
    capture = reactor.capture
    assert bytes(capture.view[: capture.at]) == b"onethree"
    assert (capture.reads[0], capture.reads[2], capture.reads[3], capture.reads[5]) == (link.index, 3, link.index, 5)
    assert before < capture.reads[1] < capture.reads[4] < time.monotonic_ns()
    assert bytes(capture.stamps) == 2 * NO_STAMP  # a Unix socket has none, and none is invented
    assert link.seen == []


def test_a_watched_link_shows_each_read(reactor: CompiledReactor, link: Listener) -> None:
    link.watch()
    for data in (b"one", b"three"):
        link.ours.send(data)
        read(reactor)
    link.watch(look=False)
    link.ours.send(b"four")
    idle(reactor)
    assert link.seen == [b"one", b"three"]
    assert bytes(reactor.capture.view[: reactor.capture.at]) == b"onethreefour"


def frame(length: int, head: int = 0x81) -> bytes:
    size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    return bytes([head]) + size + b"x" * length


@example(b"\x81")
@example(frame(0))
@example(frame(125))
@example(frame(126))
@example(frame(300))
@example(frame(300)[:-1])
@example(frame(300) + b"x")
@example(frame(5) + frame(5))
@example(b"\x81\x7e\x00\x05xxxxx")  # longer than need be: not plain
@example(frame(5, 0x01))
@example(b"\x89\x00")
@example(b"\x81\xff" + bytes(20))
@given(st.one_of(st.binary(min_size=1, max_size=200), st.integers(0, 400).map(frame)))
def test_c_and_python_agree_on_what_is_one_plain_text_frame(reactor: CompiledReactor, data: bytes) -> None:
    reactor.capture.clear()
    link = Listener(reactor)
    try:
        link.watch(but_plain_text=True)
        link.ours.send(data)
        while not reactor.capture.at:
            reactor._step(time.monotonic_ns() + SOON_NS)
        assert bool(link.seen) != plain(data, 0, len(data))
    finally:
        link.close()


def test_ends_are_named(reactor: CompiledReactor, link: Listener) -> None:
    link.ours.send(b"last")
    link.ours.close()
    read(reactor)
    assert link.outcome == "closed"
    assert bytes(reactor.capture.view[: reactor.capture.at]) == b"last"
    assert not reactor._by_descriptor.get(link.socket.fileno())


def test_errors_are_named(reactor: CompiledReactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Listener(reactor)
        link.socket.close()
        link.socket = socket.create_connection(listener.getsockname())
        link.socket.setblocking(False)
        reactor._epoll.register(link.socket.fileno(), EPOLLIN)
        reactor.listen(link)  # type: ignore[arg-type]
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        accepted.close()
        read(reactor)
        assert link.outcome == "reset"
        link.close()


def test_room_to_write_is_for_python(reactor: CompiledReactor, link: Listener) -> None:
    reactor.listen(link, also_write=True)  # type: ignore[arg-type]
    read(reactor)
    assert link.flushed == 1
    reactor._epoll.modify(link.socket.fileno(), EPOLLIN | EPOLLOUT)
    link.ours.send(b"both")
    read(reactor)
    assert bytes(reactor.capture.view[: reactor.capture.at]) == b"both"


def test_a_socket_that_c_does_not_know_is_for_python(reactor: CompiledReactor, link: Listener) -> None:
    link.watch()
    reactor._links[link.socket.fileno()] = -1  # as of TLS
    link.ours.send(b"secret")
    read(reactor)
    assert link.seen == [b"secret"]


def test_a_full_tape_is_emptied_before_the_next_read(
    reactor: CompiledReactor, link: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[int] = []

    def empty() -> None:
        filled.append(reactor.capture.at)
        reactor.capture.clear()

    monkeypatch.setattr(reactor, "on_full", empty)
    reactor.capture.at = reactor.capture.limit
    for data in (b"fits", b"next"):
        link.ours.send(data)
        idle(reactor)
    assert filled == [reactor.capture.limit + 4]
    assert bytes(reactor.capture.view[: reactor.capture.at]) == b"next"


def test_more_reads_than_are_noted_at_once(
    reactor: CompiledReactor, link: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor._state, "most", 2)
    others = [Listener(reactor) for _ in range(4)]
    for number, one in enumerate((link, *others)):
        one.ours.send(b"%d" % number)
    idle(reactor)
    assert sorted(reactor.capture.reads[0::3]) == [one.index for one in (link, *others)]
    assert sorted(bytes(reactor.capture.view[: reactor.capture.at])) == sorted(b"01234")
    for one in others:
        one.close()


def test_what_does_not_fit_into_one_read_is_read_on(reactor: CompiledReactor) -> None:
    """What a socket still holds is told again."""
    reactor.capture.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Listener(reactor)
        link.ours.close()
        link.socket.close()
        link.ours = socket.create_connection(listener.getsockname())
        link.socket, _ = listener.accept()
        link.socket.setblocking(False)
        link.ours.sendall(b"x" * (2 * READ_BYTES + 7))
        reactor._epoll.register(link.socket.fileno(), EPOLLIN)
        reactor.listen(link)  # type: ignore[arg-type]
        idle(reactor)
        assert reactor.capture.at == 2 * READ_BYTES + 7
        assert max(reactor.capture.reads[2::3]) == READ_BYTES
        link.close()


def test_draining_reads_what_there_is(reactor: CompiledReactor, link: Listener) -> None:
    link.ours.send(b"last")
    reactor.drain()
    assert bytes(reactor.capture.view[: reactor.capture.at]) == b"last"


def test_a_timer_that_is_late_does_not_stop_the_reading(reactor: CompiledReactor, link: Listener) -> None:
    link.ours.send(b"x" * READ_BYTES * 2)
    for _ in range(3):
        reactor._step(0)
    assert reactor.capture.at > READ_BYTES


# Whether there is one


with_a_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason=f"needs a C compiler: {inner_loop.REMEDY}")
"""For what is compiled anew: the library itself may be in the cache from a time when there was a compiler."""


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inner_loop.library.cache_clear()
    yield tmp_path
    inner_loop.library.cache_clear()


@with_a_compiler
def test_it_is_compiled_once(library: Path, again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = inner_loop.library()
    assert made is not None and made.parent == again / "rtbench"
    assert [path.name for path in made.parent.iterdir()] == [made.name]  # nothing half done is left
    inner_loop.library.cache_clear()
    monkeypatch.setattr(inner_loop, "subprocess", SimpleNamespace(SubprocessError=OSError))  # no compiler runs again
    assert inner_loop.library() == made


def test_without_a_compiler_there_is_none(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert inner_loop.library() is None


@with_a_compiler
def test_a_source_that_cannot_be_compiled_gives_none(
    library: Path, again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = again / "broken.c"
    broken.write_text("int drain(")
    monkeypatch.setattr(inner_loop, "SOURCE", broken)
    assert inner_loop.library() is None
    assert list((again / "rtbench").iterdir()) == []


def test_none_is_used_when_none_is_wanted(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inner_loop.SWITCH, "python")
    assert inner_loop.library() is None
    assert list(again.iterdir()) == []
