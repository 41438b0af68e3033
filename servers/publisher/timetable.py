"""The timetable of some streams: their scripts merged by due time, the first ticks made in advance.

Invariant: the number of ticks made in advance changes neither ticks nor order. Making a tick costs several times as
much as playing it, and a publisher that shares a core with the load generator should not do it inside a window. Used by
the publisher.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter

from rtbench.workload import Tick, Workload

MOST_AHEAD = 500_000
"""The most ticks made in advance: some 150 MB."""


class Timetable:
    """Ticks and notices by due time, counted from the start of these streams."""

    def __init__(self, workload: Workload, streams: Iterable[str]) -> None:
        wanted = set(streams)
        channels = [channel for channel in workload.channels() if channel.stream in wanted]
        self._ticks = merge(*(workload.script_of(channel) for channel in channels), key=attrgetter("due_ns"))
        self._ahead: deque[Tick] = deque()

    def prepare(self, until_ns: int) -> None:
        """Make the ticks due until then, MOST_AHEAD at most."""
        for tick in islice(self._ticks, MOST_AHEAD):
            self._ahead.append(tick)
            if tick.due_ns > until_ns:
                break

    def next_ns(self) -> int | None:
        """When the next tick is due; None after the last."""
        if not self._ahead:
            self._ahead.extend(islice(self._ticks, 1))
        return self._ahead[0].due_ns if self._ahead else None

    def take(self, until_ns: int) -> Iterator[Tick]:
        """Remove and return the ticks due by then, in order."""
        while (due_ns := self.next_ns()) is not None and due_ns <= until_ns:
            yield self._ahead.popleft()
