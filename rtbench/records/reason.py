"""A reason against a trial, or a warning: a value with a kind, a message and a remedy, wherever it is stored."""

from __future__ import annotations

from rtbench.records.record import Record


class Reason(Record, frozen=True, kw_only=False):
    """What happened, what to do about it, and the metrics that it spoils (names, or prefixes that end with `*`)."""

    kind: str
    message: str
    remedy: str
    metrics: list[str]
