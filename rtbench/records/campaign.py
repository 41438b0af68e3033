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
from rtbench.records.inside import own
from rtbench.records.loopback import Loopback
from rtbench.records.reason import Reason
from rtbench.records.record import DAMAGED, Cell, Maybe, Number, Place, Record, Status, Subscribers, Whole


class Limit(Record, frozen=True, kw_only=True):
    """A threshold."""

    max: Maybe[Number] = UNSET
    """number: the largest median over trials that is allowed, in the metric's unit."""
    min: Maybe[Number] = UNSET
    """number: the smallest one."""


class Workload(Record, frozen=True, kw_only=True):
    """[workload]."""

    channels: Maybe[str] = UNSET
    """`broadcast` (one channel for all) or `unicast` (a channel each)."""


class Memory(Record, frozen=True, kw_only=True):
    """[memory]."""

    ladder: Maybe[list[Number]] = UNSET
    """count: connections at each rung; empty: no ladder."""


class Equivalence(Record, frozen=True, kw_only=True):
    """[equivalence]; missing in a folder that says nothing of it: the default of `rtbench.scenario`."""

    margin: Maybe[Annotated[float, Meta(gt=0, le=1)]] = UNSET
    """share: within which two subjects are called equivalent."""


class Asked(Record, frozen=True, kw_only=True):
    """The resolved scenario. Only what the analysis reads is listed; `rtbench.scenario` knows every key."""

    name: Maybe[str] = UNSET
    """The scenario's name."""
    description: Maybe[str] = UNSET
    """What it is for."""
    subjects: Maybe[list[str]] = UNSET
    """Names of its subjects, in its order."""
    subscribers: Maybe[Subscribers] = UNSET
    """count: subscribers of a trial, unless its cell has others."""
    stream: Maybe[str | list[str]] = UNSET
    """The stream, or a list over which subscribers are dealt out in turn."""
    workload: Maybe[Workload] = UNSET
    """Rate, size and channels of `fanout`."""
    poll: Maybe[dict[str, Any]] = UNSET
    """`interval_s`, `long_timeout_s`, seconds."""
    memory: Maybe[Memory] = UNSET
    """The memory ladder."""
    thresholds: Maybe[dict[str, Limit]] = UNSET
    """`SUBJECT.METRIC` to its limits."""
    equivalence: Maybe[Equivalence] = UNSET
    """The margin of equivalence."""


class CalibrationCheck(Record, frozen=True, kw_only=True):
    """A known truth and how far from it the harness was."""

    name: str
    """What is known beforehand."""
    met: Any
    """Whether it was met."""
    deviation: Number
    """number: measured less expected, in the check's unit."""
    expected: Maybe[Number] = UNSET
    """number: what is known, in the check's unit."""
    measured: Maybe[Number] = UNSET
    """number: what was measured, in the check's unit."""
    unit: Maybe[str] = UNSET
    """The unit."""
    allowed: Maybe[str] = UNSET
    """Which deviation is allowed, in words."""


class Noise(Record, frozen=True, kw_only=True):
    """What an A/A control showed of one metric: the standard deviation of its logarithm over blocks."""

    sd: Number
    """number: standard deviation of log(b/a) in one block, about 0."""
    blocks: Annotated[int, Meta(ge=1, le=1 << 62)]
    """count: blocks that it comes from."""


class NoiseFloor(Record, frozen=True, kw_only=True):
    """Metric to noise."""

    metrics: Maybe[dict[str, Noise]] = UNSET
    """A metric's name to its noise."""


class Calibration(Record, frozen=True, kw_only=True):
    """The machine's newest calibration when the campaign began (`rtbench.campaign.calibrate`)."""

    checks: list[CalibrationCheck]
    """The known truths."""
    measured_unix: Number
    """unix: when it was measured."""
    noise: Maybe[NoiseFloor] = UNSET
    """The noise of A/A pairs."""
    loopback: Maybe[Loopback] = UNSET
    """The shares of CPU on loopback; null: not measured."""
    environment: Maybe[dict[str, Any]] = UNSET
    """The machine that it was measured on."""


def load_calibration(file: Path) -> dict[str, Any]:
    """What `rtbench calibrate` stored in `file`, and the name that reports give it (`file`). Raises ResultsError."""
    found = record.read(Calibration, tables.read_json(file), file, "name a file that `rtbench calibrate` stored")
    return {**record.plain(found), "file": file.name}


