"""The article's framework (`make hyperlane`): what is its own. (Its subjects are in tests/conformance and test_fed.py.)

Its unit tests are Rust's: `cargo test` in servers/hyperlane.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtbench import conformance
from rtbench.conformance._client import Subscriber, fetch, held, subscribing
from rtbench.conformance._stage import Stage
from rtbench.conformance._target import Target
from rtbench.conformance.verify import CaseResult, _run
from rtbench.processes.process import STOP_S, Process
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.streams import catalogue
from rtbench.subjects.registry import find

from .conftest import Feed, on_one_connection

FOLDER = Path(__file__).parents[2] / "servers" / "hyperlane"
BINARY = FOLDER / "target" / "release" / "rtbench-hyperlane"
PUSH = ("sse", "websocket")
POLLS = ("short-poll", "long-poll")
TRANSPORTS = (*PUSH, *POLLS)
PATIENCE_S = 60
CASE_PATIENCE_S = 6.0
LIMITS = {"heartbeat_s": 15.0, "ring_messages": 1000, "ring_bytes": 2**26, "buffer_bytes": 2**20}

pytestmark = pytest.mark.slow


def binary() -> str:
    """The program. Skips the test when it is not built."""
    if not BINARY.exists():
        pytest.skip("hyperlane is not built: make hyperlane")
    return str(BINARY)


class Hyperlane(ServerProcess):
    """The program, started as our own servers are."""

    def __init__(self, folder: Path, **options: Any) -> None:
        table = {"host": "127.0.0.1", "port": 0, "limits": LIMITS, "token": "open", **options}
        Process.__init__(self, [binary(), json.dumps(table)], (), folder / "server.log")
        self.url = ""
        self.uses = {}
        self.refused = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        url = urlsplit(self.url)
        return url.hostname or "", url.port or 0

    def target(self, transport: str, stream: str, **known: Any) -> Target:
        """It, asked for a stream over a transport."""
        return Target(*self.address, transport, stream, **{"patience_s": 15.0, **known})


# Conformance


def verified(transport: str, fanout: str, folder: Path) -> tuple[CaseResult, ...]:
    """Every case that applies, as `rtbench.conformance.verify` runs them on a subject."""
    stage = Stage.of(Scenario(), folder, patience_s=CASE_PATIENCE_S)
    table = {name: getattr(stage.scenario.server, name) for name in LIMITS}
    with (
        PublisherProcess(stage.workload, stage.scenario, folder, (), folder / "publisher.log") as publisher,
        Hyperlane(folder, ingest=str(publisher.socket_path), limits=table, fanout=fanout) as server,
    ):
        publisher.ready()
        stage.begin(publisher)
        server.ready()
        stage.fail(publisher)
        target = replace(stage.target(find(f"{transport}-hyperlane"), publisher, server), patience_s=CASE_PATIENCE_S)
        return tuple(_run(target, conformance.catalogue().values(), None))


@pytest.mark.parametrize("transport", PUSH)
def test_the_other_way_to_fan_out_keeps_the_contract_too(transport: str, tmp_path: Path):
    found = verified(transport, "task", tmp_path)
    assert [problem for case in found if case.status == "failed" for problem in case.problems] == []
    assert sum(case.status == "passed" for case in found) > 20


# Its own: fed by hand


@pytest.fixture
def fed(tmp_path: Path, feed: Feed) -> Iterator[Callable[..., Hyperlane]]:
    """`fed("stocks", …)`: a server that is ready, with these streams and nothing in them yet."""
    with contextlib.ExitStack() as stack:

        def start(*streams: str, limits: dict[str, Any] | None = None, **workload: Any) -> Hyperlane:
            table = {**LIMITS, **(limits or {})}
            server: Hyperlane = stack.enter_context(Hyperlane(tmp_path, ingest=str(feed.path), limits=table))
            feed.accept()
            feed.hello(*streams, **workload)
            feed.live()
            server.ready()
            return server

        yield start


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., Hyperlane]]:
    """`alone(…)`: a server that nobody feeds."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Hyperlane:
            server: Hyperlane = stack.enter_context(Hyperlane(tmp_path, **options))
            server.ready()
            return server

        yield start


def ids(subscriber: Subscriber, count: int) -> list[int]:
    return [message.id for message in subscriber.messages(count)]


def test_it_says_what_it_uses(fed: Callable[..., Hyperlane]):
    uses = fed("stocks", limits={"heartbeat_s": 0.5}).uses
    assert uses["stack"] == "hyperlane 22.1.0"
    assert uses["rustc"].startswith("rustc 1.")
    wanted = {
        **LIMITS,
        "heartbeat_s": 0.5,
        "loop": "tokio",
        "runtime": "current_thread",
        "technique": "encode-once",
        "fanout": "direct",
        "nodelay": True,
        "backlog": 4096,
        "access_log": False,
        "compression": "none",
        "slow_consumer": "drop",
    }
    assert {name: uses[name] for name in wanted} == wanted


