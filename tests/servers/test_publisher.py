"""The publisher, in this process: its socket, its timetable, its refills, and that no server holds it up."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from rtbench.messages.feed import HELLO
from rtbench.messages.lines import line
from rtbench.messages.publisher import Command, Pause, Play, PostTo, Resume, Started, Stop
from rtbench.servers.kit import feed
from rtbench.servers.publisher import publisher as module
from rtbench.servers.publisher.publisher import Publisher
from rtbench.streams import Emission, Notice, Pace, Source, Stream, catalogue
from rtbench.subjects import Post
from rtbench.workload import NOTICE, Workload

FAST = Workload(("fanout",), pace=Pace(rate_hz=1000))
PATIENCE_S = 60.0


class Running:
    """A publisher whose `run` is on a thread; closing its commands ends it."""

    def __init__(self, publisher: Publisher, path: Path) -> None:
        self.publisher = publisher
        self.path = path
        self._commands, self._say = os.pipe()
        self._thread = threading.Thread(target=publisher.run, args=(self._commands,))
        self._thread.start()
        self._links: list[socket.socket] = []
        self.answers: Queue[Started] = Queue()

    def say(self, command: Command) -> Started:
        """Give it a command; what it answers."""
        os.write(self._say, line(command))
        return self.answers.get(timeout=PATIENCE_S)

    def server(self) -> Feed:
        """A server of its own that connects."""
        feed = Feed(self.path)
        self._links.append(feed.link)
        return feed

    def stop(self) -> None:
        """End, and wait for it."""
        if self._say >= 0:
            os.close(self._say)
            self._say = -1
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive()
            os.close(self._commands)
            self.publisher._listener.close()
            for server in self.publisher._servers:
                server.socket.close()
            for link in self._links:
                link.close()


class Feed:
    """A server's end of the feed."""

    def __init__(self, path: Path) -> None:
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(PATIENCE_S)
        self.link.connect(str(path))
        self.frames: list[tuple[int, bytes]] = []
        self._reader = feed.Reader()

    def read(self) -> None:
        data = self.link.recv(2**20)
        assert data
        self.frames += self._reader.feed(data)

    def until(self, kind: int) -> None:
        """Read until a frame of this kind was seen."""
        while kind not in [found for found, _ in self.frames]:
            self.read()

    def ticks(self, last: int = 0, ending: int = -1, times: int = 1) -> list[tuple[int, int, int, bytes]]:
        """Every tick so far, having read up to the id `last`, or until `ending` was seen so many times."""
        while True:
            found = [tick for kind, body in self.frames if kind == feed.TICKS for tick in feed.unpack(body)]
            seen = [seq for _, seq, _, _ in found]
            if seen.count(ending) >= times if ending >= 0 else not last or (seen and seen[-1] >= last):
                return found
            self.read()


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A running publisher, already playing: `param` is the workload and how long ago it began, in ns."""
    workload, ago_ns, ring_messages = getattr(request, "param", (FAST, 500_000_000, 100))
    path = tmp_path / "publisher.sock"
    publisher = Publisher(workload, path, ring_messages, 2**30)
    publisher.play(workload.streams, time.monotonic_ns() - ago_ns)
    one = Running(publisher, path)
    monkeypatch.setattr(module, "say", one.answers.put)
    yield one
    one.stop()


def test_the_socket_is_the_owner_s_alone(running: Running):
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o600


def test_a_server_is_greeted_refilled_and_then_live(running: Running):
    server = running.server()
    server.until(feed.LIVE)
    kinds = [kind for kind, _ in server.frames]
    assert kinds[0] == feed.HELLO
    greeting = HELLO(server.frames[0][1])
    assert greeting.workload.restore() == FAST
    assert greeting.epoch == running.publisher.epoch
    refilled = [
        tick
        for kind, body in server.frames[: kinds.index(feed.LIVE)]
        if kind == feed.TICKS
        for tick in feed.unpack(body)
    ]
    assert len(refilled) == 100
    last = refilled[-1][1] + 20
    seqs = [tick[1] for tick in server.ticks(last)]
    assert seqs == list(range(refilled[0][1], seqs[-1] + 1))


def test_a_server_that_comes_back_is_refilled(running: Running):
    first = running.server()
    seen = first.ticks(510)[-1][1]
    first.link.close()
    second = running.server()
    seqs = [tick[1] for tick in second.ticks(seen + 10)]
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert seqs[0] <= seen + 1


def test_the_timetable_is_played_and_recorded(running: Running):
    server = running.server()
    got = server.ticks(520)
    running.stop()
    table = running.publisher.ticks()
    start_ns = running.publisher.started["fanout"]
    count = len(table["seq"])
    assert count >= 520
    wanted = [tick for tick, _ in zip(FAST.ticks_of(FAST.channel(0)), range(count), strict=False)]
    assert table["seq"].tolist() == [tick.seq for tick in wanted]
    assert table["due_ns"].tolist() == [start_ns + tick.due_ns for tick in wanted]
    assert table["payload_bytes"].tolist() == [len(tick.payload) for tick in wanted]
    assert table["digest"].tolist() == [zlib.crc32(tick.payload) for tick in wanted]
    assert np.all(table["sent_ns"] >= table["due_ns"])
    by_seq = {tick.seq: tick for tick in wanted}
    assert all(payload == by_seq[seq].payload for _, seq, _, payload in got)
    assert all(due == start_ns + by_seq[seq].due_ns for _, seq, due, _ in got)


# What subscribers say


def test_what_servers_say_is_numbered_recorded_and_sent_to_all_of_them(tmp_path: Path):
    path = tmp_path / "feed"
    workload = Workload(("chat", "fanout"), pace=Pace(conversation=True))
    here = Running(Publisher(workload, path, 100, 2**20), path)
    try:
        first, second = here.server(), here.server()
        frames = [feed.pack_uplink(0, b'{"n":%d}' % number) for number in range(3)]
        ignored = feed.pack_uplink(1, b"{}") + feed.frame(feed.LIVE)
        first.link.sendall(frames[0] + ignored + frames[1][:7])
        assert [tick[1] for tick in first.ticks(1)] == [1]
        first.link.sendall(frames[1][7:])
        first.ticks(2)
        second.link.sendall(frames[2])
        wanted = [(0, number + 1, b'{"n":%d}' % number) for number in range(3)]
        for server in (first, second):
            assert [(channel, seq, payload) for channel, seq, _, payload in server.ticks(3)] == wanted
    finally:
        here.stop()
    table = here.publisher.ticks()
    assert table["seq"].tolist() == [1, 2, 3]
    assert table["due_ns"].tolist() == table["sent_ns"].tolist()
    assert table["digest"].tolist() == [zlib.crc32(payload) for _, _, payload in wanted]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xff\xff\x7f\x04",  # a frame of 2 GiB
        feed.frame(feed.UPLINK, b"xy"),
        feed.pack_uplink(0, b"{}") + feed.frame(feed.UPLINK),
    ],
)
def test_a_server_that_breaks_the_format_is_dropped_and_others_are_served(tmp_path: Path, broken: bytes, capfd: Any):
    path = tmp_path / "feed"
    here = Running(Publisher(Workload(("chat",), pace=Pace(conversation=True)), path, 100, 2**20), path)
    try:
        bad, good = here.server(), here.server()
        bad.until(feed.LIVE)
        bad.link.sendall(broken)
        assert bad.link.recv(10) == b""
        for channel in (7, -1, 2**31 - 1):  # none of these exists
            good.link.sendall(feed.pack_uplink(channel, b"{}"))
        good.link.sendall(feed.pack_uplink(0, b"{}"))
        assert [(channel, seq) for channel, seq, _, _ in good.ticks(1)] == [(0, 1)]
    finally:
        here.stop()
    assert "broke the feed's format" in capfd.readouterr().err


# Its clock stops and goes on


def test_nothing_is_played_while_it_pauses_and_then_all_of_it_later(running: Running):
    server = running.server()
    before = server.ticks(510)[-1][1]
    start_ns = running.publisher.started["fanout"]
    assert running.say(Pause()) == Started({"fanout": start_ns})
    paused_ns = time.monotonic_ns()
    server.link.setblocking(False)
    while True:  # what was on its way
        try:
            server.read()
        except BlockingIOError:
            break
    held = server.ticks()[-1][1]
    assert held >= before
    assert running.publisher._next_ns() is None
    server.link.settimeout(PATIENCE_S)
    resumed_ns = time.monotonic_ns()
    answer = running.say(Resume())
    assert server.ticks(held + 20)[-1][1] >= held + 20
    running.stop()
    table = running.publisher.ticks()
    late_ns = answer.started["fanout"] - start_ns
    assert late_ns >= resumed_ns - paused_ns
    # Not one is left out or played twice; what was not due before the pause is due as much later as it was long.
    assert table["seq"].tolist() == list(range(1, len(table["seq"]) + 1))
    planned = [start_ns + tick.due_ns for tick, _ in zip(FAST.ticks_of(FAST.channel(0)), table["seq"], strict=False)]
    moved = table["due_ns"] - np.array(planned)
    assert set(moved.tolist()) == {0, late_ns}
    assert (np.diff(moved) >= 0).all()
    assert moved[held - 1] == 0 and moved[held] == late_ns
    assert not ((table["sent_ns"] > paused_ns) & (table["sent_ns"] < resumed_ns)).any()


def test_pausing_twice_is_pausing_once_and_going_on_unasked_changes_nothing(tmp_path: Path):
    publisher = Publisher(FAST, tmp_path / "publisher.sock", 10, 2**20)
    publisher.play(FAST.streams, 1000)
    publisher.resume()
    assert publisher.started == {"fanout": 1000}
    publisher.pause()
    first = publisher._paused_ns
    publisher.pause()
    assert publisher._paused_ns == first > 0
    before_ns = time.monotonic_ns()
    publisher.resume()
    assert publisher.started["fanout"] >= 1000 + before_ns - first
    assert publisher._next_ns() == publisher.started["fanout"]
    publisher._listener.close()


def test_a_stream_can_be_played_by_command_and_is_not_played_twice(running: Running):
    start_ns = running.publisher.started["fanout"]
    assert running.say(Play(("fanout",), 5)) == Started({"fanout": start_ns})


BIG = Workload(("fanout",), pace=Pace(rate_hz=200, payload_bytes=100_000))


@pytest.mark.slow
@pytest.mark.parametrize("running", [(BIG, 0, 10)], indirect=True)
def test_a_server_that_stopped_reading_delays_no_other_server(running: Running):
    """Some 15 MB are more than its socket takes: the rest waits, and all of it comes when it reads again.

    A publisher that waited for it would give the other one no more than what both sockets hold.
    """
    stopped, reading = running.server(), running.server()
    stopped.until(feed.HELLO)
    seqs = [tick[1] for tick in reading.ticks(150)]
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    waiting = max(sum(map(len, list(server.waiting))) for server in running.publisher._servers)
    assert waiting > 2**20
    late = [tick[1] for tick in stopped.ticks(150)]
    assert late == list(range(late[0], late[-1] + 1))
    running.stop()


def test_a_finite_stream_ends_and_late_subscribers_get_the_end(tmp_path: Path, brief: str):
    workload = Workload((brief,))
    path = tmp_path / "publisher.sock"
    publisher = Publisher(workload, path, 1, 1)
    publisher.play([brief], time.monotonic_ns() - 10**9)
    running = Running(publisher, path)
    try:
        for _ in range(2):
            server = running.server()
            found = server.ticks(0, NOTICE)
            assert [tick[1] for tick in found] == [1, 2, 3, NOTICE]
            assert json.loads(found[-1][3]) == {"control": "end", "last": 3}
    finally:
        running.stop()
    assert publisher.ticks()["seq"].tolist() == [1, 2, 3]


class Moody(Stream):
    """What is due at 1 and 2 ms, a failure that is over at 3 ms, one that stands, and the end of it after a minute."""

    name = "moody"
    description = "fails"

    def emissions(self, source: Source) -> Iterator[Emission | Notice]:
        yield Emission(1_000_000, "1")
        yield Notice(2_000_000, "retry", {"after_ms": 1, "count": 1})
        yield Emission(3_000_000, "2")
        yield Notice(4_000_000, "retry", {"after_ms": 1, "count": 1})
        yield Emission(60 * 10**9, "3")


def test_notices_keep_their_place_and_the_current_one_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(catalogue(), "moody", Moody())
    path = tmp_path / "publisher.sock"
    publisher = Publisher(Workload(("moody",)), path, 10, 10_000)
    running = Running(publisher, path)
    try:
        first = running.server()
        first.until(feed.LIVE)
        os.write(running._say, line(Play(("moody",), None)))
        live = first.ticks(0, NOTICE, 2)
        assert [tick[1] for tick in live] == [1, NOTICE, 2, NOTICE]
        second = running.server()
        assert [tick[1] for tick in second.ticks(0, NOTICE)] == [1, 2, NOTICE]
    finally:
        running.stop()


@pytest.mark.slow
def test_a_real_payload_is_made_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []

    def live(_: Stream, source: Source, offset_ns: int) -> str:
        made.append(time.monotonic_ns())
        return f"made {offset_ns}"

    monkeypatch.setattr(type(catalogue()["metrics"]), "live", live)
    path = tmp_path / "publisher.sock"
    publisher = Publisher(Workload(("metrics",), pace=Pace(real=True)), path, 10, 10_000)
    publisher.prepare(["metrics"], 3600)
    assert not made
    start_ns = time.monotonic_ns() - 1_500_000_000
    publisher.play(["metrics"], start_ns)
    running = Running(publisher, path)
    try:
        found = running.server().ticks(3)
    finally:
        running.stop()
    assert [payload for _, _, _, payload in found[:3]] == [b"made 0", b"made 1000000000", b"made 2000000000"]
    assert made[2] >= start_ns + 2 * 10**9
    assert publisher.ticks()["digest"].tolist() == [zlib.crc32(payload) for _, _, _, payload in found]


def test_a_publisher_takes_the_place_of_the_one_before_it(tmp_path: Path):
    path = tmp_path / "publisher.sock"
    path.touch()
    running = Running(Publisher(FAST, path, 10, 10_000), path)
    try:
        running.server().until(feed.LIVE)
    finally:
        running.stop()


# Its loop


def test_commands_that_come_together_are_done_in_order_and_nothing_is_done_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    publisher = Publisher(FAST, tmp_path / "publisher.sock", 10, 10_000)
    answers: list[Started] = []
    monkeypatch.setattr(module, "say", answers.append)
    reading, writing = os.pipe()
    os.write(writing, line(Play(("fanout",), 5)) + line(Pause()) + line(Stop("there")) + line(Play(("moody",), 6)))
    assert publisher.run(reading) == "there"
    assert answers == [Started({"fanout": 5})] * 2
    publisher._listener.close()
    os.close(reading)
    os.close(writing)


def test_a_server_that_left_is_forgotten_while_another_one_stays(running: Running):
    leaving, staying = running.server(), running.server()
    seen = staying.ticks(510)[-1][1]
    leaving.until(feed.LIVE)
    leaving.link.close()
    staying.ticks(seen + 50)
    assert len(running.publisher._servers) == 1
    again = running.server()  # with the descriptor of the one that left
    again.until(feed.LIVE)
    assert len(running.publisher._servers) == 2
    staying.ticks(seen + 100)


def test_what_it_posts_goes_out_and_is_answered_in_the_loop(running: Running):
    """The answers come when they like, and a connection that is closed is made again."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    command = PostTo("127.0.0.1", listener.getsockname()[1], Post("/p", wrap=False))
    started = running.publisher.started
    assert running.say(command) == Started(started)
    for connections in (1, 2):
        link, _ = listener.accept()
        link.settimeout(PATIENCE_S)
        while b"POST /p HTTP/1.1" not in link.recv(65536):
            pass
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        deadline = time.monotonic() + PATIENCE_S
        while running.publisher.poster.counts().posted < connections:
            assert time.monotonic() < deadline
            link.recv(65536)
        link.close()
    server = running.server()
    server.until(feed.LIVE)
    running.stop()
    assert running.publisher.poster.counts().reconnected >= 1
    for one in running.publisher.poster._lines:
        if one.socket is not None:
            one.socket.close()
    listener.close()
