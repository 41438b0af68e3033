"""`python -m rtbench.servers.publisher CONFIG`: one publisher process, until its standard input closes."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

from rtbench.messages.lines import say
from rtbench.messages.publisher import CONFIG, Ready, Unwritten, Written
from rtbench.records.replacing import unwritable
from rtbench.servers.publisher.publisher import Publisher, hurry

_PR_SET_TIMERSLACK = 29
_SETTLE_S = 1.0
"""How long answers to the last posts may take."""


def main() -> int:
    """The exit code. CONFIG is a `PublisherConfig` as JSON."""
    config = CONFIG(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    publisher = Publisher(config.workload.restore(), Path(config.path), config.ring_messages, config.ring_bytes)
    for finite in (False, True):
        group = [name for name in publisher.workload.streams if publisher.workload.finite(name) == finite]
        publisher.prepare(group, config.ahead_s)
    scheduling = hurry()
    say(Ready(publisher.epoch, scheduling))
    # Playing creates no cycles, and a collection over 10,000 channels would make ticks late by milliseconds.
    gc.collect()
    gc.freeze()
    gc.disable()
    target = publisher.run(sys.stdin.fileno())
    if target:
        from rtbench.records.tables import write_table  # pyarrow takes 40 MB: imported only after playing

        if publisher.poster is not None:
            publisher.poster.settle(_SETTLE_S)
        try:
            rows = write_table(Path(target), "ticks", publisher.ticks())
        except OSError as error:
            found = unwritable(Path(target).parent, error)
            say(Unwritten(found.message, found.remedy))
        else:
            say(Written(rows, publisher.posts()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
