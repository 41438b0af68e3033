"""Trials for the tests of `rtbench.trial`: tiny scenarios, processes that only pretend, a clock that is turned by hand.

A whole trial takes seconds, so each is run once a session and looked at by many tests.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from msgspec import structs

from rtbench import trial
from rtbench.errors import SubjectError
from rtbench.machine.placement import Place
from rtbench.machine.pressure import Pressure
from rtbench.messages.load import Command, Edge, LoadReport
from rtbench.processes import starting
from rtbench.processes.process import Process
from rtbench.processes.server import ServerProcess
from rtbench.records import tables
from rtbench.records.record import plain
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import find
from rtbench.trial import Spec, _measuring, _process_group
from rtbench.trial._process_group import ProcessGroup
from rtbench.trial._run import Run

SECOND = 10**9
PATIENCE_S = 60
HERE = Place((0,), (0,), (0,))
WIDE_OPEN = dict.fromkeys(
    (
        *("client_cpu_share", "run_delay_share", "hub_lag_s", "server_cpu_share", "server_run_delay_share"),
        *(
            "moved_share",
            "steal_share",
            "throttle_events",
            "publisher_late_s",
            "router_late_s",
            "clock_step_s",
            "listen_overflows",
        ),
        *("retransmit_share", "buffer_overruns", "edge_share", "drift_share"),
    ),
    10**9,
) | {"stamped_share": 0}
"""These trials run on busy machines, beside other tests: only the tests of the limits have limits. A share may be over
1 where the counters of a window are read late, so these are wider than a scenario's file may have them."""
TINY: dict[str, Any] = {
    "subscribers": 5,
    "stream": "fanout",
    "ramp_hz": 200,
    "warmup_s": 0.1,
    "warmup_messages": 0,
    "window_s": 0.5,
    "grace_s": 0.5,
    "workload": {"rate_hz": 50},
    "poll": {"interval_s": 0.1},
}


def tiny(**changes: Any) -> Scenario:
    scenario = build({**TINY, **changes}, "here")
    limits = {**WIDE_OPEN, **changes.get("validity", {})}
    return replace(scenario, validity=replace(scenario.validity, **limits))


def spec_of(subject: str = "sse-aiohttp", scenario: Scenario | None = None) -> Spec:
    return Spec(7, find(subject), 2, 3, scenario or tiny(), {"machine": "here"})


def quiet(_: str) -> None:
    """A stage that nobody wants to hear of."""


@pytest.fixture(name="tiny", scope="session")
def tiny_() -> Callable[..., Scenario]:
    """`tiny(...)`: a scenario of five subscribers and half a second, with these keys changed."""
    return tiny


@pytest.fixture(name="spec_of", scope="session")
def spec_of_() -> Callable[..., Spec]:
    """`spec_of(subject, scenario)`: trial 7, third of block 2."""
    return spec_of


@pytest.fixture
def gathering(tmp_path: Path) -> Callable[..., Run]:
    """`gathering(subject, place, **changes)`: what a trial of a tiny scenario begins with."""

    def begin(subject: str = "sse-aiohttp", place: Place = HERE, **changes: Any) -> Run:
        return Run(spec_of(subject, tiny(**changes)), tmp_path, place, quiet)

    return begin


def report_of(**changes: Any) -> LoadReport:
    """What a load process reports that had nothing to do."""
    idle = Edge(read_ns=0, cpu_ns=0, run_delay_ns=0, decode_cpu_ns=0)
    report = LoadReport(
        pid=5, at_start=idle, at_end=idle, decode_cpu_ns=0, captured_bytes=0, clock_pairs=(), hub_lag=(), controls={},
        faults=(), response_headers={}, due=(), failed={},
    )  # fmt: skip
    return structs.replace(report, **changes)


@pytest.fixture(name="report_of", scope="session")
def report_of_() -> Callable[..., LoadReport]:
    """`report_of(**changes)`: a load process's report."""
    return report_of


# A process group that only pretends


