"""The processes of one running trial, and the loop that listens to them, watches them, and runs planned actions.

Invariant: a process that exits unexpectedly ends the trial; the error has its name and the last lines of its log. A
planned action (`at`) runs at its time, whatever the loop waits for. Made by the trial inside an ExitStack, which stops
everything.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from rtbench.errors import SubjectError
from rtbench.machine.pressure import Pressure
from rtbench.messages.load import Ramp
from rtbench.messages.publisher import PostCounts
from rtbench.processes import certificates
from rtbench.processes.load import LoadProcess
from rtbench.processes.process import Process
from rtbench.processes.proxy import ProxyProcess
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server, publish_into, server_of
from rtbench.processes.starver import StarverProcess
from rtbench.records.manifest import Event
from rtbench.subjects import Post
from rtbench.subjects.proxies import find as find_proxy
from rtbench.trial._impairment import because, network_of
from rtbench.trial._loads import loads_of
from rtbench.trial._run import Run

_LISTEN_S = 0.25
_PRECISE_NS = 5_000_000
_TLS, _CERTIFICATE = "(TLS: ", "check the server's certificate, the names in it, and tls_ca"
_LESS = "less loss or delay in [network], or check the subject's path"
RAMP_PATIENCE_S = 30.0
TRIES = 3
"""The number of failed attempts of every subscriber after which the trial fails."""


def refused(posts: PostCounts) -> None:
    """Raises SubjectError if there are posts and the server accepted none."""
    if posts.refused and not posts.posted:
        raise SubjectError(f"publishing is refused: {posts.refusal()}", "check the subject's post_path")


class ProcessGroup:
    """Publisher, server and load processes of `run`; `tick` is called at least four times a second."""

    def __init__(self, run: Run, sockets: Path, stack: contextlib.ExitStack, ahead_s: float) -> None:
        self.run = run
        self.tick: Callable[[], None] = lambda: None
        self.server_cpu_ns = 0
        """The CPU that earlier servers of this trial used."""
        self.events: list[Event] = []
        """The faults that were injected, with their times."""
        self.subscribed_ns = -1
        """The time since which messages went to all current subscribers."""
        scenario, place = run.spec.scenario, run.place
        self.workload = scenario.make_workload()
        self._stack, self._sockets = stack, sockets
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._down = False
        self.publisher = stack.enter_context(
            PublisherProcess(self.workload, scenario, sockets, place.publisher, run.folder / "publisher.log", ahead_s)
        )
        self.network = stack.enter_context(network_of(run)) if scenario.apart else None
        inside = self.network.load if self.network else ""
        self.loads: list[LoadProcess] = [stack.enter_context(load) for load in loads_of(run, sockets, inside)]
        self.publisher.ready()
        self._pressure = stack.enter_context(Pressure(place.server))
        self.server = self._start_server()
        self.proxy: ProxyProcess | None = None
        self.starver: StarverProcess | None = None
        if scenario.faults.starve:
            self.starver = stack.enter_context(StarverProcess(place.load, run.folder / "starver.log"))

    @property
    def _host(self) -> str:
        """Where server and proxy listen; "" without namespaces: the scenario's host."""
        return "" if self.network is None else self.network.host(self.run.spec.scenario.server.host)

    @property
    def _namespace(self) -> str:
        """The namespace that server and proxy are in."""
        return "" if self.network is None else self.network.server

    def _start_server(self, port: int = 0) -> Server:
        run, feed = self.run, self.publisher.socket_path
        server = server_of(
            run.spec.subject, run.spec.scenario, feed, self._sockets, run.place.server, run.folder / "server.log",
            host=self._host, port=port, network=self._namespace,
        )  # fmt: skip
        self._stack.callback(server.stop)
        return server

    def open(self, streams: Sequence[str]) -> None:
        """Wait until the server is ready, play these streams into it, and start its proxy, if any."""
        subject = self.run.spec.subject
        publish_into(self.publisher, subject, self.server)
        if subject.played:
            self.publisher.play(streams)
        self.server.ready()
        if subject.proxy:
            run = self.run
            self.proxy = ProxyProcess(
                find_proxy(subject.proxy), self.server.url, run.spec.scenario.subscribers, self._sockets,
                run.place.server, run.folder / "proxy.log", host=self._host, network=self._namespace,
                tls=certificates.files(subject, self._sockets),
            )  # fmt: skip
            self._stack.callback(self.proxy.stop)
            self.proxy.ready()
            self._pressure.watch(self.proxy.pid)
        self._pressure.watch(self.server.pid)

    def kept_ns(self) -> int:
        """The time that server and proxy had something to run, while others ran on their core; -1: not known."""
        return self._pressure.kept_ns([one.pid for one in (self.server, self.proxy) if one is not None])

    @property
    def url(self) -> str:
        """The URL for subscribers."""
        return self.proxy.url if self.proxy is not None else self.server.url

    # Time

    def at(self, due_ns: int, do: Callable[[], None]) -> None:
        """Plan an action for an instant of CLOCK_MONOTONIC."""
        heapq.heappush(self._planned, (due_ns, next(self._order), do))

    def until(self, at_ns: int) -> None:
        """Listen and run planned actions until exactly that instant."""
        while time.monotonic_ns() < at_ns:
            next_ns = min(at_ns, self._planned[0][0]) if self._planned else at_ns
            early_ns = next_ns - _PRECISE_NS
            if time.monotonic_ns() < early_ns:
                self._listen((early_ns - time.monotonic_ns()) / 1e9)
            else:
                time.sleep(max(0.0, (next_ns - time.monotonic_ns()) / 1e9))
                self._do()

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Listen until `done()`. Raises SubjectError when a process ends or `timeout_s` passes."""
        deadline = time.monotonic() + timeout_s
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                text = f"{what} did not happen within {timeout_s:.0f} s"
                raise SubjectError(text, "see the logs beside this manifest")
            if self._planned:
                left = min(left, max(0.0, (self._planned[0][0] - time.monotonic_ns()) / 1e9))
            self._listen(left)
            self._do()

    def _do(self) -> None:
        while self._planned and self._planned[0][0] <= time.monotonic_ns():
            heapq.heappop(self._planned)[2]()

    def _listen(self, most_s: float) -> None:
        watched: list[Process | Server] = [self.publisher, *self.loads]
        if self.network is not None and self.network.router is not None:
            watched.append(self.network.router)
        if self.proxy is not None:
            watched.append(self.proxy)
        if not self._down:
            watched.append(self.server)
        for process in watched:
            if process.exited() is not None:
                raise process.died()
        for load in select.select(self.loads, [], [], min(_LISTEN_S, most_s))[0]:
            load.receive()
        self.tick()

    # Steps

    def ramp(self, count: int) -> None:
        """Let the first `count` subscribers connect, and wait until all of them are subscribed."""
        scenario, loads = self.run.spec.scenario, self.loads
        start_ns = time.monotonic_ns() + 50_000_000
        for index, load in enumerate(loads):
            share = count // len(loads) + (index < count % len(loads))
            hz = scenario.ramp_hz / len(loads)
            load.command(Ramp(self.url, start_ns, hz, share))
        patience_s = count / scenario.ramp_hz + RAMP_PATIENCE_S
        try:
            self.wait(lambda: self.subscribed >= count or self._hopeless(count), patience_s, f"subscribing {count:,}")
        except SubjectError as error:
            if any(process.exited() is not None for process in (self.publisher, self.server, *loads)):
                raise
            text = f"only {self._have(count)} within {patience_s:.0f} s ({self._why()}{because(self.network)})"
            if self.subscribed:
                digits = len(str(self.subscribed)) - 1
                fewer, slower = self.subscribed // 10**digits * 10**digits, max(1, int(self.subscribed / patience_s))
                remedy = f"--set subscribers={fewer}, or connect more slowly: --set ramp_hz={slower}"
                raise SubjectError(f"overload: {text}", remedy) from error
            remedy = "check the subject's path" if self.network is None or self.network.router is None else _LESS
            raise SubjectError(text, _CERTIFICATE if _TLS in text else remedy) from error
        self.subscribed_ns = time.monotonic_ns()
        if self.subscribed < count:
            why = f"{self._why()}{because(self.network)}"
            text = f"only {self._have(count)}, and the others do not reconnect ({why})"
            raise SubjectError(text, _CERTIFICATE) if _TLS in text else SubjectError(text)

    def published(self) -> None:
        """Raises SubjectError if the server has refused all posts so far."""
        if isinstance(self.run.spec.subject.publish, Post):
            refused(self.publisher.posted())

    @property
    def subscribed(self) -> int:
        """The number of current subscribers."""
        return sum(load.subscribed for load in self.loads)

    def _hopeless(self, count: int) -> bool:
        """Whether the missing subscribers will not return, or no subscriber succeeded in TRIES attempts."""
        have, given_up = self.subscribed, sum(load.given_up for load in self.loads)
        failed = sum(sum(load.failed.values()) for load in self.loads)
        return have + given_up >= count or (not have and failed >= TRIES * count)

    def _have(self, count: int) -> str:
        subject, stream = self.run.spec.subject, self.run.spec.scenario.stream[0]
        path = subject.template.format(query=stream, stream=stream, channel=0, subscriber=0)
        return f"{self.subscribed:,} of {count:,} subscribed at {subject.url or path}"

    def _why(self) -> str:
        failed: dict[str, int] = {}
        for load in self.loads:
            for outcome, number in load.failed.items():
                failed[outcome] = failed.get(outcome, 0) + number
        return (
            ", ".join(f"{number:,} {outcome}" for outcome, number in failed.items()) or "the others are still waiting"
        )

    def kill_server(self) -> None:
        """SIGKILL to the server; its absence is expected until `restart_server`."""
        self._down = True
        self.server_cpu_ns += max(0, self.server.cpu_ns())
        self.server.kill()
        self.server.stop()

    def restart_server(self) -> None:
        """Start a fresh server at the same port; the publisher feeds it again."""
        port = int(self.server.url.rpartition(":")[2])
        self.server = self._start_server(port)
        self.server.ready()
        self._pressure.watch(self.server.pid)
        self._down = False