def test_it_is_one_thread_with_the_declared_backlog(fed: Callable[..., Hyperlane]):
    server = fed("stocks")
    assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
    if (ss := shutil.which("ss")) is None:
        pytest.skip("no ss to ask for the backlog")
    said = subprocess.run([ss, "-Hltn", f"sport = :{server.address[1]}"], capture_output=True, text=True, check=True)
    limit = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert int(said.stdout.split()[2]) == min(4096, limit)


def test_the_finite_streams_are_the_catalogue_s():
    """The feed does not say what kind of stream each is: servers know. This one's lists are in feed.rs."""
    text = (FOLDER / "src" / "feed.rs").read_text()

    def named(constant: str) -> set[str]:
        found = re.search(rf"{constant}: [^=]*= [\[(]([^\])]*)[\])]", text)
        assert found is not None
        return set(re.findall(r'"(\w+)"', found[1]))

    known = catalogue().values()
    assert named("FINITE") == {stream.name for stream in known if stream.finite}
    assert named("FROM_NOW") == {stream.name for stream in known if stream.finite and not stream.from_start}
    assert named("OWN_HEARTBEAT") == {stream.name for stream in known if stream.heartbeat_s is not None}


def test_one_connection_takes_a_stream_and_then_polls(fed: Callable[..., Hyperlane], feed: Feed):
    server = fed("chat")
    feed.ticks(1, 2)
    feed.notice("end", last=2)
    asked = {
        "/sse/chat?since=1": 200,
        "/poll/chat?since=1": 200,
        "/long-poll/chat?since=1": 200,
        "/poll/chat?since=x": 400,
    }
    stream, short, long, _ = (body for _, body in on_one_connection(server.address, asked, PATIENCE_S))
    assert stream.startswith(b"id: 2\n")
    assert short == long
    assert [message["id"] for message in json.loads(short)["messages"]] == [2]


# Its own: HTTP


def post(server: Hyperlane, path: str, body: bytes) -> tuple[int, Any]:
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=PATIENCE_S)) as link:
        link.request("POST", path, body, {"Authorization": "Bearer open"})
        response = link.getresponse()
        return response.status, json.loads(response.read())


def test_messages_can_be_published_over_http(alone: Callable[..., Hyperlane]):
    server = alone(streams=["mine", "other"], channels=2)
    texts = [b'{"a":1}', b"plain text \xc3\xa9", b"12", b""]
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Subscriber(server.target(name, "mine"))) for name in TRANSPORTS]
        others = [stack.enter_context(Subscriber(server.target(name, "mine?channel=1"))) for name in TRANSPORTS]
        assert all(subscriber.open() for subscriber in (*crowd, *others))
        for number, text in enumerate(texts, 1):
            assert post(server, "/publish/mine", text) == (200, {"id": number})
        assert post(server, "/publish/mine?channel=1", b"one") == (200, {"id": 1})
        for subscriber in crowd:
            assert [(m.id, m.payload) for m in subscriber.messages(4)] == list(enumerate(texts, 1))
        for subscriber in others:
            assert [(m.id, m.payload) for m in subscriber.messages(1)] == [(1, b"one")]
    for path, body, status in (
        ("/publish/none", b"x", 404),
        ("/publish/mine?channel=2", b"x", 404),
        ("/publish/mine?channel=x", b"x", 400),
        ("/publish/mine", b"two\nlines", 400),
        ("/publish/mine", b"\xff", 400),
        ("/publish/mine", b"x" * (2**20 + 1), 413),
    ):
        found, answer = post(server, path, body)
        assert (found, list(answer)) == (status, ["error"]), path
    assert fetch(server.target("sse", ""), "/publish/mine").status == 405


def test_publishing_is_off_without_a_token_and_needs_the_right_one(alone: Callable[..., Hyperlane]):
    for token, status in (("", 403), ("another", 401)):
        assert post(alone(token=token), "/publish/stocks", b"x")[0] == status


def test_a_stream_that_is_fed_is_the_publisher_s(fed: Callable[..., Hyperlane]):
    status, answer = post(fed("stocks"), "/publish/stocks", b"x")
    assert (status, list(answer)) == (409, ["error"])


def test_publishing_is_pipelined(alone: Callable[..., Hyperlane]):
    server = alone()
    request = b"POST /publish/stocks HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer open\r\nContent-Length: 2\r\n\r\n%02d"
    with socket.create_connection(server.address, 5) as link, Subscriber(server.target("sse", "stocks")) as subscriber:
        assert subscriber.open()
        link.sendall(b"".join(request % number for number in range(1, 51)))
        assert [(m.id, m.payload) for m in subscriber.messages(50)] == [(n, b"%02d" % n) for n in range(1, 51)]


