"""The length of a warm-up: `warmup_s` or the time of `warmup_messages`, whichever is longer (R14).

TCP acknowledges each of a connection's first segments at once, so the first 16 or so messages of a push cost more. The
warm-up therefore also counts messages. Finite streams are exempt: they would end. Pure. Called by the estimate, the
preflight and the trial.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice

from rtbench.errors import UserError
from rtbench.scenario.model import Scenario
from rtbench.workload import Workload

MOST_S = 60.0
"""The longest allowed warm-up of a trial, seconds."""

_CHANNELS, _STARTS = 200, 100
"""Channels of a unicast workload that are examined, and starting messages on each."""


def warm_up_s(scenario: Scenario) -> float:
    """The length of a trial's warm-up, seconds. Messages that a memory ladder has sent to all subscribers count."""
    before_s = scenario.memory.stream_s if scenario.memory.ladder else 0.0
    return max([scenario.warmup_s, *(takes_s - before_s for _, takes_s in _waits(scenario))])


def check(scenario: Scenario) -> None:
    """Raises UserError for a stream so slow that its warm-up takes longer than MOST_S."""
    if not any(scenario.subject_of(name).played for name in scenario.subjects):
        return  # a server with a timetable of its own: only `warmup_s` counts
    count = scenario.warmup_messages
    for name, takes_s in _waits(scenario):
        if takes_s > max(MOST_S, scenario.warmup_s):
            rate_hz = count / takes_s
            raise UserError(
                f"stream {name} sends {rate_hz:.2g} messages a second: a warm-up of {count} messages takes "
                f"{takes_s:.0f} s, the limit is {MOST_S:.0f} s",
                f"--set warmup_messages={int(MOST_S * rate_hz)}, or a higher rate (workload.rate_hz, chat.rate_hz)",
            )


def conversation_s(scenario: Scenario) -> float:
    """The time in which a conversation's senders send the warm-up's messages on a channel, seconds."""
    chat = scenario.chat
    each = 1 if scenario.workload.channels == "unicast" else chat.senders / len(scenario.stream)
    return scenario.warmup_messages / (each * chat.rate_hz)


def _waits(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """Every endless stream, and the time of the warm-up's messages on its slowest channel, seconds."""
    workload = scenario.make_workload()
    for name in dict.fromkeys(workload.streams) if scenario.warmup_messages else ():
        if workload.stream(name).takes(workload.pace):
            yield name, conversation_s(scenario)
        elif not workload.finite(name):
            yield name, _longest_s(workload, name, scenario.warmup_messages)


@cache
def _longest_s(workload: Workload, name: str, count: int) -> float:
    """The longest time in which a channel sends `count` messages, from any starting message, seconds."""
    channels = islice((one for one in workload.channels() if one.stream == name), _CHANNELS)
    longest_ns = 0
    for channel in channels:
        due = [tick.due_ns for tick in islice(workload.ticks_of(channel), count + _STARTS)]
        longest_ns = max(longest_ns, *(after - before for before, after in zip(due, due[count:], strict=False)))
    return longest_ns / 1e9
