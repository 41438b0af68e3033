"""Who pays on loopback: what a calibration keeps of the loopback bench (R23), in campaign.json, too.

Invariant: CPU in ns a message, as a mean over rounds with its 95 % interval; what could not be measured is null, and
`why_not` says why. Made by `rtbench.analysis.calibration.loopback`, read by the report.
"""

from __future__ import annotations

from rtbench.records.record import Number, Record


class Interval(Record, frozen=True, kw_only=True):
    """A mean with its 95 % t-interval, in ns a message."""

    value: Number
    low: Number
    high: Number


class LoopbackState(Record, frozen=True, kw_only=True):
    """One state of the bench (`rtbench.processes._loopback`): CPU of both, and steering's interrupts a message."""

    sender_ns: Interval
    receiver_ns: Interval
    interrupts: Number


class LoopbackPace(Record, frozen=True, kw_only=True):
    """Messages `gap_s` apart on each connection. `share_ns`: what the sender pays for its receiver's TCP."""

    gap_s: Number
    rounds: int
    share_ns: Interval | None
    states: dict[str, LoopbackState]


class Loopback(Record, frozen=True, kw_only=True):
    """The two paces that TCP knows. `acknowledged_ns`: what the receiver pays, sustained, for the sender's TCP when it
    acknowledges. `at_least_ns`: a part of the sparse share, which takes no privileges."""

    message_bytes: int
    connections: int
    sustained: LoopbackPace
    sparse: LoopbackPace
    acknowledged_ns: Interval | None
    at_least_ns: Interval | None
    why_not: str
