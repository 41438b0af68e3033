"""`python -m rtbench.processes._starve`: takes a core away from whoever shares it, in turns, on purpose (R16).

One JSON line on standard input: {"start_ns","end_ns","burn_s","every_s"} (CLOCK_MONOTONIC). Invariant: it burns only
between these instants, before every ordinary process of its core (SCHED_FIFO 1, where this user may; nice -20 hardly
delays a process that mostly sleeps) and after the publisher (SCHED_FIFO 2). Started by a trial that starves somebody.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time


def main() -> None:
    """Burn as told, then end."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    for line in sys.stdin:
        told = json.loads(line)
        burn_ns, every_ns = int(told["burn_s"] * 1e9), int(told["every_s"] * 1e9)
        turn_ns = told["start_ns"]
        while turn_ns < told["end_ns"]:
            time.sleep(max(0, turn_ns - time.monotonic_ns()) / 1e9)
            while time.monotonic_ns() < min(turn_ns + burn_ns, told["end_ns"]):
                pass
            turn_ns += every_ns


if __name__ == "__main__":
    main()
