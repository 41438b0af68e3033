"""`python -m rtbench.servers.publisher CONFIG`: one publisher process, until its standard input closes."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path

from rtbench.servers.kit import feed
from rtbench.servers.publisher.publisher import Publisher, answer, hurry

_PR_SET_TIMERSLACK = 29
_SETTLE_S = 1.0
"""How long answers to the last posts may take."""


def main() -> int:
    """`python -m rtbench.servers.publisher CONFIG`: CONFIG is JSON; see rtbench.processes.process."""
    config = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    publisher = Publisher(
        feed.restore(config["workload"]), Path(config["path"]), config["ring_messages"], config["ring_bytes"]
    )
    for finite in (False, True):
        group = [name for name in publisher.workload.streams if publisher.workload.finite(name) == finite]
        publisher.prepare(group, config["ahead_s"])
    scheduling = hurry()
    answer({"ready": publisher.epoch, "scheduling": scheduling})
    # No cycles are made while playing; a collection over 10,000 channels would be late by milliseconds.
    gc.collect()
    gc.freeze()
    gc.disable()
    target = publisher.run(sys.stdin.fileno())
    if target:
        from rtbench.records.tables import write_table  # pyarrow: 40 MB that a publisher does without while it plays

        if publisher.poster is not None:
            publisher.poster.settle(_SETTLE_S)
        rows = write_table(Path(target), "ticks", publisher.ticks())
        answer({"ticks": rows, "posts": publisher.poster.counts() if publisher.poster is not None else {}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
