"""The place of the window: after the warm-up, with its edges where nothing is due (R5, R14).

Invariant: the window has the length of the scenario, whatever is due; before its start every endless channel has had
`warmup_messages` due. Called by the trial.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping
from itertools import islice

from rtbench.scenario.model import Scenario
from rtbench.scenario.warm_up import conversation_s
from rtbench.workload import Channel, Workload, quiet_instant

FEW_CHANNELS = 100
"""The most channels for which edges without due messages are searched; with more, something is always due."""


_MARGIN_NS = 20_000_000
"""The time from the last due warm-up message to the window, long enough to deliver it."""


def choose(workload: Workload, scenario: Scenario, started: Mapping[str, int], subscribed_ns: int) -> tuple[int, int]:
    """(start_ns, end_ns), CLOCK_MONOTONIC.

    `started`: the start of each stream's timetable; `subscribed_ns`: the time since which all are subscribed.
    """
    warm_ns = time.monotonic_ns() + int(scenario.warmup_s * 1e9)
    had_ns = max(_had_ns(workload, scenario, started, subscribed_ns), default=0)
    after_ns = max(warm_ns, had_ns, time.monotonic_ns()) + _MARGIN_NS
    many = workload.unicast and len(workload.streams) * scenario.subscribers > FEW_CHANNELS
    # Nothing started: the server has a timetable of its own. A silence begins at once, not in the middle of its gap.
    if many or not started or scenario.idle.minutes:
        start_ns = after_ns
    else:
        # Streams start at different times: merged by when they are due, not by their own timetables.
        due = heapq.merge(*(_due_ns(workload, one, started[one.stream]) for one in workload.channels()))
        within_ns = int(min(1.0, scenario.window_s / 10) * 1e9)
        start_ns = quiet_instant(due, after_ns, within_ns)
    return start_ns, start_ns + int(scenario.window_s * 1e9)


def _had_ns(workload: Workload, scenario: Scenario, started: Mapping[str, int], subscribed_ns: int) -> Iterator[int]:
    """The time at which every endless channel has had the warm-up's messages due since all are subscribed."""
    count = scenario.warmup_messages
    for channel in workload.channels() if count else ():
        if workload.takes(channel.number):
            yield time.monotonic_ns() + int(conversation_s(scenario) * 1e9)
        elif channel.stream in started and not workload.finite(channel.stream):
            due = (due_ns for due_ns in _due_ns(workload, channel, started[channel.stream]) if due_ns >= subscribed_ns)
            yield next(islice(due, count - 1, None))


def _due_ns(workload: Workload, channel: Channel, started_ns: int) -> Iterator[int]:
    return (started_ns + tick.due_ns for tick in workload.ticks_of(channel))
