"""The shares of CPU on loopback: a calibration's record of the loopback bench (R23), also in campaign.json.

Invariant: CPU in ns a message, as a mean over rounds with its 95 % interval; what could not be measured is null, and
`why_not` says why. Made by `rtbench.analysis.calibration.loopback`, read by the report.
"""

from __future__ import annotations

from rtbench.records.record import Number, Record


class Interval(Record, frozen=True, kw_only=True):
    """A mean with its 95 % t-interval, in ns a message."""

    value: Number
    """number: the estimate."""
    low: Number
    """number: lower end of its 95 % interval."""
    high: Number
    """number: upper end."""


class LoopbackState(Record, frozen=True, kw_only=True):
    """One state of the bench (`rtbench.processes._loopback`): CPU of both, and steering's interrupts a message."""

    sender_ns: Interval
    """duration: CPU of the sender a message."""
    receiver_ns: Interval
    """duration: CPU of the receiver a message."""
    interrupts: Number
    """number: interrupts of the other core a message."""


class LoopbackPace(Record, frozen=True, kw_only=True):
    """Messages `gap_s` apart on each connection. `share_ns`: what the sender pays for its receiver's TCP."""

    gap_s: Number
    """seconds: between the messages of a connection."""
    rounds: int
    """count: rounds, interleaved over the states."""
    share_ns: Interval | None
    """duration: of the sender's CPU a message, what is the receiver's TCP; null: not measured."""
    states: dict[str, LoopbackState]
    """A state of steering to what both took."""


class Loopback(Record, frozen=True, kw_only=True):
    """The two paces that TCP knows. `acknowledged_ns`: what the receiver pays, sustained, for the sender's TCP when it
    acknowledges. `at_least_ns`: a part of the sparse share, which takes no privileges."""

    message_bytes: int
    """bytes: of a message."""
    connections: int
    """count: connections of the bench."""
    sustained: LoopbackPace
    """Messages less than 200 ms apart."""
    sparse: LoopbackPace
    """Messages more than 200 ms apart."""
    acknowledged_ns: Interval | None
    """duration: what the receiver pays for the sender's TCP, sustained; null: not measured."""
    at_least_ns: Interval | None
    """duration: a lower bound of the sparse share, which takes no privileges; null: not measured."""
    why_not: str
    """Why the share was not measured; empty: it was."""
