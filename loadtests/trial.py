"""A load process inside a trial: the campaign's commands come as JSON lines over a Unix socket, its answers go back.

    campaign: {"do":"ramp","host":URL,"start_ns":…,"ramp_hz":…,"count":N}   (again, with a higher count: a ladder)
                                                  load: {"subscribed":N,"failed":{…},"given_up":N} as it changes
    campaign: {"do":"window","start_ns":…,"end_ns":…}                 load: {"window":"closed"}
    campaign: {"do":"finish","folder":…,"suffix":…}                   load: {"finished":{…}}, then the process leaves

Invariant: counters (TCP_INFO, CPU) are read at the window's edges by this process itself, outside of what they count;
nothing is decoded or written between the edges. The process leaves when the socket closes, whoever closed it.
"""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent import socket

from rtbench.errors import RtbenchError
from rtbench.loadtests.load import Load
from rtbench.loadtests.subscriber import Endpoint

if TYPE_CHECKING:
    from locust.env import Environment

_PROBE_NS = 10_000_000
"""The probe of event-loop lag: a timer of 10 ms, which is as late as anything on this process's loop (R13)."""


class TrialControl:
    """The load process's end of the campaign's control socket."""

    def __init__(self, load: Load, environment: Environment, path: str) -> None:
        self._load = load
        self._environment = environment
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._edges: dict[str, int] = {}
        self._lags: list[tuple[int, int]] = []
        self._capture_decodes = 0
        self._count = 0
        self._more = gevent.event.Event()
        gevent.spawn(self._listen)
        self._say({"hello": os.getpid()})

    def _say(self, value: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(value).encode() + b"\n")

    def _listen(self) -> None:
        pending = b""
        try:
            while data := self._socket.recv(65536):
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    command = json.loads(line)
                    getattr(self, f"_{command.pop('do')}")(**command)
        except OSError:
            pass
        except RtbenchError as error:
            self._say({"error": str(error)})
        # Not runner.quit(): nobody is there to wait for users to stop, and nothing is left to be saved.
        os._exit(0)

    def let_go(self, number: int) -> None:
        """Wait until the process's subscriber `number` (from 0) may connect."""
        while number >= self._count:
            self._more.wait()

    def _ramp(self, host: str, start_ns: int, ramp_hz: float, count: int) -> None:
        load = self._load
        load.target = Endpoint.of(host, load.settings.tls_ca)
        load.ramp_ns, load.ramp_hz, load.ramp_from = start_ns, ramp_hz, self._count
        if not self._count:
            load.base_ns = start_ns
            gevent.spawn(self._report)
            gevent.spawn(self._pair)
            load.watch()
        self._count = count
        more, self._more = self._more, gevent.event.Event()
        more.set()

    def _report(self) -> None:
        said = None
        while True:
            load = self._load
            state = {"subscribed": load.subscribed_count, "failed": dict(load.failed), "given_up": load.given_up}
            if state != said:
                self._say(state)
                said = state
            gevent.sleep(0.05)

    def _pair(self) -> None:
        while True:
            gevent.sleep(1)
            self._load.recorder.clock.pair()

    def _window(self, start_ns: int, end_ns: int) -> None:
        # What was made so far stays; a collection in the window would look at all of it.
        gc.collect()
        gc.freeze()
        gc.disable()
        reactor = self._load.reactor
        reactor.at(start_ns, self._open_window)
        reactor.at(end_ns, self._close_window)
        for sender in self._load.senders:
            sender.begin(start_ns, end_ns)
        for at_ns in range(start_ns + _PROBE_NS, end_ns, _PROBE_NS):
            reactor.at(at_ns, self._probe, at_ns)

    def _probe(self, due_ns: int) -> None:
        self._lags.append((due_ns, time.monotonic_ns() - due_ns))

    def _open_window(self) -> None:
        for link in self._load.reactor.links:
            link.at_start = link.bytes_now()
            if link.deaf and link.closed_ns < 0:
                self._load.reactor.ignore(link)
        self._load.recorder.clock.pair()
        self._edges["read_ns_at_start"] = time.monotonic_ns()
        self._edges["run_delay_ns_at_start"] = _run_delay_ns()
        self._edges["decode_cpu_ns_at_start"] = self._load.recorder.decode_cpu_ns
        self._edges["cpu_ns_at_start"] = time.process_time_ns()

    def _close_window(self) -> None:
        self._edges["cpu_ns_at_end"] = time.process_time_ns()
        self._edges["run_delay_ns_at_end"] = _run_delay_ns()
        self._edges["decode_cpu_ns_at_end"] = self._load.recorder.decode_cpu_ns
        self._load.recorder.clock.pair()
        for link in self._load.reactor.links:
            link.at_end = link.bytes_now()
        self._edges["read_ns_at_end"] = time.monotonic_ns()
        self._say({"window": "closed"})

    def _finish(self, folder: str, suffix: str, polling: bool) -> None:
        load = self._load
        load.reactor.drain()
        captured = load.reactor.capture.at
        load.recorder.decode()
        try:
            load.recorder.write(Path(folder), suffix, polling)
        except OSError as error:
            self._say({"error": f"cannot write {folder} ({error.strerror})"})
            return
        self._say(
            {
                "finished": {
                    **self._edges,
                    "pid": os.getpid(),
                    "clock_pairs": load.recorder.clock.pairs,
                    "controls": load.recorder.controls,
                    "faults": load.recorder.faults,
                    "response_headers": load.recorder.response_headers,
                    "due": [[*key, due_ns] for key, due_ns in load.recorder.due.items()],
                    "failed": load.failed,
                    "hub_lag": self._lags,
                    "taped_bytes": captured,
                    "decode_cpu_ns": load.recorder.decode_cpu_ns,
                }
            }
        )


def _run_delay_ns() -> int:
    """How long this process's main thread has waited for its core; -1 where the kernel does not say."""
    try:
        return int(Path(f"/proc/self/task/{os.getpid()}/schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return -1
