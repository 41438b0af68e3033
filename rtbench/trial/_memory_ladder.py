"""The ladder of connection counts, climbed before the window: memory and idle CPU per connection as slopes (R4).

At each rung the new subscribers connect while nothing is published (long polls while messages answer them), and the
server is asked to tidy up (collect garbage, trim its allocator). Then the memory of server and kernel is read, idle and
again after `stream_s` of messages.
Invariant: a number per connection is the slope of a line over the rungs, with its 95 % interval and a test for a bend,
never a quotient. Called by the trial, when its scenario has a ladder.
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
"""The time that a server has to tidy up; it does not answer."""

QUANTITIES = {
    "server_idle": "server_idle_bytes_per_connection",
    "server_streaming": "server_bytes_per_connection",
    "kernel_idle": "kernel_idle_bytes_per_connection",
    "kernel_streaming": "kernel_bytes_per_connection",
}
"""The readings at a rung, and the name of each slope in the manifest's `memory`."""


def climb_ladder(group: ProcessGroup) -> tuple[Ladder, Idle]:
    """Climb the ladder. Returns rungs and slopes. At the end all are subscribed and messages are published."""
    run, ladder = group.run, group.run.spec.scenario.memory
    # A long poll is there once it was answered, and Nchan answers with messages alone.
    answered = run.spec.subject.transport == "long-poll"
    tidied = group.server.tidy()
    rungs: list[dict[str, Any]] = []
    for rung in ladder.ladder:
        run.stage(f"climbing to {rung:,}")
        if not answered:
            group.publisher.pause()
        group.ramp(rung)
        if answered:
            group.publisher.pause()
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
            memory |= slope_of(slope_name, counts, values)
    idle = slope_of("cpu_ns_per_connection_second", counts, [row["idle_cpu_ns_per_second"] for row in rungs])
    return typed(Ladder, memory), typed(Idle, idle)


def _held(group: ProcessGroup, state: str) -> dict[str, int]:
    return {
        f"server_{state}": group.server.memory_bytes(),
        f"kernel_{state}": probes.kernel_memory_bytes(),
    }


def slope_of(name: str, x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """The slope of y over x for the manifest: `name`, `name_half_interval`, and `name_curved_p` where known."""
    slope, half = fit(x, y)
    p = curved_p(x, y)
    return {name: slope, f"{name}_half_interval": half, **({} if p is None else {f"{name}_curved_p": p})}


def fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope of y over x, and half its 95 % t-interval (3 points or more)."""
    from scipy import stats

    if min(y) == max(y):
        return 0.0, 0.0  # scipy's error of a line that does not rise is NaN, which no manifest can hold
    line = stats.linregress(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    return float(line.slope), float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)


def curved_p(x: Sequence[float], y: Sequence[float]) -> float | None:
    """p of the t-test of the quadratic term in y = a + b·x + c·x², of c being 0; None with fewer than four points.

    A test of lack of fit against pure error needs repeated readings at one rung, which a trial does not have. This test
    detects a bend, not a step. In one trial with four rungs (one degree of freedom) it detects only a large bend.
    """
    from scipy import stats

    at = np.asarray(x, dtype=np.float64)
    if at.size < 4:
        return None
    at = (at - at.mean()) / np.ptp(at)  # the term's t does not depend on this; the arithmetic's error does
    values = np.asarray(y, dtype=np.float64)
    columns = np.vander(at, 3)
    terms = np.linalg.lstsq(columns, values, rcond=None)[0]
    freedom = at.size - 3
    error = float(((values - columns @ terms) ** 2).sum()) / freedom
    size = float(np.abs(values).max()) * 1e-12  # below this it is the rounding of the arithmetic
    if error <= size**2:
        return float(abs(terms[0]) <= size)
    error *= float(np.linalg.inv(columns.T @ columns)[0, 0])
    return float(2 * stats.t.sf(abs(terms[0]) / np.sqrt(error), freedom))
