"""The timetable of some streams: their scripts in the order in which all is due, the first of it made in advance.

Invariant: the same ticks and notices in the same order, however many were made in advance; making one costs several
times what playing one does, and a publisher that shares a core with the load generator should not do it inside a
window. Used by the publisher.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter

from rtbench.workload import Tick, Workload

MOST_AHEAD = 500_000
"""Ticks that are made in advance at most: some 150 MB."""


class Timetable:
    """Ticks and notices by when they are due, counted from the start of these streams."""

    def __init__(self, workload: Workload, streams: Iterable[str]) -> None:
        wanted = set(streams)
        channels = [channel for channel in workload.channels() if channel.stream in wanted]
        self._ticks = merge(*(workload.script_of(channel) for channel in channels), key=attrgetter("due_ns"))
        self._ahead: deque[Tick] = deque()

    def prepare(self, until_ns: int) -> None:
        """Make what is due until then, up to MOST_AHEAD ticks."""
        for tick in islice(self._ticks, MOST_AHEAD):
            self._ahead.append(tick)
            if tick.due_ns > until_ns:
                break

    def next_ns(self) -> int | None:
        """When the next tick is due; None when there are no more."""
        if not self._ahead:
            self._ahead.extend(islice(self._ticks, 1))
        return self._ahead[0].due_ns if self._ahead else None

    def take(self, until_ns: int) -> Iterator[Tick]:
        """The ticks that are due by then, in order; they are gone then."""
        while (due_ns := self.next_ns()) is not None and due_ns <= until_ns:
            yield self._ahead.popleft()
