"""What every server process does around its subject: the port, the one line, a second life."""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
from msgspec.structs import asdict

from rtbench.conformance import HTTP, POLL
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.errors import UserError
from rtbench.machine import probes
from rtbench.messages.server import Limits, ServerOptions
from rtbench.processes.program import free_port
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable, WorkloadTable
from rtbench.servers.kit import app
from rtbench.servers.kit.app import listen, tidy
from rtbench.servers.kit.cursor import BadParameter, cursor, number, seconds
from rtbench.subjects.registry import catalogue, find

OPTIONS = {
    "host": "127.0.0.1",
    "port": 0,
    "ingest": "/nonexistent",
    "loop": "uvloop",
    "poll_timeout_s": 25,
    "limits": {"ring_messages": 10, "ring_bytes": 10_000, "buffer_bytes": 10_000, "heartbeat_s": 15},
    "inject": [],
    "module": "",
    "bounds": asdict(ServerOptions("", 0, "", Limits(1, 1, 1, 1), "", 1).bounds),
    "allow_origin": [],
    "compression": "none",
    "tls": None,
}


def test_a_port_in_use_is_a_user_error():
    with (
        listen("127.0.0.1", 0) as taken,
        pytest.raises(UserError, match=r"cannot listen on 127\.0\.0\.1:\d+ .*--port 0"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000), ("no-such-host.invalid", 0)])
def test_an_unavailable_address_is_a_user_error(host: str, port: int):
    with pytest.raises(UserError, match="cannot listen"):
        listen(host, port)


@pytest.mark.slow
def test_a_port_in_use_ends_the_process_with_2_and_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = {**OPTIONS, "port": taken.getsockname()[1]}
        command = [sys.executable, "-m", "rtbench.servers", "sse-aiohttp", json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.startswith("rtbench: cannot listen on")
    assert done.stderr.count("\n") == 1


OURS = [name for name, one in catalogue().items() if one.serve is not None and one.transport in HTTP]


@pytest.mark.slow
@pytest.mark.parametrize("subject", OURS)
def test_a_client_that_comes_before_the_rings_are_filled_waits(subject: str, tmp_path: Path):
    """An answer would be 404, for which an EventSource leaves for good, or a gap that is none."""
    if lacking := find(subject).missing()[0]:
        pytest.skip(f"{subject} needs {lacking}")
    scenario = Scenario(server=ServerTable(ring_messages=500), workload=WorkloadTable(rate_hz=100))
    port, path = free_port("127.0.0.1"), tmp_path / "publisher.sock"
    with ServerProcess(subject, scenario, path, (), tmp_path / "server.log", port=port) as server:
        while not probes.listens(server.pid, port):
            assert server.exited() is None
        target = Target("127.0.0.1", port, find(subject).transport, "fanout", patience_s=60)
        with Subscriber(target, 0) as early:
            if target.transport in POLL:
                early.ask()
            with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "log") as publisher:
                publisher.ready()
                publisher.play(scenario.stream, time.monotonic_ns() - 10**9)
                assert [message.id for message in early.messages(50)] == list(range(1, 51))
                assert early.gaps == []
                server.ready()


@pytest.mark.slow
def test_a_server_that_was_restarted_goes_on_where_the_other_one_stopped(tmp_path: Path):
    scenario = Scenario(server=ServerTable(ring_messages=50_000), workload=WorkloadTable(rate_hz=100))
    log = tmp_path / "server.log"
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready()
        publisher.play(scenario.stream, time.monotonic_ns() - 10**9)
        with ServerProcess("sse-aiohttp", scenario, publisher.socket_path, (), log) as server:
            with Subscriber(_target(server.ready())) as subscriber:
                last = subscriber.messages(5)[-1].id
            server.kill()
        with ServerProcess("sse-aiohttp", scenario, publisher.socket_path, (), log) as server:
            target = _target(server.ready())
            with Subscriber(target, last) as subscriber:
                assert [m.id for m in subscriber.messages(10)] == list(range(last + 1, last + 11))
                assert not subscriber.gaps
            with Subscriber(target, 0) as subscriber:
                assert subscriber.messages(1)[0].id == 1


# Tidying up


def test_tidying_collects_garbage():
    class Ring:
        """Holds itself: only the collector lets go of it."""

    one = Ring()
    one.self = one  # type: ignore[attr-defined]
    seen = weakref.ref(one)
    gc.disable()
    try:
        del one
        assert seen() is not None
        tidy()
        assert seen() is None
    finally:
        gc.enable()


def test_tidying_trims_the_allocator_where_it_can_be(monkeypatch: pytest.MonkeyPatch):
    trimmed: list[int] = []

    class Libc:
        def malloc_trim(self, pad: int) -> None:
            trimmed.append(pad)

    monkeypatch.setattr(app.ctypes, "CDLL", lambda _: Libc())
    tidy()
    assert trimmed == [0]
    monkeypatch.setattr(app.ctypes, "CDLL", lambda _: object())  # another C library
    tidy()


@pytest.mark.slow
def test_a_server_that_tidies_up_still_serves(tmp_path: Path):
    scenario = Scenario(workload=WorkloadTable(rate_hz=100))
    with (
        PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher,
        ServerProcess("sse-aiohttp", scenario, publisher.socket_path, (), tmp_path / "server.log") as server,
    ):
        publisher.ready()
        publisher.play(scenario.stream)
        with Subscriber(_target(server.ready())) as subscriber:
            first = subscriber.messages(5)[-1].id
            for _ in range(3):
                server.tidy()
            assert [m.id for m in subscriber.messages(50)] == list(range(first + 1, first + 51))
        assert server.exited() is None
        assert server.tail() == ""


def _target(url: str) -> Target:
    return Target("127.0.0.1", int(url.rpartition(":")[2]), "sse", "fanout")


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1_0", " 1", "٣", "9" * 19, "0x1"])
def test_not_a_number(text: str):
    with pytest.raises(BadParameter, match="since must be a whole number"):
        number(text, "since")


def test_numbers():
    assert (number("0", "n"), number("007", "n"), cursor(None, "n"), cursor("5", "n")) == (0, 7, None, 5)


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "301"])
def test_not_a_time(text: str):
    with pytest.raises(BadParameter, match="timeout must be a number of seconds"):
        seconds(text, "timeout", 300)


def test_times():
    assert (seconds("0", "t", 300), seconds("2.5", "t", 300)) == (0, 2.5)