class FakeProcess:
    """A process of a trial: it is there, does what it is told, and takes no time over it."""

    name = "process"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named
        self.pid = os.getpid()
        self.code: int | None = None
        self.greeting: dict[str, Any] = {"scheduling": "as everyone"}
        self.socket_path = Path("/publisher.sock")
        self.url = "http://127.0.0.1:8000"
        self.uses: dict[str, Any] = {}
        self.subscribed = 0
        self.failed: dict[str, int] = {}
        self.given_up = 0
        self.finished: LoadReport | None = None
        self.closed_window = False
        self.told: list[Any] = []
        """Everything that it was told, in order."""
        self.says: Callable[[], None] = lambda: None
        """What it does when it is listened to."""

    # What trials do with processes

    def exited(self) -> int | None:
        return self.code

    def died(self) -> SubjectError:
        return SubjectError(f"the {self.name} ended early (SIGKILL)")

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.told.append(("signal", number))

    def stop(self) -> None:
        self.told.append("stop")

    def ready(self) -> str:
        self.told.append("ready")
        return self.url

    def tidy(self) -> str:
        self.told.append("tidy")
        return "tidied"

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def burn(self, *times: float) -> None:
        self.told.append(("burn", *times))

    def command(self, command: Command) -> None:
        self.told.append(command)

    def receive(self) -> None:
        self.says()

    # Counters

    cpu, resident, memory, delay = 1000, 2000, 3000, 4000

    def cpu_ns(self) -> int:
        return self.cpu

    def resident_bytes(self) -> int:
        return self.resident

    def memory_bytes(self) -> int:
        return self.memory

    def run_delay_ns(self) -> int:
        return self.delay

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.told.append("gone")


class FakePublisher(FakeProcess):
    name = "publisher"

    def play(self, streams: list[str]) -> None:
        self.told.append(("play", *streams))

    def post_to(self, url: str, post: Any) -> None:
        self.told.append(("post", url, post))


class FakeServer(FakeProcess):
    name = "server"


class FakeProxy(FakeProcess):
    name = "proxy"

    def ready(self) -> str:
        self.url = "http://127.0.0.1:8090"
        return super().ready()


class FakeStarver(FakeProcess):
    name = "starver"


class FakeLoad(FakeProcess):
    name = "load process"


class FakeTime:
    """A process group's clock and its select(2): waiting takes no time but moves the clock by what was waited for."""

    def __init__(self) -> None:
        self.now = 10 * SECOND
        self.arrivals: list[tuple[int, FakeLoad]] = []
        """When which load process says something."""

    def monotonic_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / SECOND

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def select(self, reading: list[FakeLoad], _: Any, __: Any, timeout_s: float) -> tuple[list[FakeLoad], Any, Any]:
        until = self.now + round(timeout_s * SECOND)
        self.arrivals.sort(key=lambda row: row[0])
        if self.arrivals and self.arrivals[0][0] <= until and self.arrivals[0][1] in reading:
            at, load = self.arrivals.pop(0)
            self.now = max(self.now, at)
            return [load], [], []
        self.now = until
        return [], [], []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """The process group's clock; it stands at ten seconds."""
    clock = FakeTime()
    monkeypatch.setattr(_process_group, "time", clock)
    monkeypatch.setattr(_process_group, "select", clock)
    return clock


MakeGroup = Callable[..., Any]


@pytest.fixture
def make_group(
    monkeypatch: pytest.MonkeyPatch, clock: FakeTime, gathering: Callable[..., Run], tmp_path: Path
) -> Iterator[MakeGroup]:
    """`make_group(loads=2, **scenario)`: a real ProcessGroup of fake processes on the fake clock."""
    monkeypatch.setattr(_process_group, "PublisherProcess", FakePublisher)
    monkeypatch.setattr(_process_group, "server_of", FakeServer)
    monkeypatch.setattr(_process_group, "ProxyProcess", FakeProxy)
    monkeypatch.setattr(_process_group, "StarverProcess", FakeStarver)
    monkeypatch.setattr(_process_group, "Pressure", lambda _: Pressure(()))  # what is started here is pytest
    with ExitStack() as stack:

        def make(loads: int = 1, place: Place = HERE, **changes: Any) -> Any:
            fakes = [FakeLoad() for _ in range(loads)]

            def loads_of(run: Run, sockets: Path, network: str) -> list[FakeLoad]:
                for fake in fakes:
                    fake.arguments = (network,)
                return fakes

            monkeypatch.setattr(_process_group, "loads_of", loads_of)
            return ProcessGroup(gathering(place=place, **changes), tmp_path, stack, 7.0)

        yield make


# Whole trials


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Children:
    """Every process that a trial started."""

    def __init__(self) -> None:
        self.all: list[Process] = []

    def named(self, name: str) -> Process:
        return next(process for process in self.all if process.name == name)

    @property
    def alive(self) -> list[str]:
        return [process.name for process in self.all if is_running(process.pid)]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    """What this test starts; what is left of it is killed."""
    yield from _noted(monkeypatch)


