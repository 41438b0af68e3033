"""campaign.json: what was asked, where, in which order, and what became of each trial.

Invariant: rewritten after every trial, whole and atomically; a trial's row is never changed. Written by
`rtbench.campaign`, read by it (`--resume`) and by the analysis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta

from rtbench.errors import ResultsError
from rtbench.records import record, tables
from rtbench.records.loopback import Loopback
from rtbench.records.reason import Reason
from rtbench.records.record import DAMAGED, Cell, Maybe, Number, Place, Record, Status, Subscribers, Whole


class Limit(Record, frozen=True, kw_only=True):
    """A threshold."""

    max: Maybe[Number] = UNSET
    min: Maybe[Number] = UNSET


class Workload(Record, frozen=True, kw_only=True):
    """[workload]."""

    channels: Maybe[str] = UNSET


class Memory(Record, frozen=True, kw_only=True):
    """[memory]."""

    ladder: Maybe[list[Number]] = UNSET


class Equivalence(Record, frozen=True, kw_only=True):
    """[equivalence]; missing in a folder that says nothing of it: the default of `rtbench.scenario`."""

    margin: Maybe[Annotated[float, Meta(gt=0, le=1)]] = UNSET


class Asked(Record, frozen=True, kw_only=True):
    """The resolved scenario. Only what the analysis reads is listed; `rtbench.scenario` knows every key."""

    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    subjects: Maybe[list[str]] = UNSET
    subscribers: Maybe[Subscribers] = UNSET
    stream: Maybe[str | list[str]] = UNSET
    workload: Maybe[Workload] = UNSET
    poll: Maybe[dict[str, Any]] = UNSET
    memory: Maybe[Memory] = UNSET
    thresholds: Maybe[dict[str, Limit]] = UNSET
    equivalence: Maybe[Equivalence] = UNSET


class CalibrationCheck(Record, frozen=True, kw_only=True):
    """A known truth and how far from it the harness was."""

    name: str
    met: Any
    deviation: Number


class Noise(Record, frozen=True, kw_only=True):
    """What an A/A control showed of one metric: the standard deviation of its logarithm over blocks."""

    sd: Number
    blocks: Annotated[int, Meta(ge=1, le=1 << 62)]


class NoiseFloor(Record, frozen=True, kw_only=True):
    """Metric to noise."""

    metrics: Maybe[dict[str, Noise]] = UNSET


class Calibration(Record, frozen=True, kw_only=True):
    """The machine's newest calibration when the campaign began (`rtbench.campaign.calibrate`)."""

    checks: list[CalibrationCheck]
    measured_unix: Number
    noise: Maybe[NoiseFloor] = UNSET
    loopback: Maybe[Loopback] = UNSET
    environment: Maybe[dict[str, Any]] = UNSET


def load_calibration(file: Path) -> dict[str, Any]:
    """What `rtbench calibrate` stored in `file`, and the name that reports give it (`file`). Raises ResultsError."""
    found = record.read(Calibration, tables.read_json(file), file, "name a file that `rtbench calibrate` stored")
    return {**record.plain(found), "file": file.name}


class Channel(Record, frozen=True, kw_only=True):
    """A pair of stream and channel, and its number in the tables."""

    channel: Maybe[Place] = UNSET
    stream: Maybe[str] = UNSET
    stream_channel: Maybe[Place] = UNSET


class SubjectRow(Record, frozen=True, kw_only=True):
    """A subject and what it is."""

    subject: str
    transport: Maybe[str] = UNSET
    stack: Maybe[str] = UNSET
    arm: Maybe[str] = UNSET
    technique: Maybe[str] = UNSET
    carries_id: Maybe[str] = UNSET
    proxy: Maybe[str] = UNSET


class TrialRow(Record, frozen=True, kw_only=True):
    """A recorded trial. `item`: the subject with its cell; `attempt`: 1, or more in a block that was run again."""

    trial: Place
    subject: str
    block: Maybe[Place] = UNSET
    position: Maybe[Place] = UNSET
    attempt: Maybe[Place] = UNSET
    item: Maybe[str] = UNSET
    cell: Maybe[Cell] = UNSET
    status: Maybe[Status] = UNSET
    directory: str
    manifest_sha256: Maybe[str] = UNSET


class CampaignRecord(Record, frozen=True, kw_only=True):
    """campaign.json. `exit`: the exit code, null while it runs; `…_unix`: seconds since 1970."""

    schema: int
    rtbench: Maybe[str] = UNSET
    campaign: Maybe[str] = UNSET
    command: Maybe[str] = UNSET
    scenario: Maybe[Asked] = UNSET
    scenario_hash: Maybe[str] = UNSET
    seed: Maybe[Whole] = UNSET
    order: Maybe[list[list[str]]] = UNSET
    environment: Maybe[dict[str, Any]] = UNSET
    warnings: Maybe[list[Reason]] = UNSET
    calibration: Maybe[Calibration] = UNSET
    channels: Maybe[list[Channel]] = UNSET
    subjects: Maybe[list[SubjectRow]] = UNSET
    cells: Maybe[list[Cell]] = UNSET
    trials: Maybe[list[TrialRow]] = UNSET
    exit: Maybe[int] = UNSET
    started_unix: Maybe[Number] = UNSET
    finished_unix: Maybe[Number] = UNSET


def load(folder: Path) -> CampaignRecord:
    """campaign.json of a results folder. Raises ResultsError that names the file and the key."""
    file = folder / "campaign.json"
    found = record.load(CampaignRecord, file)
    for key in ("trial", "directory"):
        seen = [getattr(row, key) for row in found.trials or ()]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice is not None:
            raise ResultsError(f"{file}: lists {key} {twice!r} twice", DAMAGED)
    return found


def lacking(found: CampaignRecord, keys: Sequence[str]) -> str:
    """The first of these keys that is missing or null; empty when all are there."""
    return next((key for key in keys if getattr(found, key) in (None, UNSET)), "")


def item_of(row: TrialRow) -> str:
    """The item that a trial is of; folders of before the sweeps have subjects only."""
    return row.item or row.subject


def numbered(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The rows with their attempts: folders of before have none, and are numbered in their order."""
    seen: Counter[tuple[int, str]] = Counter()
    found = []
    for row in rows:
        place = (row.block or 0, row.item or f"{row.subject} {record.plain(row.cell)}")
        seen[place] += 1
        found.append(row if row.attempt else record.changed(row, attempt=seen[place]))
    return found