@pytest.mark.parametrize(
    ("path", "stream"),
    [("/events", "events"), ("/metrics", "metrics"), ("/news", "news"), ("/chat", "chat"), ("/weather", "general")],
)
def test_the_article_s_routes(path: str, stream: str, alone: Callable[..., Hyperlane]):
    server = alone()
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=PATIENCE_S)) as link:
        link.request("GET", path)
        response = link.getresponse()
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        post(server, f"/publish/{stream}", b"x")
        lines = iter(response.readline, b"")
        assert next(line for line in lines if line.strip(b":\n")) == b"id: 1\n"
        assert next(lines) == b"data: x\n"


def test_production_is_not_to_be_stored(alone: Callable[..., Hyperlane]):
    target = alone().target("sse", "production")
    headers = fetch(target, target.path()).headers
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert (headers["pragma"], headers["expires"]) == ("no-cache", "0")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /sse/stocks HTTP/1.1\r\n\r\n", 400),
        (b"GET /sse/stocks HTTP/1.0\r\n\r\n", 505),
        (b"HEAD /sse/stocks HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"GET /sse/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ],
)
def test_what_is_asked_wrongly(request_: bytes, status: int, alone: Callable[..., Hyperlane]):
    with socket.create_connection(alone().address, 5) as link:
        link.sendall(request_)
        data = link.recv(65536)
    assert data.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))
    assert list(json.loads(data.partition(b"\r\n\r\n")[2])) == ["error"]


# Its own: polls


def test_what_came_together_is_one_answer_to_a_poll_that_waits(fed: Callable[..., Hyperlane], feed: Feed):
    server = fed("stocks")
    with Subscriber(server.target("long-poll", "stocks"), timeout_s=PATIENCE_S) as subscriber:
        assert subscriber.open()  # the answer that gives a cursor
        subscriber.ask()
        feed.ticks(1, 2, 3)
        assert ids(subscriber, 3) == [1, 2, 3]
        assert subscriber.answers == 2


def test_an_etag_is_a_cursor(fed: Callable[..., Hyperlane], feed: Feed):
    server = fed("stocks")
    feed.ticks(1, 2)
    target = server.target("short-poll", "stocks")
    with Subscriber(target, 0) as subscriber:
        assert ids(subscriber, 2) == [1, 2]
    for tag, status, messages in (('"2"', 304, None), ('W/"1"', 200, [2]), ('"1"', 200, [2]), ("*", 200, [])):
        answer = fetch(target, "/poll/stocks", headers={"If-None-Match": tag})
        assert (answer.status, answer.headers["etag"]) == (status, '"2"')
        found = answer.json()
        assert (found and [message["id"] for message in found["messages"]]) == messages


def test_who_leaves_while_its_poll_waits_is_noticed(fed: Callable[..., Hyperlane], feed: Feed):
    server = fed("stocks")
    with Subscriber(server.target("long-poll", "stocks"), timeout_s=PATIENCE_S) as subscriber:
        assert subscriber.open()
        subscriber.ask()
        port = subscriber.link.getsockname()[1]
        assert held(server.address[1], port)
    deadline = time.monotonic() + PATIENCE_S / 2
    while held(server.address[1], port) is not False:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_asks_on_while_its_poll_waits_gets_that_answer_alone(fed: Callable[..., Hyperlane], feed: Feed):
    target = fed("stocks").target("long-poll", "stocks")
    with Subscriber(target, timeout_s=PATIENCE_S) as subscriber:
        assert subscriber.open()
        subscriber.ask()
        fetch(target, "/plan/stocks")  # one thread: when this is answered, what was sent before has been read
        subscriber.link.sendall(b"GET /plan/stocks HTTP/1.1\r\nHost: h\r\n\r\n")
        fetch(target, "/plan/stocks")
        feed.ticks(1)
        data = whole(subscriber.link)
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b'"messages":[{"id":1,"data":{"n":1}}]' in data


# Its own: WebSocket


def frame(opcode: int, body: bytes = b"", *, mask: bool = True, fin: bool = True) -> bytes:
    """A client's frame; its mask is zero."""
    size = bytes([len(body)]) if len(body) < 126 else b"\x7f" + len(body).to_bytes(8, "big")
    head = bytes([opcode | 0x80 * fin, size[0] | 0x80 * mask]) + size[1:]
    return head + bytes(4 * mask) + body


