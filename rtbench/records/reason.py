"""A reason against a trial, or a warning: a value with a kind, a message and a remedy, wherever it is stored."""

from __future__ import annotations

from msgspec import field

from rtbench.records.record import Record


class Reason(Record, frozen=True, kw_only=False):
    """What happened, what to do about it, and the metrics that it spoils (names; `*` stands for any text).

    rtbench writes all four; of a reason that somebody else wrote, what is missing is empty.
    """

    kind: str = ""
    """A word that programs compare."""
    message: str = ""
    """What happened, a sentence."""
    remedy: str = ""
    """What to do about it."""
    metrics: list[str] = field(default_factory=list)
    """Names of the metrics that it spoils, or prefixes that end with `*`; none: latency and cost."""
