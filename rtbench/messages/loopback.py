"""The messages between `rtbench calibrate` and the loopback bench (`rtbench.processes._loopback`).

The bench answers one Measure with one Measured, then ends.
"""

from __future__ import annotations

from typing import Literal

from rtbench.messages.lines import Message, Reader

State = Literal["off", "on", "interrupted", "late-off", "late-on", "dropped"]
"""The ways to receive a burst; `rtbench.processes._loopback` explains each."""


WARM_UP = 24
"""Messages per connection before the measurement: TCP acknowledges each of the first 16 segments at once."""


class Measure(Message, frozen=True):
    """Send `rounds` bursts in each of `states`, `gap_s` apart, to `connections` sockets of a process on core
    `receiver`, after `warm_up` bursts that do not count.
    """

    receiver: int
    connections: int
    rounds: int
    gap_s: float
    states: tuple[State, ...]
    warm_up: int = WARM_UP


class Burst(Message, frozen=True):
    """One message to each connection. Per message: the CPU of both processes, and the interrupts of steering."""

    sender_ns: float
    receiver_ns: float
    interrupts: float


class Measured(Message, frozen=True):
    """`rounds`: state to burst. `why_not`: the reason why received packets cannot be steered; empty if they can."""

    message_bytes: int
    rounds: tuple[dict[State, Burst], ...]
    why_not: str = ""


MEASURE: Reader[Measure] = Reader(Measure)
MEASURED: Reader[Measured] = Reader(Measured)
