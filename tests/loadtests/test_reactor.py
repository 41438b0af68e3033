"""The reactor for real, in a process of its own: sockets of a small server, nothing lost, every stamp in its place.

All of it twice: with its inner loop in Python and in C.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtbench.machine import inner_loop as machine_inner_loop
from rtbench.records.tables import read_table

pytestmark = pytest.mark.slow

LOAD = """
import json, sys
import gevent
from rtbench.loadtests.load import Load
from rtbench.loadtests.subscriber import Endpoint
from rtbench.messages.load import LoadSettings

config = json.loads(sys.argv[1])
load = Load(LoadSettings(**config["settings"]))
target = Endpoint.of(config["url"])
subscribers = [load.subscriber(config["transport"]) for _ in range(config["subscribers"])]
users = [gevent.spawn(subscriber.subscribe, target) for subscriber in subscribers]
gevent.joinall(users, timeout=60, raise_error=True)
recorder = load.recorder
recorder.decode()
from pathlib import Path
recorder.write(Path(config["folder"]), "", polling=True)
print(json.dumps({"failed": load.failed, "subscribed": load.subscribed_count, "faults": recorder.faults,
                  "open": load.reactor.open_connections}))
"""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(seq: int) -> bytes:
    data = b'id: %d\ndata: {"seq":%d}\n\n' % (seq, seq)
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Server:
    """Speaks SSE to `subscribers` connections, one write a message and connection; or does what `instead` says."""

    subscribers: int
    messages: int
    instead: str = ""
    sent_ns: dict[int, int] = field(default_factory=dict)  # by seq: just before its first write
    sent_bytes: int = 0
    asked_bytes: dict[int, int] = field(default_factory=dict)  # by the client's port

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        connections = []
        for _ in range(self.subscribers):
            connection, (_, port) = self.listener.accept()
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            self.asked_bytes[port] = len(request)
            connections.append(connection)
        writes = [HEAD, *(event(seq) for seq in range(1, self.messages + 1)), b"0\r\n\r\n"]
        if self.instead == "nothing":
            writes = []
        self.sent_bytes = len(b"".join(writes))
        for seq, data in enumerate(writes):
            self.sent_ns[seq] = time.monotonic_ns()
            for connection in connections:
                connection.sendall(data)
        for connection in connections:
            if self.instead == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            connection.close()

    def close(self) -> None:
        self.thread.join(20)
        self.listener.close()


def generate(folder: Path, url: str, subscribers: int, transport: str = "sse", **settings: Any) -> dict[str, Any]:
    """Run the load generator (without Locust) until all its connections are over; what it says."""
    config = {
        "folder": str(folder),
        "url": url,
        "subscribers": subscribers,
        "transport": transport,
        "settings": settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(config)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module", params=["python", "c"])
def inner_loop(request: pytest.FixtureRequest) -> str:
    """`LoadSettings.library`: which inner loop reads."""
    if request.param == "python":
        return ""
    library = machine_inner_loop.library()
    if library is None:
        pytest.skip(f"needs a C compiler: {machine_inner_loop.REMEDY}")
    return str(library)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, inner_loop: str) -> Iterator[tuple[Server, Path, dict[str, Any]]]:
    """20 connections, 200 messages each, a capture buffer that is too small for them all."""
    folder = tmp_path_factory.mktemp("run")
    server = Server(subscribers=20, messages=200)
    said = generate(folder, server.url, 20, capture_bytes=0, library=inner_loop)
    server.close()
    yield server, folder, said


def test_all_ended_well(run: tuple[Server, Path, dict[str, Any]]) -> None:
    assert run[2] == {"failed": {}, "subscribed": 0, "faults": [], "open": 0}


def test_nothing_is_lost_and_all_is_in_order(run: tuple[Server, Path, dict[str, Any]]) -> None:
    _, folder, _ = run
    rows = read_table(folder / "deliveries.parquet", "deliveries")
    for subscriber in range(20):
        assert rows["seq"][rows["subscriber"] == subscriber].tolist() == list(range(1, 201))
    assert rows["payload_bytes"].tolist() == [len(b'{"seq":%d}' % seq) for seq in rows["seq"]]


def test_stamps_are_in_the_order_of_things(run: tuple[Server, Path, dict[str, Any]]) -> None:
    server, folder, _ = run
    rows = read_table(folder / "deliveries.parquet", "deliveries")
    sent = np.array([server.sent_ns[seq] for seq in rows["seq"].tolist()])
    stamped = rows["kernel_ns"] >= 0
    assert stamped.sum() >= 20  # at least the last message of every connection
    # Two clocks paired to some microseconds: half a millisecond would be a bug, not a jitter.
    slack = 500_000
    assert (rows["kernel_ns"][stamped] >= sent[stamped] - slack).all()
    assert (rows["kernel_ns"][stamped] <= rows["app_ns"][stamped] + slack).all()
    assert (rows["app_ns"] >= sent).all()


def test_connections_have_their_moments_and_bytes(run: tuple[Server, Path, dict[str, Any]]) -> None:
    server, folder, _ = run
    rows = read_table(folder / "connections.parquet", "connections")
    moments = [rows[name] for name in ("started_ns", "connected_ns", "response_ns", "first_message_ns", "closed_ns")]
    for before, after in itertools.pairwise(moments):
        assert (before <= after).all()
    assert rows["outcome"].tolist() == ["closed"] * 20
    assert rows["tcp_received_bytes"].tolist() == [server.sent_bytes] * 20
    assert rows["tcp_sent_bytes"].tolist() == [server.asked_bytes[port] for port in rows["local_port"].tolist()]


@pytest.mark.parametrize(("instead", "outcomes"), [("nothing", {"closed unanswered"}), ("reset", {"reset", "closed"})])
def test_other_ends_are_named(tmp_path: Path, inner_loop: str, instead: str, outcomes: set[str]) -> None:
    server = Server(3, 5, instead)
    said = generate(tmp_path, server.url, 3, library=inner_loop)
    server.close()
    rows = read_table(tmp_path / "connections.parquet", "connections")
    assert set(rows["outcome"].tolist()) <= outcomes
    assert sum(said["failed"].values()) == sum(outcome != "closed" for outcome in rows["outcome"].tolist())
    assert said["subscribed"] == said["open"] == 0


def test_a_port_without_a_server_is_refused(tmp_path: Path, inner_loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    said = generate(tmp_path, url, 3, library=inner_loop)
    assert said == {"failed": {"refused": 3}, "subscribed": 0, "faults": [], "open": 0}
    rows = read_table(tmp_path / "connections.parquet", "connections")
    assert rows["outcome"].tolist() == ["refused"] * 3
    assert (rows["connected_ns"] == -1).all()


def poll_server(listener: socket.socket, messages: int) -> list[bytes]:
    """Answer one client's polls, a message each, as often in pieces as whole; returns the requests."""
    requests: list[bytes] = []
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(20)
        while len(requests) <= messages:
            request = connection.recv(65536)
            assert request.endswith(b"\r\n\r\n")
            requests.append(request)
            found = re.search(rb"since=(\d+)", request)
            since = int(found[1]) if found else 0
            item = b"" if not found else b'{"id":%d,"data":{"seq":%d}}' % (since + 1, since + 1)
            following, end = (since + 1, since + 1 == messages) if found else (0, False)
            body = b'{"messages":[%b],"next":%d,"gap":null,"end":%b}' % (item, following, b"true" if end else b"false")
            data = b'HTTP/1.1 200 OK\r\nETag: "%d"\r\nContent-Length: %d\r\n\r\n%b' % (following, len(body), body)
            for piece in (data,) if since % 2 else (data[:40], data[40:]):
                connection.sendall(piece)
            if end:
                break
    return requests


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_polling_asks_until_the_end(tmp_path: Path, inner_loop: str, transport: str) -> None:
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: requests.extend(poll_server(listener, 10)))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = generate(tmp_path, url, 1, transport, poll_interval_s=0.01, library=inner_loop)
        thread.join(20)
    assert said == {"failed": {}, "subscribed": 0, "faults": [], "open": 0}
    assert read_table(tmp_path / "deliveries.parquet", "deliveries")["seq"].tolist() == list(range(1, 11))
    rows = read_table(tmp_path / "requests.parquet", "requests")
    assert rows["messages"].tolist() == [0] + [1] * 10
    assert rows["status"].tolist() == [200] * 11
    assert (rows["planned_ns"] <= rows["started_ns"]).all()
    assert (rows["started_ns"] <= rows["response_ns"]).all()
    if transport == "short-poll":  # on the plan: whole intervals apart
        assert (np.diff(rows["planned_ns"][1:]) % 10_000_000 == 0).all()
    connections = read_table(tmp_path / "connections.parquet", "connections")
    assert connections["tcp_sent_bytes"].tolist() == [len(b"".join(requests))]
    assert connections["tcp_received_bytes"].tolist() == [int(rows["received_bytes"].sum())]