def _noted(patch: pytest.MonkeyPatch) -> Iterator[Children]:
    children = Children()
    begin = Process.__init__

    def noted(self: Process, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        children.all.append(self)

    patch.setattr(Process, "__init__", noted)
    yield children
    for process in children.all:
        process.kill()


class Whole:
    """A trial that was run to its end, and what it left. `look` is called with it at every stage."""

    def __init__(
        self, subject: str, scenario: Scenario, campaign: Path, look: Callable[[Whole], None] = lambda _: None
    ) -> None:
        self.spec = spec_of(subject, scenario)
        self.stages: list[str] = []

        def stage(text: str) -> None:
            self.stages.append(text)
            look(self)

        def grouped(*arguments: Any) -> ProcessGroup:
            self.group = ProcessGroup(*arguments)
            return self.group

        with pytest.MonkeyPatch.context() as patch:
            noting = _noted(patch)
            self.children = next(noting)
            patch.setattr(_measuring, "ProcessGroup", grouped)
            self.manifest: dict[str, Any] = plain(trial.run(self.spec, campaign, Place.here(), stage))
            self.alive = self.children.alive
            next(noting, None)
        self.folder = campaign / self.spec.directory

    def table(self, kind: str) -> tables.Columns:
        return tables.read_table(self.folder / f"{kind}.parquet", kind)

    @property
    def window(self) -> tuple[int, int]:
        return self.manifest["window"]["start_ns"], self.manifest["window"]["end_ns"]

    def due_inside(self) -> list[int]:
        """The numbers of the ticks that the window holds."""
        ticks, (start, end) = self.table("ticks"), self.window
        return [int(n) for n in ticks["seq"][(ticks["due_ns"] >= start) & (ticks["due_ns"] < end)]]


def _connected(port: int) -> int:
    """How many connections a server at this port has (proc(5), /proc/net/tcp; 01: established)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def _everyone_back(whole: Whole) -> None:
    if whole.stages[-1] != "waiting for what is late":
        return
    group, subscribers = whole.group, whole.spec.scenario.subscribers
    group.wait(lambda: bool(group.events), PATIENCE_S, "that the server is started again")
    port = urlsplit(group.server.url).port or 0
    group.wait(lambda: _connected(port) >= subscribers, PATIENCE_S, "that everyone is connected again")
    group.until(time.monotonic_ns() + 2 * SECOND)


@pytest.fixture(scope="session")
def everyone_back() -> Callable[[Whole], None]:
    """For `look`: the trial does not end before all subscribers are back at a server that was killed, and 2 s more."""
    return _everyone_back


Measure = Callable[..., Whole]


@pytest.fixture(scope="session")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """`measure(subject, limits, look, **changes)`: a whole trial of a tiny scenario, these limits and keys changed."""

    def run(
        subject: str,
        limits: dict[str, float] | None = None,
        look: Callable[[Whole], None] = lambda _: None,
        **changes: Any,
    ) -> Whole:
        scenario = tiny(validity=limits or {}, **changes)
        return Whole(subject, scenario, tmp_path_factory.mktemp("campaign"), look)

    return run


@contextmanager
def _serving(issued: trustme.LeafCert, *protocols: str) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)

    def answer(plain: socket.socket) -> None:
        with suppress(OSError), closing(context.wrap_socket(plain, server_side=True)) as connection:
            connection.recv(65536)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"ticks":[]}')

    def accept() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                plain.settimeout(PATIENCE_S)
                answer(plain)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[int]]:
    """`serving(issued, *protocols)`: the port of a server with this certificate and these protocols for ALPN; it
    answers any request with a plan."""
    return _serving


@pytest.fixture(scope="session")
def pushed(measure: Measure) -> Whole:
    return measure("sse-aiohttp")


@pytest.fixture(scope="session")
def polled(measure: Measure) -> Whole:
    """Two workers, and a server that does not leave when it is told to."""

    class Stubborn(ServerProcess):
        def kill(self, number: int = signal.SIGKILL) -> None:
            if number != signal.SIGCONT:
                super().kill(number)

        def stop(self, timeout_s: float = 2.0) -> None:
            self.kill(signal.SIGSTOP)
            super().stop(0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "ServerProcess", Stubborn)
        return measure("short-poll-aiohttp", workers=2)


@pytest.fixture(scope="session")
def over_ipv6(measure: Measure) -> Whole:
    """The same as `pushed`, over IPv6 and with another seed."""
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this machine has no ::1 ({error.strerror})")
    return measure("sse-aiohttp", seed=2, server={"host": "::1"})


@pytest.fixture(params=["pushed", "polled"])
def whole(request: pytest.FixtureRequest) -> Whole:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Whole)
    return found
