"""Peers that vanish: their packets are dropped in a network namespace, nothing says goodbye.

Server and client live in two namespaces that a veth pair joins, as in a trial with --netns. That the client vanishes is
a blackhole route in its namespace: what the server sends still arrives, and no acknowledgement comes back. One
heartbeat is a second; the server's end must be gone within two, on every subject that claims it, idle polling
connections included.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from rtbench.conformance import PUSH
from rtbench.conformance._client import fetch, held, subscribing
from rtbench.conformance._target import Target
from rtbench.processes.namespaces import Network
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable
from rtbench.servers.kit import liveness
from rtbench.subjects.registry import catalogue, find
from rtbench.transports.http import request_head

CLONE_NEWNET = 0x40000000
HEARTBEAT_S = 1.0
SLACK_S = 6.0
"""For whole seconds of keepalive, and a machine that is busy. Without what server and kernel watch, the end would
stand for TCP's own patience, a quarter of an hour."""

SCENARIO = Scenario(stream=("stocks", "general"), server=ServerTable(heartbeat_s=HEARTBEAT_S))

T = TypeVar("T")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


def enter(path: str) -> None:
    """This thread is in the network namespace from now on, and what it starts."""
    with open(path) as handle:  # noqa: PTH123
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Peer:
    """The client's end: `connect` and what `ip` changes happen inside its namespace."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.server = network.host("127.0.0.1")

    def inside(self, function: Callable[[], T]) -> T:
        def run() -> T:
            enter(self._network.load)
            return function()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result(20)

    def connect(self, port: int) -> socket.socket:
        """A connection to the server; the socket stays in the namespace wherever it is used from."""
        return self.inside(lambda: socket.create_connection((self.server, port), timeout=10))

    def vanish(self) -> None:
        """Nothing leaves the namespace any more."""
        self.inside(lambda: ip("route", "add", "blackhole", f"{self.server}/32"))

    def reappear(self) -> None:
        self.inside(lambda: ip("route", "del", "blackhole", f"{self.server}/32"))


@pytest.fixture(scope="module")
def network(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Network(tmp_path_factory.mktemp("network") / "log") as made:
        yield made


@pytest.fixture
def peer(network: Network) -> Iterator[Peer]:
    """The test itself, and the server that it starts, are in the server's namespace."""
    with open("/proc/self/ns/net") as here:  # noqa: PTH123
        enter(network.server)
        try:
            yield Peer(network)
        finally:
            enter(f"/proc/self/fd/{here.fileno()}")


Serve = Callable[[str], tuple[Server, Target]]


@pytest.fixture
def serve(tmp_path: Path, peer: Peer) -> Iterator[Serve]:
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
            server = stack.enter_context(server_of(subject, SCENARIO, feed, tmp_path, (), log, host=peer.server))
            url = server.ready()
            port = int(url.rpartition(":")[2])
            # `stocks` was not started: nothing is due, only heartbeats are written.
            return server, Target(peer.server, port, subject.transport, "stocks")

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
def test_a_client_that_vanishes_is_noticed_within_two_heartbeats(peer: Peer, serve: Serve, subject: str):
    server, target = serve(subject)
    link = peer.connect(target.port)
    with link:
        port = link.getsockname()[1]
        ask(link, target)
        assert held(target.port, port)
        peer.vanish()
        try:
            most_s = 2 * HEARTBEAT_S + SLACK_S
            assert took_s(target, port, most_s + 1) <= most_s
        finally:
            peer.reappear()
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
def test_a_client_that_is_only_quiet_stays(peer: Peer, serve: Serve, subject: str):
    """Its kernel answers; its application reads nothing, which is too little to close any window."""
    _, target = serve(subject)
    link = peer.connect(target.port)
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
