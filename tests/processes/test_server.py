"""A server of ours as a process: what it is given, when it is ready, and how it leaves."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from rtbench.errors import SubjectError, UserError
from rtbench.messages.server import Bounds
from rtbench.processes.process import STARTS_S, Process
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess, refused_in
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable

PATIENCE_S = 60


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


@pytest.mark.slow
def test_server_says_where_it_is_and_leaves_on_sigterm(tmp_path: Path) -> None:
    scenario = Scenario()
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready(PATIENCE_S)
        feed, log = publisher.socket_path, tmp_path / "server.log"
        with ServerProcess("sse-aiohttp", scenario, feed, (), log) as server:
            url = server.ready(PATIENCE_S)
            assert url.startswith("http://127.0.0.1:")
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)):
                pass
            second = ServerProcess("sse-aiohttp", scenario, feed, (), tmp_path / "second.log", port=port)
            with second, pytest.raises(UserError, match=str(port)) as caught:
                second.ready(PATIENCE_S)
            assert not str(caught.value).startswith("rtbench")
            server.stop(PATIENCE_S)
            assert server.exited() == 0


def test_a_server_that_breaks_is_the_subjects_fault(tmp_path: Path) -> None:
    with (
        ServerProcess("sse-abacus", Scenario(), tmp_path / "nobody.sock", (), tmp_path / "log") as server,
        pytest.raises(SubjectError, match=r"the server ended early \(exit code 1\).*sse_abacus"),
    ):
        server.ready(PATIENCE_S)


TIDIES = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("up", flush=True)
signal.sigwait([signal.SIGUSR1])
print("tidied", flush=True)
"""


def test_tidying_up_is_a_signal_and_is_put_into_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Process.__init__

    def with_script(self: Process, command: Any, *arguments: Any, **named: Any) -> None:
        begin(self, python(TIDIES), *arguments, **named)

    monkeypatch.setattr(Process, "__init__", with_script)
    with ServerProcess("sse-aiohttp", Scenario(), tmp_path / "feed", (), tmp_path / "log") as server:
        assert server.line(PATIENCE_S) == "up"
        assert server.tidy() == "gc.collect() and malloc_trim(0) before each reading"
        assert server.line(PATIENCE_S) == "tidied"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Any]]:
    """The commands of processes that are not started, and their networks."""
    found: list[tuple[list[str], Any]] = []

    def begin(self: Process, command: list[str], *_: Any, **named: Any) -> None:
        found.append((command, named.get("network", "")))

    monkeypatch.setattr(Process, "__init__", begin)
    return found


def options(command: list[str]) -> dict[str, Any]:
    value = json.loads(command[-1])
    assert isinstance(value, dict)
    return value


def test_a_server_gets_its_part_of_the_scenario(commands: list[tuple[list[str], Any]]) -> None:
    scenario = build({"server": {"host": "::1", "loop": "asyncio", "ring_messages": 7}}, "here")
    feed, log = Path("feed"), Path("log")
    ServerProcess("sse-aiohttp", scenario, feed, (), log)
    ServerProcess("sse-aiohttp", scenario, feed, (), log, host="10.77.0.1", port=80, network="/proc/5/ns/net")
    (here, _), (there, network) = commands
    assert here[:4] == [sys.executable, "-m", "rtbench.servers", "sse-aiohttp"]
    limits = {"heartbeat_s": 15.0, "ring_messages": 7, "ring_bytes": 2**26, "buffer_bytes": 2**20}
    table = {"ingest": "feed", "loop": "asyncio", "poll_timeout_s": 25.0, "limits": limits, "inject": [], "module": ""}
    table |= {"bounds": asdict(Bounds.of(ServerTable())), "allow_origin": [], "compression": "none", "tls": None}
    assert options(here) == {**table, "host": "::1", "port": 0}
    assert options(there) == {**table, "host": "10.77.0.1", "port": 80}
    assert network == "/proc/5/ns/net"


def test_only_a_faulty_server_gets_injections(commands: list[tuple[list[str], Any]]) -> None:
    inject = [{"do": "drop", "subscribers": [3], "every": 10, "of": 1}]
    scenario = build({"subjects": ["sse-faulty"], "faults": {"inject": inject}}, "here")
    for name in ("sse-aiohttp", "sse-faulty@2"):
        ServerProcess(name, scenario, Path("feed"), (), Path("log"))
    (plain, _), (faulty, _) = commands
    assert options(plain)["inject"] == []
    assert options(faulty)["inject"] == [{"delay_s": 0.0, **inject[0]}]


def test_the_last_line_of_a_server_says_what_it_refused() -> None:
    lines = [
        b'{"url":"http://h:1","uses":{}}',
        b"nonsense",
        b'{"refused":{"origin":2}}',
        b'{"refused":{"head_s":3}}',
        b"",
    ]
    assert refused_in(lines) == {"head_s": 3}
    assert refused_in(lines[:2]) == {}


def test_what_a_process_printed_and_nobody_read_is_its_rest(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", "print('one\\ntwo\\nthree')"], (), tmp_path / "log") as process:
        assert process.line(STARTS_S) == "one"
        process._child.wait(STARTS_S)
        assert process.rest() == [b"two", b"three"]
        assert process.rest() == []
