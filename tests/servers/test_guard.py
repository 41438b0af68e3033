"""Each bound of `[server]` as a fact, on every stack: the answer that a client gets, and that it is counted."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtbench.messages.lines import line
from rtbench.processes.starting import Server, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable
from rtbench.servers.kit import feed as wire
from rtbench.servers.kit import frames, origin
from rtbench.servers.kit.frames import FLOOD, PROTOCOL, TOO_BIG, Bucket, Frames
from rtbench.servers.stacks import nchan
from rtbench.subjects.registry import find
from rtbench.transports.http import request_head

from .conftest import Feed, greeting

PATIENCE_S = 20
HTTP_OF_OURS = ("sse-aiohttp", "long-poll-starlette", "short-poll-go", "long-poll-node")
SOCKETS = ("websocket-aiohttp", "websocket-uvicorn", "websocket-websockets", "websocket-go", "websocket-node")
PATHS = {
    "sse": "/sse/fanout",
    "websocket": "/ws/fanout",
    "short-poll": "/poll/fanout",
    "long-poll": "/long-poll/fanout",
}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "cnRiZW5jaCBjb25mb3JtYQ==",
}
HEAD = b"HTTP/1.1 %d "


class Guarded:
    """A running server, and clients of it."""

    def __init__(self, subject: str, server: Server) -> None:
        self.server = server
        self.path = PATHS[find(subject).transport]
        parts = urlsplit(server.url)
        self.address = parts.hostname or "", parts.port or 0
        self.authority = parts.netloc

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S)

    def ask(
        self, headers: dict[str, str] | None = None, path: str = "", method: str = "GET", body: bytes = b""
    ) -> bytes:
        """What a request brings until the server closes, or the head of a stream."""
        with self.connect() as link:
            link.sendall(request_head(method, path or self.path, self.authority, headers or {}) + body)
            return head_of(link)

    def open(self) -> socket.socket:
        """A WebSocket."""
        link = self.connect()
        link.sendall(request_head("GET", self.path, self.authority, UPGRADE))
        assert head_of(link).startswith(HEAD % 101)
        return link

    def refused(self) -> dict[str, int]:
        """Stop it; what it says that it refused."""
        self.server.stop()
        return self.server.refused


def head_of(link: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n\r\n" not in data and (more := link.recv(65536)):
            data += more
    return data


def rest_of(link: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while more := link.recv(65536):
            data += more
    return data


Guard = Callable[..., AbstractContextManager[Guarded]]


@pytest.fixture
def guarded(tmp_path: Path, feed: Feed) -> Guard:
    """`with guarded(subject, KEY=VALUE) as server`: with these keys of [server]."""

    @contextmanager
    def start(subject: str, **table: Any) -> Iterator[Guarded]:
        what, remedy = find(subject).missing()
        if what:
            pytest.skip(f"{subject} needs {what}: {remedy}")
        scenario = Scenario(server=ServerTable(**table))
        with server_of(find(subject), scenario, feed.path, tmp_path, (), tmp_path / "server.log") as server:
            feed.accept()
            feed.say(wire.HELLO, line(greeting("fanout")).rstrip())
            feed.live()
            server.ready()
            yield Guarded(subject, server)

    return start


def masked(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    return bytes((opcode | (0x80 if fin else 0),)) + length + bytes(4) + payload


def code_in(data: bytes) -> int:
    """The code of the close frame that ends what a server sent."""
    at = data.rfind(b"\x88\x02")
    if at < 0:
        at = data.rfind(b"\x88")
    return int.from_bytes(data[at + 2 : at + 4], "big")


# Heads


@pytest.mark.slow
@pytest.mark.parametrize("subject", [*HTTP_OF_OURS, "websocket-websockets"])
def test_a_head_is_bounded_in_bytes_and_in_time(guarded: Guard, subject: str):
    with guarded(subject, head_bytes=8192, head_s=0.3) as server:
        with server.connect() as half, server.connect() as silent:
            half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            huge = server.ask({"X-Long": "x" * 20_000})
            late, nothing = rest_of(half), rest_of(silent)
        assert huge.startswith(HEAD % 431)
        if not subject.endswith("go"):  # net/http closes without an answer
            assert late.startswith(HEAD % 408)
        assert nothing == b"" or nothing.startswith(HEAD % 408)
        assert server.ask().startswith(HEAD % (400 if "websocket" in subject else 200))
        counts = server.refused()
    assert (counts["head_s"], counts["head_bytes"]) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["long-poll-aiohttp", "long-poll-starlette", "long-poll-go", "long-poll-node"])
def test_an_idle_connection_ends(guarded: Guard, subject: str):
    with guarded(subject, idle_s=1.0) as server, server.connect() as link:
        link.sendall(request_head("GET", server.path, server.authority, {}))
        assert rest_of(link).startswith(HEAD % 200)  # to the end of the connection


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("sse-aiohttp", "connections"),
        ("sse-aiohttp", "connections_by_peer"),  # the others on asyncio have the same door
        ("short-poll-go", "connections"),
        ("short-poll-go", "connections_by_peer"),
        ("long-poll-node", "connections"),
        ("long-poll-node", "connections_by_peer"),
    ],
)
def test_connections_are_bounded(guarded: Guard, subject: str, key: str):
    with guarded(subject, **{key: 3}) as server:
        kept = [server.connect() for _ in range(3)]
        with server.connect() as more:
            answer = rest_of(more)
        assert answer.startswith(HEAD % 503)
        assert b"retry-after: 5" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "too many connections; try again"}
        for link in kept:
            link.close()
        while not (answer := server.ask()).startswith(HEAD % (400 if "websocket" in subject else 200)):
            assert answer.startswith(HEAD % 503)  # it has not seen yet that they left
        assert server.refused()[key] >= 1


# Requests


@pytest.mark.slow
@pytest.mark.parametrize("subject", [*HTTP_OF_OURS, "short-poll-aiohttp", "websocket-websockets"])
def test_the_requests_of_an_address_are_bounded(guarded: Guard, subject: str):
    with guarded(subject, requests_hz=5.0) as server:
        answers = [server.ask(path="/plan/fanout", headers={"Connection": "close"}) for _ in range(30)]
        refused = [answer for answer in answers if answer.startswith(HEAD % 429)]
        assert refused
        assert {answer[9:12] for answer in answers} == {b"200", b"429"}
        assert all(b"retry-after: 1\r\n" in answer.lower() for answer in refused)
        counts = server.refused()
    assert counts == {"requests_hz": len(refused)}


@pytest.mark.slow
@pytest.mark.parametrize("subject", HTTP_OF_OURS)
def test_a_connection_that_asks_too_often_ends(guarded: Guard, subject: str):
    with guarded(subject, requests_hz=5.0) as server, server.connect() as link:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                link.sendall(request_head("GET", "/plan/fanout", server.authority, {}))
                if HEAD % 200 not in (answer := head_of(link)):  # the rest of the last answer's body may come first
                    break
        assert b"HTTP/1.1 " not in answer or HEAD % 429 in answer  # those of asyncio close
        assert server.refused() == {"requests_hz": 1}


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["short-poll-aiohttp", "long-poll-starlette", "long-poll-node"])
def test_requests_sent_at_once_are_bounded(guarded: Guard, subject: str):
    with guarded(subject, pipelined=8) as server:
        one = request_head("GET", "/plan/fanout", server.authority, {})
        for before in (b"", one):
            with server.connect() as link:
                if before:
                    link.sendall(before)
                    assert head_of(link).startswith(HEAD % 200)
                link.sendall(one * 20)
                # Node counts what is not written yet, and may have written the first.
                assert rest_of(link).count(HEAD % 200) <= 8 + ("node" in subject)
        with server.connect() as link:  # so many are answered
            link.sendall(one * 7 + request_head("GET", "/plan/fanout", server.authority, {"Connection": "close"}))
            assert rest_of(link).count(HEAD % 200) == 8
        assert server.refused() == {"pipelined": 2}


@pytest.mark.slow
def test_a_head_cut_into_pieces_counts_each_of_them(guarded: Guard):
    with guarded("short-poll-aiohttp", requests_hz=5.0) as server, server.connect() as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = request_head("GET", "/plan/fanout", server.authority, {})
        link.sendall(one)
        assert head_of(link).startswith(HEAD % 200)
        asked = 1
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:  # the end of each head comes with the beginning of the next
                link.sendall(one[:-1] if asked == 1 else b"\n" + one[:-1])
                if asked > 1 and not head_of(link):
                    break
                asked += 1
        assert asked < 30
        assert server.refused() == {"requests_hz": 1}


# Frames


@pytest.mark.slow
@pytest.mark.parametrize("subject", SOCKETS)
def test_a_hostile_frame_ends_its_connection_with_the_right_code(guarded: Guard, subject: str):
    cases = [
        (b"\x81\x01x", PROTOCOL),
        (masked(1, b"x" * 2000), TOO_BIG),
        (masked(1, b"x" * 600, fin=False) + masked(0, b"x" * 600), TOO_BIG),
        (masked(9, b"") * 200, FLOOD),
        (masked(1, b"{}") * 200, FLOOD),
    ]
    with guarded(subject, message_bytes=1024, publishes_hz=20.0) as server:
        for sent, code in cases:
            with server.open() as link:
                link.sendall(sent)
                assert code_in(rest_of(link)) == code, (sent[:4], code)
        with server.open() as link:  # what is within the bounds gets its answer
            link.sendall(masked(9, b"still here"))
            assert b"still here" in link.recv(65536)
        counts = server.refused()
    assert (counts["frames"], counts["message_bytes"], counts["publishes_hz"]) == (1, 2, 2)


@pytest.mark.slow
def test_picows_bounds_connections_and_frames(guarded: Guard):
    with guarded("websocket-picows", publishes_hz=20.0, connections=1) as server:
        with server.open() as link:
            with server.connect() as more:
                more.sendall(request_head("GET", server.path, server.authority, UPGRADE))
                assert code_in(rest_of(more)) == 1013
            link.sendall(masked(9, b"") * 200)
            assert code_in(rest_of(link)) == FLOOD
        assert server.refused() == {"connections": 1, "publishes_hz": 1}


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["websocket-aiohttp", "websocket-uvicorn"])  # websockets closes without an answer
def test_frames_that_come_with_the_handshake_are_bounded_too(guarded: Guard, subject: str):
    with guarded(subject) as server, server.connect() as link:
        link.sendall(request_head("GET", server.path, server.authority, UPGRADE) + b"\x81\x01x")
        answer = rest_of(link)
    assert answer.startswith(HEAD % 101)
    assert code_in(answer) == PROTOCOL


# Posts


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["sse-aiohttp", "long-poll-starlette"])
def test_a_post_is_bounded_in_bytes_in_time_and_in_number(guarded: Guard, subject: str):
    where = {"path": "/send/fanout", "method": "POST"}
    with guarded(subject, message_bytes=1024, head_s=0.3, publishes_hz=10.0) as server:
        assert server.ask({"Content-Length": "2000"}, body=b"x" * 2000, **where).startswith(HEAD % 413)
        assert server.ask({"Content-Length": "200"}, body=b"x", **where).startswith(HEAD % 408)
        answers = [server.ask({"Content-Length": "2"}, body=b"{}", **where) for _ in range(30)]
        assert {answer[9:12] for answer in answers} == {b"403", b"429"}  # fanout takes no messages
        assert all(b"retry-after: 1" in answer.lower() for answer in answers if answer[9:12] == b"429")
        counts = server.refused()
    assert (counts["message_bytes"], counts["head_s"]) == (1, 1)
    assert counts["publishes_hz"] == sum(answer[9:12] == b"429" for answer in answers)


@pytest.mark.slow
def test_nchan_takes_posts_with_the_token_alone(tmp_path: Path):
    if (found := find("sse-nchan").missing())[0]:
        pytest.skip(f"sse-nchan needs {found[0]}: {found[1]}")
    with server_of(find("sse-nchan"), Scenario(), tmp_path, tmp_path, (), tmp_path / "server.log") as running:
        running.ready()
        server = Guarded("sse-nchan", running)
        for token, status in ((nchan.TOKEN, b"2"), ("another", b"403")):
            asked = {"Content-Length": "2", "X-Rtbench-Token": token}
            answer = server.ask(asked, path="/publish/fanout/0", method="POST", body=b"{}")
            assert answer[9:12].startswith(status)


@pytest.mark.slow
def test_nchan_opens_for_listed_pages_alone(tmp_path: Path):
    if (found := find("websocket-nchan").missing())[0]:
        pytest.skip(f"websocket-nchan needs {found[0]}: {found[1]}")
    scenario = Scenario(server=ServerTable(allow_origin=("https://good.example",), head_s=1.0))
    with server_of(find("websocket-nchan"), scenario, tmp_path, tmp_path, (), tmp_path / "server.log") as running:
        running.ready()
        server = Guarded("websocket-nchan", running)
        for origin_, status in (
            ("https://good.example", 101),
            ("https://bad.example", 403),
            ("https://good.example.org", 403),
            (f"http://{server.authority}", 101),
            (f"https://{server.authority}.example", 403),
            ("null", 403),
        ):
            assert server.ask({**UPGRADE, "Origin": origin_}, path="/subscribe/fanout/0").startswith(HEAD % status)
        assert server.ask({"Origin": "null"}, path="/poll/fanout/0").startswith(HEAD % 403)
        with server.connect() as half:
            half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            assert rest_of(half) == b""  # it closes


# Origins


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["websocket-aiohttp", "websocket-picows", "websocket-go", "websocket-node"])
def test_a_listed_origin_may_connect_and_others_are_counted(guarded: Guard, subject: str):
    with guarded(subject, allow_origin=("https://good.example",)) as server:
        assert server.ask({**UPGRADE, "Origin": "https://good.example"}).startswith(HEAD % 101)
        assert server.ask({**UPGRADE, "Origin": "https://bad.example"}).startswith(HEAD % 403)
        assert server.refused() == {"origin": 1}


@pytest.mark.slow
@pytest.mark.parametrize("subject", HTTP_OF_OURS)
def test_a_listed_origin_may_read_an_answer(guarded: Guard, subject: str):
    with guarded(subject, allow_origin=("https://good.example",)) as server:
        good, bad = (server.ask({"Origin": f"https://{name}.example"}) for name in ("good", "bad"))
    assert b"access-control-allow-origin: https://good.example\r\n" in good.lower()
    assert b"access-control-allow-origin" not in bad.lower()


@pytest.mark.parametrize(
    ("page", "listed", "may"),
    [
        (None, (), True),
        ("http://host:80", (), True),
        ("https://HOST:80", (), True),
        ("http://host", (), False),
        ("http://host:80.example", (), False),
        ("http://host:81", (), False),
        ("file://host:80", (), False),
        ("null", (), False),
        ("", (), False),
        ("http://other", ("http://other",), True),
        ("http://other", ("http://others",), False),
        ("null", ("*",), True),
    ],
)
def test_which_pages_may_connect(page: str | None, listed: tuple[str, ...], may: bool):
    assert origin.allowed(page, "host:80", listed) is may


def test_answers_are_shared_with_listed_pages_alone():
    assert origin.cors("http://a", ()) == {}
    assert origin.cors(None, ("*",)) == {}
    assert origin.cors("http://a", ("http://a",))["Access-Control-Allow-Origin"] == "http://a"


# The walk over frames, whole and byte by byte

WALKS = [
    (masked(1, b"hello") + masked(9, b"") + masked(2, b"x" * 300), 0),
    (masked(1, b"x" * 1000), 0),
    (masked(1, b"x" * 1001), TOO_BIG),
    (masked(1, b"x" * 600, fin=False) + masked(9, b"between") + masked(0, b"x" * 401), TOO_BIG),
    (masked(1, b"x" * 600, fin=False) + masked(0, b"x" * 400) + masked(1, b"x" * 1000), 0),
    (masked(2, b"x" * 70_000), TOO_BIG),
    (b"\x81\x00", PROTOCOL),
    (masked(9, b"x" * 126), PROTOCOL),
    (masked(9, b"x", fin=False), PROTOCOL),
    (masked(10, b"") * 51, FLOOD),
]


@pytest.mark.parametrize("step", [1, 7, 10**6])
@pytest.mark.parametrize(("sent", "code"), WALKS, ids=range(len(WALKS)))
def test_the_first_wrong_frame_is_found_however_its_bytes_come(
    sent: bytes, code: int, step: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frames.time, "monotonic", lambda: 5.0)
    walk = Frames(1000, 50)
    assert next((found for at in range(0, len(sent), step) if (found := walk.feed(sent[at : at + step]))), 0) == code


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch):
    now = [5.0]
    monkeypatch.setattr(frames.time, "monotonic", lambda: now[0])
    bucket = Bucket(2)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert not bucket.full
    now[0] = 6.0
    assert bucket.full
    assert [bucket.take() for _ in range(3)] == [True, True, False]
