"""CLOCK_MONOTONIC (timetables, arrivals) beside CLOCK_REALTIME (kernel stamps, plans), read together (R2).

Invariant: the two reads belong to one moment: the tightest of five tries counts, so that a preemption does no harm.
Used by servers, the load generator and the trial.
"""

from __future__ import annotations

import time

_TRIES = 5


def pair() -> tuple[int, int]:
    """CLOCK_MONOTONIC and CLOCK_REALTIME of one moment, nanoseconds: the tightest of five tries."""
    tries = []
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        tries.append((after - before, (before + after) // 2, real))
    _, monotonic, real = min(tries)
    return monotonic, real


def offset_ns() -> int:
    """CLOCK_REALTIME less CLOCK_MONOTONIC, as it is now."""
    monotonic, real = pair()
    return real - monotonic
