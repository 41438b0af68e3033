"""The ladder of connection counts, climbed before the window: memory and idle CPU per connection as slopes (R4).

At each rung the new subscribers connect while nothing is published; the server is asked to tidy up (collect garbage,
trim its allocator); then what it and the kernel hold is read, idle and once more after `stream_s` of messages.
Invariant: a number per connection is the slope of a line over the rungs, with its 95 % interval, never a quotient.
Called by the trial, when its scenario has a ladder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rtbench.machine import probes
from rtbench.records.manifest import Idle, Ladder
from rtbench.records.record import typed
from rtbench.trial._process_group import ProcessGroup

_TIDY_S = 0.3
"""How long a server may take to tidy up; it does not answer."""

QUANTITIES = {
    "server_idle": "server_idle_bytes_per_connection",
    "server_streaming": "server_bytes_per_connection",
    "kernel_idle": "kernel_idle_bytes_per_connection",
    "kernel_streaming": "kernel_bytes_per_connection",
}
"""What is read at a rung, and what its slope is called in the manifest's `memory`."""


def climb_ladder(group: ProcessGroup) -> tuple[Ladder, Idle]:
    """Climb; the rungs and slopes. At the end all are subscribed and messages are published."""
    run, ladder = group.run, group.run.spec.scenario.memory
    tidied = group.server.tidy()
    rungs: list[dict[str, Any]] = []
    for rung in ladder.ladder:
        run.stage(f"climbing to {rung:,}")
        group.publisher.pause()
        group.ramp(rung)
        group.server.tidy()
        group.until(time.monotonic_ns() + int(_TIDY_S * 1e9))
        began_ns, cpu_ns = time.monotonic_ns(), group.server.cpu_ns()
        group.until(began_ns + int(ladder.idle_s * 1e9))
        used_ns, took_ns = group.server.cpu_ns() - cpu_ns, time.monotonic_ns() - began_ns
        row: dict[str, Any] = {"connections": rung, "idle_cpu_ns_per_second": used_ns / took_ns * 1e9}
        row |= _held(group, "idle")
        group.publisher.resume()
        group.subscribed_ns = time.monotonic_ns()  # what was due before was not sent to these
        group.until(time.monotonic_ns() + int(ladder.stream_s * 1e9))
        group.server.tidy()
        group.until(time.monotonic_ns() + int(_TIDY_S * 1e9))
        rungs.append(row | _held(group, "streaming"))
    counts = [row["connections"] for row in rungs]
    memory: dict[str, Any] = {"rungs": rungs, "tidied": tidied}
    for name, slope_name in QUANTITIES.items():
        values = [row[name] for row in rungs]
        if min(values) >= 0:
            slope, half = fit(counts, values)
            memory |= {slope_name: slope, f"{slope_name}_half_interval": half}
    slope, half = fit(counts, [row["idle_cpu_ns_per_second"] for row in rungs])
    idle = Idle(cpu_ns_per_connection_second=slope, cpu_ns_per_connection_second_half_interval=half)
    return typed(Ladder, memory), idle


def _held(group: ProcessGroup, state: str) -> dict[str, int]:
    return {
        f"server_{state}": group.server.memory_bytes(),
        f"kernel_{state}": probes.kernel_memory_bytes(),
    }


def fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope of y over x, and half its 95 % t-interval (3 points or more)."""
    from scipy import stats

    if min(y) == max(y):
        return 0.0, 0.0  # scipy's error of a line that does not rise is NaN, which no manifest can hold
    line = stats.linregress(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    return float(line.slope), float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)