class Channel(Record, frozen=True, kw_only=True):
    """A pair of stream and channel, and its number in the tables."""

    channel: Maybe[Place] = UNSET
    """number: its number in the tables."""
    stream: Maybe[str] = UNSET
    """The stream's name."""
    stream_channel: Maybe[Place] = UNSET
    """number: its number inside the stream."""


class SubjectRow(Record, frozen=True, kw_only=True):
    """A subject and what it is."""

    subject: str
    """Its name."""
    transport: Maybe[str] = UNSET
    """`sse`, `websocket`, `short-poll`, `long-poll`, `tcp`."""
    stack: Maybe[str] = UNSET
    """The software that speaks it."""
    arm: Maybe[str] = UNSET
    """`controlled`, `idiomatic` or `floor`."""
    technique: Maybe[str] = UNSET
    """`encode-once` or `per-connection`."""
    carries_id: Maybe[str] = UNSET
    """Where a message's id is: `protocol`, `payload`, or a path in the payload."""
    proxy: Maybe[str] = UNSET
    """The proxy before it; empty: none."""


class TrialRow(Record, frozen=True, kw_only=True):
    """A recorded trial. `item`: the subject with its cell; `attempt`: 1, or more in a block that was run again."""

    trial: Place
    """number: from 1, in the order in which they were run."""
    subject: str
    """The subject's name."""
    block: Maybe[Place] = UNSET
    """number: from 1."""
    position: Maybe[Place] = UNSET
    """number: its place in the block, from 1."""
    attempt: Maybe[Place] = UNSET
    """number: 1; 2 or more in a block that was run again."""
    item: Maybe[str] = UNSET
    """The subject with its cell, as it is compared: `NAME [KEY=VALUE …]`; missing: the subject."""
    cell: Maybe[Cell] = UNSET
    """What the sweep sets for it."""
    status: Maybe[Status] = UNSET
    """`ok`, `invalid` (measured, some metrics are not to be believed) or `failed`."""
    directory: str
    """Its folder, from the campaign's."""
    manifest_sha256: Maybe[str] = UNSET
    """SHA-256 of its manifest.json, hexadecimal."""


class CampaignRecord(Record, frozen=True, kw_only=True):
    """campaign.json. `exit`: the exit code, null while it runs; `…_unix`: seconds since 1970."""

    schema: int
    """number: of the folder's format."""
    rtbench: Maybe[str] = UNSET
    """rtbench's version."""
    campaign: Maybe[str] = UNSET
    """The folder's name."""
    command: Maybe[str] = UNSET
    """The command that was given."""
    scenario: Maybe[Asked] = UNSET
    """What was asked, every key resolved."""
    scenario_hash: Maybe[str] = UNSET
    """Tells scenarios apart."""
    seed: Maybe[Whole] = UNSET
    """number: what payloads, arrivals and orders are drawn from."""
    order: Maybe[list[list[str]]] = UNSET
    """For each block its items, in the order of its trials."""
    environment: Maybe[dict[str, Any]] = UNSET
    """Machine, kernel, Python, versions, settings; more of it is in environment.json."""
    warnings: Maybe[list[Reason]] = UNSET
    """What to know before believing it."""
    calibration: Maybe[Calibration] = UNSET
    """The machine's newest calibration when the campaign began."""
    channels: Maybe[list[Channel]] = UNSET
    """The channels of the tables."""
    subjects: Maybe[list[SubjectRow]] = UNSET
    """The subjects."""
    cells: Maybe[list[Cell]] = UNSET
    """The cells of the sweep; without one, a cell that sets nothing."""
    trials: Maybe[list[TrialRow]] = UNSET
    """The trials that are over."""
    exit: Maybe[int] = UNSET
    """number: the exit code; null: it runs, or was killed."""
    started_unix: Maybe[Number] = UNSET
    """unix: when it began."""
    finished_unix: Maybe[Number] = UNSET
    """unix: when it was last written."""


def load(folder: Path) -> CampaignRecord:
    """campaign.json of a results folder. Raises ResultsError that names the file and the key."""
    file = own(folder, folder / "campaign.json")
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
