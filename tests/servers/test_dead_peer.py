"""Peers that vanish: their packets are dropped in a network namespace, nothing says goodbye.

The client lives in a namespace of its own behind a veth pair that the test makes and removes; that it vanishes is a
blackhole route there: what the server sends still arrives, and no acknowledgement comes back. One heartbeat is a
second; the server's end must be gone within two, on every subject that claims it, idle polling connections included.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtbench.conformance import PUSH
from rtbench.conformance._client import fetch, held, subscribing
from rtbench.conformance._target import Target
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable
from rtbench.servers.kit import liveness
from rtbench.subjects.registry import catalogue, find
from rtbench.transports.http import request_head

CLONE_NEWNET = 0x40000000
SERVER, CLIENT = "198.18.77.1", "198.18.77.2"  # RFC 2544: nobody's
HEARTBEAT_S = 1.0
SLACK_S = 6.0
"""For whole seconds of keepalive, and a machine that is busy. Without what server and kernel watch, the end would
stand for TCP's own patience, a quarter of an hour."""

SCENARIO = Scenario(stream=("stocks", "general"), server=ServerTable(heartbeat_s=HEARTBEAT_S))


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


class Namespace:
    """A network namespace behind a veth pair. `run` calls a function inside it, on a thread of its own."""

    def __init__(self) -> None:
        self.name = f"rtbench-{os.getpid()}"
        self.link = f"rtb{os.getpid()}"

    def __enter__(self) -> Namespace:
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            ip("addr", "add", f"{SERVER}/30", "dev", self.link)
            ip("link", "set", self.link, "up")
            ip("-n", self.name, "addr", "add", f"{CLIENT}/30", "dev", "eth0")
            ip("-n", self.name, "link", "set", "eth0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", self.link], capture_output=True, check=False, timeout=20)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False, timeout=20)

    def connect(self, port: int) -> socket.socket:
        """A connection from inside to the server; the socket stays there wherever it is used from."""
        made: list[socket.socket | BaseException] = []

        def inside() -> None:
            try:
                with open(f"/run/netns/{self.name}") as handle:  # noqa: PTH123
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.create_connection((SERVER, port), timeout=10))
            except BaseException as error:  # noqa: BLE001
                made.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join(20)
        if isinstance(made[0], BaseException):
            raise made[0]
        return made[0]

    def vanish(self) -> None:
        """Nothing leaves the namespace any more."""
        ip("-n", self.name, "route", "add", "blackhole", f"{SERVER}/32")

    def reappear(self) -> None:
        ip("-n", self.name, "route", "del", "blackhole", f"{SERVER}/32")


@pytest.fixture(scope="module")
def namespace(namespaces: None) -> Iterator[Namespace]:
    with Namespace() as made:
        yield made


Serve = Callable[[str], tuple[Server, Target]]


@pytest.fixture
def serve(tmp_path: Path, namespace: Namespace) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(name: str) -> tuple[Server, Target]:
            subject = find(name)
            lacking, remedy = subject.missing()
            if lacking:
                pytest.skip(f"{name} needs {lacking}: {remedy}")
            publisher = stack.enter_context(
                PublisherProcess(SCENARIO.make_workload(), SCENARIO, tmp_path, (), tmp_path / "publisher.log")
            )
            publisher.ready()
            log = tmp_path / "server.log"
            feed = publisher.socket_path
            server = stack.enter_context(server_of(subject, SCENARIO, feed, tmp_path, (), log, host=SERVER))
            url = server.ready()
            port = int(url.rpartition(":")[2])
            # `stocks` was not started: nothing is due, only heartbeats are written.
            return server, Target(SERVER, port, subject.transport, "stocks")

        yield start


def ask(link: socket.socket, target: Target) -> None:
    """Subscribe, or poll once; a long poll is left waiting. Returns when the answer's head came."""
    path = target.path()
    if target.transport == "long-poll":
        path += "?since=0&timeout=60"
    if target.transport == "tcp":
        link.sendall(f"{path}\n".encode())
        assert link.recv(65536).startswith(b"ok\n")  # a heartbeat may follow at once
        return
    link.sendall(request_head("GET", path, target.authority, subscribing(target)))
    if target.transport != "long-poll":
        assert link.recv(65536).startswith(b"HTTP/1.1 ")


def took_s(target: Target, port: int, most_s: float) -> float:
    """How long the server's end still stood."""
    began = time.monotonic()
    while held(target.port, port) and time.monotonic() - began < most_s:
        time.sleep(0.02)  # the kernel's table is read, nothing tells when it changes
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("subject", sorted(n for n, s in catalogue().items() if "dead-peer" in s.capabilities))
def test_a_client_that_vanishes_is_noticed_within_two_heartbeats(namespace: Namespace, serve: Serve, subject: str):
    server, target = serve(subject)
    link = namespace.connect(target.port)
    with link:
        port = link.getsockname()[1]
        ask(link, target)
        assert held(target.port, port)
        namespace.vanish()
        try:
            most_s = 2 * HEARTBEAT_S + SLACK_S
            assert took_s(target, port, most_s + 1) <= most_s
        finally:
            namespace.reappear()
    assert server.exited() is None
    if target.transport != "tcp":
        assert fetch(target, "/plan/stocks").status == 200
    if target.transport in PUSH and find(subject).serve is not None:
        text = server.log.read_text()
        assert "dropped a slow consumer of stocks: it acknowledged nothing for" in text
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("subject", ["sse-aiohttp", "websocket-websockets", "short-poll-aiohttp", "long-poll-aiohttp"])
def test_a_client_that_is_only_quiet_stays(namespace: Namespace, serve: Serve, subject: str):
    """Its kernel answers; its application reads nothing, which is too little to close any window."""
    _, target = serve(subject)
    link = namespace.connect(target.port)
    with link:
        port = link.getsockname()[1]
        ask(link, target)
        assert took_s(target, port, 4 * HEARTBEAT_S) >= 4 * HEARTBEAT_S


@pytest.mark.parametrize(
    ("heartbeat_s", "limits"),
    [
        (15.0, {"user_timeout_ms": 22_500, "keepalive_idle_s": 7, "keepalive_interval_s": 3}),
        (1.0, {"user_timeout_ms": 1500, "keepalive_idle_s": 1, "keepalive_interval_s": 1}),
        (0.1, {"user_timeout_ms": 1000, "keepalive_idle_s": 1, "keepalive_interval_s": 1}),
        (3600.0, {"user_timeout_ms": 5_400_000, "keepalive_idle_s": 1800, "keepalive_interval_s": 900}),
    ],
)
def test_accepted_sockets_inherit_what_the_kernel_is_to_watch(heartbeat_s: float, limits: dict[str, int]):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert liveness.watch(listener, heartbeat_s) == limits
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                tcp = [liveness.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL]
                assert [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in tcp] == list(limits.values())
                # Any peer that answers is told from one that does not by what it acknowledged.
                before = liveness.progress(accepted)
                accepted.sendall(b"x" * 100)
                assert len(client.recv(100)) == 100
                after = liveness.progress(accepted)
            assert before is not None
            assert after is not None
            assert after.acknowledged_bytes - before.acknowledged_bytes in (0, 100)
            assert liveness.progress(accepted) is None
