"""`python -m rtbench.processes._starve`: takes a core away from the processes on it, at intervals, on purpose (R16).

Each line on standard input is a `rtbench.messages.starver.Burn`. Invariant: it burns only between the two instants. It
runs before every ordinary process of its core (SCHED_FIFO 1 if permitted; nice -20 hardly delays a process that mostly
sleeps) and after the publisher (SCHED_FIFO 2). Started by a trial with `[faults] starve`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from rtbench.messages.starver import BURN


def main() -> None:
    """Execute the burns on standard input, then exit."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    for line in sys.stdin:
        burn = BURN(line)
        burn_ns, every_ns = int(burn.burn_s * 1e9), int(burn.every_s * 1e9)
        turn_ns = burn.start_ns
        while turn_ns < burn.end_ns:
            time.sleep(max(0, turn_ns - time.monotonic_ns()) / 1e9)
            while time.monotonic_ns() < min(turn_ns + burn_ns, burn.end_ns):
                pass
            turn_ns += every_ns


if __name__ == "__main__":
    main()
