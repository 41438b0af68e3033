"""A load process: it is heard, and one that cannot go on says why."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import RtbenchError, SubjectError
from rtbench.messages.load import Edge, LoadReport, LoadSettings, Window
from rtbench.processes.load import LoadProcess
from rtbench.processes.process import Process

PATIENCE_S = 60


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


WAIT = "import sys; print('up', flush=True); sys.stdin.read()"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], LoadProcess]]:
    """A LoadProcess that runs a script of ours, which finds `connection` open."""
    started: list[LoadProcess] = []
    begin = Process.__init__

    def make(script: str) -> LoadProcess:
        head = "import os, socket, sys\nconnection = socket.socket(socket.AF_UNIX)\n"

        def with_script(
            self: Process,
            command: Any,
            cores: Any,
            log: Path,
            environment: Any = {},  # noqa: B006
            network: str = "",
        ) -> None:
            begin(self, python(head + script), cores, log, environment, network)

        with monkeypatch.context() as patch:
            patch.setattr(Process, "__init__", with_script)
            process = LoadProcess("SSEUser", LoadSettings(capture_bytes=5), 1, 7, tmp_path, (), tmp_path / "load.log")
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.stop()


CONNECT = """
from rtbench.messages.lines import line
from rtbench.messages.load import *
from rtbench.messages.load import COMMAND, START
start = START(os.environ["RTBENCH_TRIAL"])
connection.connect(start.control)
say = lambda message: connection.sendall(line(message))
"""
REPORT = """
command = COMMAND(connection.makefile().readline())
edges = [Edge(at_ns, 0, 0, 0) for at_ns in (command.start_ns, command.end_ns)]
pid, size = start.first, start.settings.capture_bytes
report = LoadReport(pid, *edges, 0, size, ((1, 2),), ((3, 4),), {"gap": 5}, ("late",), {"a": "b"}, ((6, 7, 8),), {})
say(WindowClosed()); say(Finished(report)); connection.recv(1)
"""


def test_messages_of_a_load_process_arrive(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "say(Hello(os.getpid())); say(Subscribed(5, {'refused': 1}, 2))" + REPORT)
    process.connect(PATIENCE_S)
    while process.subscribed != 5:
        process.receive()
    assert (process.failed, process.given_up) == ({"refused": 1}, 2)
    assert not process.closed_window
    process.command(Window(start_ns=3, end_ns=4))
    while process.finished is None:
        process.receive()
    assert process.closed_window
    assert process.finished == LoadReport(
        pid=7,
        at_start=Edge(3, 0, 0, 0),
        at_end=Edge(4, 0, 0, 0),
        decode_cpu_ns=0,
        captured_bytes=5,
        clock_pairs=((1, 2),),
        hub_lag=((3, 4),),
        controls={"gap": 5},
        faults=("late",),
        response_headers={"a": "b"},
        due=((6, 7, 8),),
        failed={},
    )
    process.stop(PATIENCE_S)
    assert not is_running(process.pid)


def test_load_process_in_trouble_says_why(load: Callable[[str], LoadProcess]) -> None:
    process = load(
        CONNECT + "say(Failure('cannot write /results (No space left)', 'free the disk')); connection.recv(1)"
    )
    process.connect(PATIENCE_S)
    with pytest.raises(RtbenchError, match="No space left"):
        process.receive()


def test_load_process_that_dies_before_its_hello(load: Callable[[str], LoadProcess]) -> None:
    process = load("sys.exit('no locust here')")
    with pytest.raises(
        SubjectError, match=r"the load process ended early \(exit code 1\): no locust here \(load\.log\)"
    ):
        process.connect(PATIENCE_S)


def test_load_process_that_never_says_hello(load: Callable[[str], LoadProcess]) -> None:
    process = load(WAIT)
    with pytest.raises(SubjectError, match="did not start within 0"):
        process.connect(0.0)


def test_load_process_that_dies_later(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "sys.stderr.write('tired'); sys.stderr.flush(); connection.close()")
    process.connect(PATIENCE_S)
    with pytest.raises(SubjectError, match=r"exit code 0.*tired"):
        process.receive()
    with pytest.raises(SubjectError, match="tired"):
        for _ in range(3):  # the first may still fit into a buffer
            process.command(Window(1, 2))


def test_load_process_that_dies_without_having_listened(load: Callable[[str], LoadProcess]) -> None:
    """What it was sent and did not read makes a reset of its end, where an end of file would do."""
    process = load(CONNECT + "import select; select.select([connection], [], []); connection.close(); sys.exit('deaf')")
    process.connect(PATIENCE_S)
    process.command(Window(1, 2))
    with pytest.raises(SubjectError, match=r"exit code 1.*deaf"):
        process.receive()


def test_a_load_process_waits_in_its_control_socket(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "say(Subscribed(1, {}, 0)); connection.recv(1)")
    process.connect(PATIENCE_S)
    assert select.select([process], [], [], PATIENCE_S)[0] == [process]


def test_locusts_own_variables_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(Process, "__init__", lambda _, *arguments: begun.append(arguments))
    monkeypatch.setenv("LOCUST_RUN_TIME", "1s")
    monkeypatch.setenv("LOCUST_SKIP_UPDATE_CHECK", "0")
    process = LoadProcess("SSEUser", LoadSettings(capture_bytes=5), 1, 7, tmp_path, (), tmp_path / "load.log")
    process._listener.close()
    ((command, _, _, environment, _),) = begun
    assert command[0] == "env" and command[command.index("LOCUST_RUN_TIME") - 1] == "-u"
    assert "LOCUST_SKIP_UPDATE_CHECK" not in command and environment["LOCUST_SKIP_UPDATE_CHECK"] == "1"
