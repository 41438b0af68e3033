"""Servers that run as users run them, one of each transport, for clients that we did not write."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable, WorkloadTable
from rtbench.streams import catalogue

SCENARIO = Scenario(
    stream=("fanout", "stocks", "chat", "events", "resilient"),
    # A seed with which `resilient` fails after some 200 messages.
    seed=52,
    server=ServerTable(heartbeat_s=0.5, ring_messages=100_000),
    workload=WorkloadTable(rate_hz=50),
)
PATIENCE_S = 60


class Running:
    """A publisher whose finite streams are over, and servers that are started on it."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.publisher: PublisherProcess = stack.enter_context(
            PublisherProcess(SCENARIO.make_workload(), SCENARIO, folder, (), folder / "publisher.log")
        )
        self.publisher.ready()
        for stream in SCENARIO.stream:
            ago_s = 3600 if catalogue()[stream].finite else 2
            self.publisher.play([stream], time.monotonic_ns() - ago_s * 10**9)

    def serve(self, subject: str, port: int = 0) -> ServerProcess:
        """A server that accepts."""
        log = self.folder / f"{subject}.log"
        server: ServerProcess = self._stack.enter_context(
            ServerProcess(subject, SCENARIO, self.publisher.socket_path, (), log, port=port)
        )
        server.ready()
        return server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        yield Running(tmp_path_factory.mktemp("serving"), stack)


@pytest.fixture
def wanted() -> Callable[[str, int, int], list[list[str]]]:
    """`wanted(stream, first, count)`: ids and payloads from id `first` on, as a script prints them."""

    def find(stream: str, first: int, count: int) -> list[list[str]]:
        workload = SCENARIO.make_workload()
        ticks = workload.ticks_of(workload.channel(SCENARIO.stream.index(stream)))
        chosen = islice(ticks, first - 1, first - 1 + count)
        return [[str(tick.seq), tick.payload.decode()] for tick in chosen]

    return find


Url = Callable[[str], str]


@pytest.fixture(scope="module")
def url(running: Running) -> Url:
    """`url(subject)`: where that subject listens; each is started once."""
    started: dict[str, str] = {}

    def find(subject: str) -> str:
        if subject not in started:
            started[subject] = running.serve(subject).url
        return started[subject]

    return find


Node = Callable[..., str]


@pytest.fixture(scope="session")
def node() -> Node:
    """`node(script, arguments…)`: what Node prints. Skips where Node, or what the script needs of it, is missing."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed (apt-get install nodejs)")

    def run(script: str, *arguments: str, needs: str = "fetch") -> str:
        flags = [f"--experimental-{name.lower()}" for name in ("EventSource", "WebSocket") if name == needs]
        known = subprocess.run(
            [program, *flags, "-p", f"typeof {needs}"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if known.stdout.strip() != "function":
            version = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=True).stdout
            pytest.skip(f"node {version.strip()} has no {needs}")
        done = subprocess.run(
            [program, "--no-warnings", *flags, "-e", script, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