@contextlib.contextmanager
def conversing(server: Hyperlane, also: bytes = b"") -> Iterator[socket.socket]:
    """A WebSocket without a codec. `also` is sent in one go with the handshake."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in subscribing(server.target("websocket", "")).items())
    with socket.create_connection(server.address, 5) as link:
        link.sendall(f"GET /ws/stocks HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode() + also)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += link.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"content-length" not in head.lower()
        yield link


def whole(link: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    data = b""
    while more := link.recv(65536):
        data += more
    return data


def test_pings_and_closes_are_answered(alone: Callable[..., Hyperlane]):
    server = alone()
    with conversing(server) as link:
        link.sendall(frame(9, b"are you there"))
        assert link.recv(100) == b"\x8a\x0dare you there"
        link.sendall(frame(1, b"a", fin=False) + frame(9) + frame(0, b"b") + frame(2, bytes(70_000)) + frame(10))
        assert link.recv(100) == b"\x8a\x00"
        split = frame(9, b"split")
        link.sendall(split[:3])
        time.sleep(0.02)
        link.sendall(split[3:] + frame(8, b"\x03\xe8bye"))
        assert whole(link) == b"\x8a\x05split\x88\x02\x03\xe8"
    with conversing(server, frame(9, b"early") + frame(8)) as link:
        assert whole(link) == b"\x8a\x05early\x88\x00"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"x", mask=False), 1002),
        (frame(0x41, b"x"), 1002),
        (frame(3), 1002),
        (b"\x82\xff" + b"\xff" * 8 + bytes(4), 1009),
    ],
)
def test_what_no_client_may_send_closes(sent: bytes, code: int, alone: Callable[..., Hyperlane]):
    server = alone()
    with conversing(server) as link:
        link.sendall(sent)
        assert whole(link) == b"\x88\x02" + code.to_bytes(2, "big")
    with conversing(server):  # and nobody else's connection
        pass


@pytest.mark.parametrize("fields", [{"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Version": "8"}, {"Upgrade": "h2c"}])
def test_a_wrong_handshake_is_refused(fields: dict[str, str], alone: Callable[..., Hyperlane]):
    target = alone().target("websocket", "stocks")
    assert fetch(target, target.path(), headers=subscribing(target, fields)).status == 400


# The process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_thousand_connections_get_their_farewell_in_time(
    number: signal.Signals, fed: Callable[..., Hyperlane], feed: Feed
):
    server = fed("stocks")
    with contextlib.ExitStack() as stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        crowd = [stack.enter_context(Subscriber(server.target(PUSH[index % 2], "stocks"))) for index in range(1000)]
        assert all(subscriber.open() for subscriber in crowd)
        feed.ticks(1, 2)
        assert all(ids(subscriber, 2) == [1, 2] for subscriber in crowd)
        gone = stack.enter_context(ThreadPoolExecutor(1)).submit(server._child.wait, STOP_S)
        server.kill(number)
        for subscriber in crowd:
            while subscriber.event(PATIENCE_S) is not None:
                pass
            assert subscriber.closed is not None and subscriber.closed.clean, subscriber.why()
            assert subscriber.closed.code == (1001 if subscriber.target.transport == "websocket" else 0)
        assert gone.result() == 0


def test_a_client_that_does_not_answer_a_farewell_does_not_hold_it_up(alone: Callable[..., Hyperlane]):
    server = alone()
    with conversing(server), conversing(server):
        server.kill(signal.SIGTERM)
        assert server._child.wait(STOP_S) == 0


def test_it_leaves_while_it_waits_for_the_publisher(tmp_path: Path):
    with Hyperlane(tmp_path, ingest=str(tmp_path / "nobody")) as server:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(server.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        server.kill(signal.SIGTERM)
        assert server._child.wait(STOP_S) == 0
        assert server._child.stdout is not None
        assert json.loads(server._child.stdout.read()).keys() == {"refused"}  # no address: it never served


def _listens(pid: int) -> bool:
    """Whether it has come so far as to handle SIGTERM."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def _run_wrongly(*arguments: str) -> str:
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


def test_a_user_error_is_one_line_and_exit_code_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = {"host": "127.0.0.1", "port": port, "limits": LIMITS}
        said = _run_wrongly(json.dumps(options))
        assert said == (
            f"rtbench: cannot listen on 127.0.0.1:{port} (Address already in use): free that port or take --port 0\n"
        )
    assert "cannot listen on nowhere.invalid:1" in _run_wrongly(
        json.dumps({"host": "nowhere.invalid", "port": 1, "limits": LIMITS})
    )
    assert "missing field `host`" in _run_wrongly("{}")
    assert "give one JSON object" in _run_wrongly()


def test_ipv6(alone: Callable[..., Hyperlane]):
    server = alone(host="::1")
    assert server.url.startswith("http://[::1]:")
    with Subscriber(server.target("sse", "stocks")) as subscriber:
        assert subscriber.open()
