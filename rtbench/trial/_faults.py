"""The [faults] of a scenario: stop, kill or starve processes of a trial, at times relative to the window's start.

Invariant: the manifest's `events` have every fault with its real time (CLOCK_MONOTONIC). A stopped process continues
at the planned end or when the trial ends. Called by the trial, once its window is chosen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence

from rtbench.machine import probes
from rtbench.processes.process import Process
from rtbench.processes.starting import Server
from rtbench.records.manifest import Event
from rtbench.scenario.tables import Interruption
from rtbench.trial._process_group import ProcessGroup


def plan(group: ProcessGroup, start_ns: int) -> None:
    """Plan all faults relative to `start_ns`; each adds itself to the group's events when it happens."""
    faults = group.run.spec.scenario.faults
    for row in faults.stop:
        _plan_stop(group, row, start_ns)
    for row in faults.kill:
        _plan_kill(group, row, start_ns)
    for row in faults.starve:
        assert group.starver is not None
        begin_ns, end_ns = start_ns + _ns(row.at_s), start_ns + _ns(row.at_s + row.for_s)
        group.starver.burn(begin_ns, end_ns, row.burn_s, row.every_s)
        group.events.append(_event("starve", row, begin_ns, end_ns))


def _plan_stop(group: ProcessGroup, row: Interruption, start_ns: int) -> None:
    def stop() -> None:
        processes = _processes(group, row.what)
        _signal(processes, signal.SIGSTOP)
        began_ns = time.monotonic_ns()

        def go_on() -> None:
            _signal(processes, signal.SIGCONT)
            group.events.append(_event("stop", row, began_ns, time.monotonic_ns()))

        group.at(began_ns + _ns(row.for_s), go_on)

    group.at(start_ns + _ns(row.at_s), stop)


def _plan_kill(group: ProcessGroup, row: Interruption, start_ns: int) -> None:
    def kill() -> None:
        group.kill_server()
        began_ns = time.monotonic_ns()

        def start_again() -> None:
            group.restart_server()
            group.events.append(_event("kill", row, began_ns, time.monotonic_ns()))

        group.at(began_ns + _ns(row.for_s), start_again)

    group.at(start_ns + _ns(row.at_s), kill)


def _processes(group: ProcessGroup, what: str) -> Sequence[Process | Server]:
    table: dict[str, Sequence[Process | Server]] = {
        "server": [group.server],
        "publisher": [group.publisher],
        "load": group.loads,
    }
    return table[what]


def _signal(processes: Sequence[Process | Server], number: int) -> None:
    for process in processes:
        if process.exited() is None:  # it may have been killed meanwhile, on purpose
            for pid in probes.tree(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def _event(do: str, row: Interruption, began_ns: int, ended_ns: int) -> Event:
    return Event(do=do, what=row.what, planned_s=row.at_s, began_ns=began_ns, ended_ns=ended_ns)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
