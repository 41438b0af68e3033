"""campaign.json during a campaign: begun, resumed, and rewritten after every trial.

Invariant: a recorded trial is never changed. A resumed folder has the same scenario, schema and environment; it may get
more blocks, but not more subjects, which would be missing in the earlier blocks. Called by the campaign.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import UNSET

import rtbench
from rtbench.campaign.schedule import Item, Turn, order
from rtbench.errors import ResultsError
from rtbench.machine.fingerprint import difference
from rtbench.records import campaign as records
from rtbench.records import tables
from rtbench.records.campaign import Asked, Calibration, CampaignRecord, Channel, SubjectRow, TrialRow, numbered
from rtbench.records.inside import own_all
from rtbench.records.manifest import Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import DAMAGED, Cell, Record, changed, plain, read, typed
from rtbench.records.replacing import create, unwritable
from rtbench.scenario import model
from rtbench.scenario.model import Scenario
from rtbench.trial import Spec

CALIBRATE = "run `rtbench calibrate` again"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a results folder, which is created if needed. Raises ResultsError if another campaign holds it.

    The kernel lets go of it however the process ends. A folder that is still empty afterwards is removed.
    """
    try:
        made = not folder.exists()
        create(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ResultsError(f"cannot write into {folder} ({error.strerror})", "choose another --out") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        remedy = "wait for its end, or choose another --out"
        raise ResultsError(f"{folder}: another rtbench measures into it", remedy) from error
    except OSError:
        """A network file system without locks."""
    try:
        yield
    finally:
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


class Journal:
    """The record of one results folder, in memory and on disk."""

    def __init__(self, folder: Path, record: CampaignRecord) -> None:
        """Write `record` into `folder`, which is created if needed. Raises ResultsError."""
        self.folder, self.record = folder, record
        for place in ("trials", "verification"):
            own_all(folder, folder / place)
        try:
            create(folder / "trials")
            tables.write_json(folder / "campaign.json", plain(record))
        except OSError as error:
            raise ResultsError(f"cannot write into {folder} ({error.strerror})", "choose another --out") from error

    def note(self, name: str, record: Record) -> None:
        """Write `record` beside campaign.json, unless the file exists. Raises ResultsError."""
        try:
            if not (self.folder / name).exists():
                tables.write_json(self.folder / name, plain(record))
        except OSError as error:
            raise ResultsError(f"cannot write into {self.folder} ({error.strerror})", "choose another --out") from error

    @property
    def rows(self) -> list[TrialRow]:
        """The recorded trials, with their attempts."""
        return self.record.trials or []

    @property
    def order(self) -> list[list[str]]:
        """The items of each block."""
        return self.record.order or []

    def add(self, spec: Spec, turn: Turn, manifest: Manifest) -> None:
        """Record a finished trial."""
        row = TrialRow(
            trial=spec.number,
            subject=spec.subject.name,
            block=spec.block,
            position=spec.position,
            attempt=turn.attempt,
            item=Item(spec.subject.name, model.Cell(spec.cell, spec.scenario)).name,
            cell=typed(Cell, spec.cell),
            status=manifest.status,
            directory=spec.directory,
            manifest_sha256=tables.sha256(self.folder / spec.directory / "manifest.json"),
        )
        self.record = changed(self.record, trials=[*self.rows, row])
        self.save(None)

    def plan(self, order: Sequence[Sequence[str]], cells: Sequence[Mapping[str, Any]]) -> None:
        """Set the blocks' items and the cells of a campaign that decides as it goes. Written with the next trial."""
        blocks = [list(names) for names in order]
        self.record = changed(self.record, order=blocks, cells=[typed(Cell, dict(cell)) for cell in cells])

    def withdraw(self) -> None:
        """Remove campaign.json if no trial has begun, so that the same command can start again."""
        trials = self.folder / "trials"
        if not self.rows and not any(trials.iterdir()):
            (self.folder / "campaign.json").unlink()
            trials.rmdir()

    def save(self, code: int | None) -> None:
        """Write campaign.json; `code` is the exit code, None while it runs. Raises ResultsError."""
        self.record = changed(self.record, exit=code, finished_unix=time.time())
        try:
            tables.write_json(self.folder / "campaign.json", plain(self.record))
        except OSError as error:
            raise unwritable(self.folder, error) from error


def begun(
    scenario: Scenario,
    folder: Path,
    command: str,
    environment: dict[str, Any],
    calibration: Mapping[str, Any] | None,
    warnings: Sequence[Reason],
) -> CampaignRecord:
    """campaign.json of a new campaign. Raises ResultsError if the calibration is damaged."""
    known = None if calibration is None else read(Calibration, calibration, "this machine's calibration", CALIBRATE)
    return CampaignRecord(
        schema=tables.SCHEMA,
        rtbench=rtbench.__version__,
        campaign=folder.resolve().name,
        command=command,
        scenario=typed(Asked, scenario.as_dict()),
        scenario_hash=scenario.hash,
        seed=scenario.seed,
        order=order(scenario),
        environment=environment,
        warnings=list(warnings),
        calibration=known,
        channels=[
            Channel(channel=channel.number, stream=channel.stream, stream_channel=channel.index)
            for channel in scenario.make_workload().channels()
        ],
        subjects=[typed(SubjectRow, scenario.subject_of(name).describe()) for name in scenario.subjects],
        cells=[typed(Cell, dict(cell.settings)) for cell in scenario.cells()],
        trials=[],
        exit=None,
        started_unix=time.time(),
        finished_unix=time.time(),
    )


def taken_up(record: CampaignRecord, folder: Path) -> CampaignRecord:
    """`record` with the trials of `folder`. Raises ResultsError if the folder holds a different campaign."""
    file, before = folder / "campaign.json", records.load(folder)
    if before.schema != record.schema:
        raise ResultsError(f"{file}: is of schema {before.schema}, this one is {record.schema}", "measure again")
    for name in before.__struct_fields__:
        if getattr(before, name) is UNSET:
            raise ResultsError(f"{file}: {name} is missing", DAMAGED)
    if before.scenario_hash != record.scenario_hash:
        raise ResultsError(
            f"{folder}: is of scenario {before.scenario_hash}, this one is {record.scenario_hash}",
            "continue with the same scenario and settings",
        )
    if before.seed != record.seed:
        raise ResultsError(
            f"{folder}: has seed {before.seed}, this one is {record.seed}", f"continue with --seed {before.seed}"
        )
    if differs := difference(before.environment or {}, record.environment or {}):
        raise ResultsError(f"{folder}: was measured elsewhere: {differs}", "measure again, whole")
    rows = numbered(before.trials or ())
    # Measured trials keep their place in the order, even if an older rtbench drew it.
    begun = {row.block for row in rows}
    drawn = {block: names for block, names in enumerate(before.order or (), start=1) if block in begun}
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    fields |= {
        "trials": rows,
        "warnings": before.warnings or [],
        "started_unix": before.started_unix,
        "calibration": before.calibration or record.calibration,  # what the verdicts rest on does not change
        "order": [drawn.get(block, names) for block, names in enumerate(record.order or (), start=1)],
    }
    return changed(before, **fields)
