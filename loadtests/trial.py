"""A load process inside a trial: its commands come over a Unix socket, its answers go back (`rtbench.messages.load`).

Invariant: counters (TCP_INFO, CPU) are read at the window's edges by this process itself, outside of what they count;
nothing is decoded or written between the edges. The process exits when the socket closes.
"""

from __future__ import annotations

import gc
import os
import time
import traceback
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import socket

from rtbench.errors import RtbenchError
from rtbench.loadtests.load import Load
from rtbench.loadtests.storm import Storm
from rtbench.loadtests.subscriber import Endpoint
from rtbench.loadtests.visits import Visits
from rtbench.messages.lines import Lines, line
from rtbench.messages.load import (
    COMMAND,
    Answer,
    Command,
    Edge,
    Failure,
    Finish,
    Finished,
    Hello,
    LoadReport,
    Ramp,
    Subscribed,
    Window,
    WindowClosed,
)
from rtbench.records.replacing import unwritable
from rtbench.transports.http2 import ALPN

_PROBE_NS = 10_000_000
"""The probe of event-loop lag: a 10 ms timer is as late as everything else on this process's loop (R13)."""


class TrialControl:
    """The load process's end of the campaign's control socket."""

    def __init__(self, load: Load, path: str) -> None:
        self._load = load
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._commands: dict[type[Command], Callable[[Any], None]] = {
            Ramp: self._ramp,
            Window: self._window,
            Finish: self._finish,
        }
        self._edges: list[Edge] = []
        self._lags, self._lag_count = array("q"), 0
        """Due time and lateness of each probe; room for all of them before the window."""
        self._count = 0
        storm = load.settings.storm
        self._storm = Storm(load, storm) if storm.at_s else None
        self._visits = Visits(load, load.settings.churn) if load.settings.churn.rate_hz else None
        self._more = gevent.event.Event()
        gevent.spawn(self._obey)
        self._say(Hello(os.getpid()))

    def _say(self, answer: Answer) -> None:
        self._socket.sendall(line(answer))

    def _obey(self) -> None:
        """Follow commands. A process that no longer reads them must exit, also one without memory for more."""
        try:
            self._listen()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)

    def _listen(self) -> None:
        lines = Lines()
        try:
            while data := self._socket.recv(65536):
                for one in lines.feed(data):
                    command = COMMAND(one)
                    self._commands[type(command)](command)
        except OSError:
            pass
        except RtbenchError as error:
            self._say(Failure(error.message, error.remedy))
        # Not runner.quit(): it would wait for the users, and everything is written already.
        os._exit(0)

    def let_go(self, number: int) -> None:
        """Wait until the process's subscriber `number` (from 0) may connect."""
        while number >= self._count:
            self._more.wait()

    def _ramp(self, ramp: Ramp) -> None:
        load = self._load
        load.target = Endpoint.of(ramp.host, load.settings.tls_ca, ALPN if load.pool is not None else "")
        load.ramp_ns, load.ramp_hz, load.ramp_from = ramp.start_ns, ramp.ramp_hz, self._count
        if not self._count:
            load.base_ns = ramp.start_ns
            gevent.spawn(self._report)
            gevent.spawn(self._pair)
            load.watch()
        self._count = ramp.count
        more, self._more = self._more, gevent.event.Event()
        more.set()

    def _report(self) -> None:
        reported = None
        while True:
            load = self._load
            state = Subscribed(load.subscribed_count, dict(load.failed), load.given_up)
            if state != reported:
                try:
                    self._say(state)
                except OSError:  # the trial is over
                    return
                reported = state
            gevent.sleep(0.05)

    def _pair(self) -> None:
        while True:
            gevent.sleep(1)
            self._load.recorder.clock.pair()
            self._load.relieve()

    def _window(self, window: Window) -> None:
        # Existing objects stay out of collections: one in the window would traverse all of them.
        gc.collect()
        gc.freeze()
        gc.disable()
        reactor, start_ns, end_ns = self._load.reactor, window.start_ns, window.end_ns
        self._load.recorder.window = start_ns, end_ns
        reactor.at(start_ns, self._open_window)
        reactor.at(end_ns, self._close_window)
        for sender in self._load.senders:
            sender.begin(start_ns, end_ns)
        if self._storm is not None:
            self._storm.begin(start_ns)
        if self._visits is not None:
            self._visits.begin(start_ns)
        self._lags = array("q", bytes(16 * len(range(start_ns + _PROBE_NS, end_ns, _PROBE_NS))))
        if self._lags:
            reactor.at(start_ns + _PROBE_NS, self._probe, start_ns + _PROBE_NS, end_ns)

    def _probe(self, due_ns: int, end_ns: int) -> None:
        at, self._lag_count = 2 * self._lag_count, self._lag_count + 1
        self._lags[at], self._lags[at + 1] = due_ns, time.monotonic_ns() - due_ns
        if due_ns + _PROBE_NS < end_ns:  # one that is due already runs in the same turn
            self._load.reactor.at(due_ns + _PROBE_NS, self._probe, due_ns + _PROBE_NS, end_ns)

    def _open_window(self) -> None:
        for link in self._load.reactor.links:
            link.at_start = link.counts_now()
            if link.deaf and link.closed_ns < 0:
                self._load.reactor.ignore(link)
        self._load.recorder.clock.pair()
        read_ns, run_delay_ns = time.monotonic_ns(), _run_delay_ns()
        decode_cpu_ns = self._load.recorder.decode_cpu_ns
        self._edges.append(Edge(read_ns, time.process_time_ns(), run_delay_ns, decode_cpu_ns))

    def _close_window(self) -> None:
        cpu_ns, run_delay_ns = time.process_time_ns(), _run_delay_ns()
        decode_cpu_ns = self._load.recorder.decode_cpu_ns
        self._load.recorder.clock.pair()
        for link in self._load.reactor.links:
            link.at_end = link.counts_now()
        self._edges.append(Edge(time.monotonic_ns(), cpu_ns, run_delay_ns, decode_cpu_ns))
        self._say(WindowClosed())

    def _finish(self, finish: Finish) -> None:
        load = self._load
        load.reactor.drain()
        captured = load.reactor.capture.at
        load.recorder.decode()
        lags = self._lags[: 2 * self._lag_count]
        probes = tuple(zip(lags[::2], lags[1::2], strict=True))
        if self._visits is not None:
            self._visits.probes = probes
        try:
            load.recorder.write(Path(finish.folder), finish.suffix, finish.polling, self._visits)
        except OSError as error:
            found = unwritable(Path(finish.folder), error)
            self._say(Failure(found.message, found.remedy))
            return
        recorder, (at_start, at_end) = load.recorder, self._edges
        report = LoadReport(
            pid=os.getpid(),
            at_start=at_start,
            at_end=at_end,
            decode_cpu_ns=recorder.decode_cpu_ns,
            captured_bytes=captured,
            clock_pairs=tuple(recorder.clock.pairs),
            hub_lag=probes,
            controls=recorder.controls,
            faults=tuple(recorder.faults),
            response_headers=recorder.response_headers,
            due=tuple((*key, due_ns) for key, due_ns in recorder.due.items()),
            failed=load.failed,
            tls=load.secured(),
            cut=None if self._storm is None else self._storm.cut,
        )
        self._say(Finished(report))


def _run_delay_ns() -> int:
    """How long this process's main thread has waited for its core, in ns; -1 where the kernel has no figure."""
    try:
        return int(Path(f"/proc/self/task/{os.getpid()}/schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return -1
