"""Where the window lies: after the warm-up, with its edges where nothing is due (R5, R14).

Invariant: start and end are as far apart as the scenario says, whatever is due. Called by the trial.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping

from rtbench.scenario.model import Scenario
from rtbench.workload import Channel, Workload, quiet_instant

FEW_CHANNELS = 100
"""Up to so many channels the window's edges are looked for where nothing is due; beyond, something always is."""


def choose(workload: Workload, scenario: Scenario, started: Mapping[str, int]) -> tuple[int, int]:
    """(start_ns, end_ns), CLOCK_MONOTONIC. `started`: when each stream's timetable began."""
    after_ns = time.monotonic_ns() + int(scenario.warmup_s * 1e9) + 20_000_000
    many = workload.unicast and len(workload.streams) * scenario.subscribers > FEW_CHANNELS
    if many or not started:  # nothing started: the server has a timetable of its own
        start_ns = after_ns
    else:
        # Streams start at different times: merged by when they are due, not by their own timetables.
        due = heapq.merge(*(_due_ns(workload, one, started[one.stream]) for one in workload.channels()))
        within_ns = int(min(1.0, scenario.window_s / 10) * 1e9)
        start_ns = quiet_instant(due, after_ns, within_ns)
    return start_ns, start_ns + int(scenario.window_s * 1e9)


def _due_ns(workload: Workload, channel: Channel, started_ns: int) -> Iterator[int]:
    return (started_ns + tick.due_ns for tick in workload.ticks_of(channel))
