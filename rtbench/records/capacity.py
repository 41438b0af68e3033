"""capacity.json: what `rtbench capacity` asked, and each subject's bracket with its probes (R19).

Invariant: `low` was confirmed over a longer window, `high` was refuted; what only the harness limited is never a
`high`. Rewritten after every probe from the trials of the folder. Written by `rtbench.capacity`, read by it
(`--resume`) and by the analysis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import UNSET

from rtbench.records import record
from rtbench.records.inside import own
from rtbench.records.record import Maybe, Number, Place, Record, Status

FILE = "capacity.json"


class Level(Record, frozen=True, kw_only=True):
    """The service level, `[slo]` of the scenario."""

    latency_ms: Number
    """number: ms, the oldest that a message may be."""
    quantile: Number
    """share: of the deliveries that are in time."""
    lost: Number
    """share: of the deliveries that may be lost."""
    set_up_s: Number
    """seconds: from a subscriber's first attempt to the first byte of a response."""


class ProbeRow(Record, frozen=True, kw_only=True):
    """One probe: a trial and what it shows."""

    value: Number
    """number: of the key `by`."""
    late_or_lost: Maybe[Number] = UNSET
    """share: of the expected deliveries, at most; null: the trial failed."""
    surely: Maybe[Number] = UNSET
    """share: of the expected deliveries, late or lost without doubt: whatever the harness was late by is taken out."""
    lost: Maybe[Number] = UNSET
    """share: of the expected deliveries that never arrived."""
    latency_ns: Maybe[Number] = UNSET
    """duration: the latency at the quantile of the service level, a lost message counting as the latest; null: lost."""
    status: Status
    """The trial's."""
    trial: Place
    """number: of the trial in campaign.json."""
    verdict: Literal["holds", "fails", "unclear"]
    """`holds`, `fails`, or `unclear`: the harness may have spoiled it."""
    window_s: Number
    """seconds: the length of its window."""
    limited_by: str
    """What kept it from holding; empty: it held."""


class SubjectCapacity(Record, frozen=True, kw_only=True):
    """A subject's bracket."""

    subject: str
    """Its name."""
    low: Number | None
    """number: the highest value that was confirmed; null: none."""
    high: Number | None
    """number: the lowest value that was refuted; null: not reached."""
    closed: bool
    """Whether low and high are as close as was asked for."""
    out_of_time: bool
    """Whether the time was over before it was settled."""
    held: Maybe[Number] = UNSET
    """number: the highest value that held, confirmed or not, below what failed."""
    limited_by: str
    """What limits it at the upper end; empty: not known."""
    harness_limited: bool
    """Whether the harness, not the server, was the limit: the capacity is `low` or more."""
    probes: list[ProbeRow]
    """In the order of their trials."""


class CapacityRecord(Record, frozen=True, kw_only=True):
    """capacity.json."""

    schema: int
    """number: of the folder's format."""
    by: str
    """The key that was searched: `subscribers` or `workload.rate_hz`."""
    first: Number
    """number: the value that was tried first (`--from`)."""
    most: Number
    """number: the largest value that was allowed."""
    width: Number
    """share: of `high`, within which a bracket is closed."""
    slo: Level
    """The service level."""
    subjects: list[SubjectCapacity]
    """In the order of the scenario."""


def load(folder: Path) -> CapacityRecord | None:
    """capacity.json of a results folder; None where there is none. Raises ResultsError that names file and key."""
    file = own(folder, folder / FILE)
    return record.load(CapacityRecord, file) if file.exists() else None
