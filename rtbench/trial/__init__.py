"""One trial: run its processes (`_measuring`), judge their files (`_judge`), write its manifest (R7).

Invariant: the folder holds a manifest exactly when the trial is over, for whatever reason; no process outlives the
call. Called by the campaign, which decides the order.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rtbench.errors import MeasurementError, SubjectError
from rtbench.machine.placement import Place
from rtbench.records import tables
from rtbench.records.manifest import File, Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import changed, plain, typed
from rtbench.records.replacing import create, discard, sync
from rtbench.trial._judge import Judgement, judge
from rtbench.trial._manifest import manifest, refusal
from rtbench.trial._measuring import Measured, measure
from rtbench.trial._run import Run, Spec, store
from rtbench.trial.validity import EVERYTHING

__all__ = ["Spec", "refuse", "run"]


def run(spec: Spec, campaign: Path, place: Place, stage: Callable[[str], None]) -> Manifest:
    """Run one trial into `campaign / spec.directory` and return its manifest.

    `stage` gets each step's name. A failed subject or process makes a manifest with status `failed`; UserError
    and KeyboardInterrupt pass through after everything has stopped, and leave no manifest.
    """
    run = Run(spec, _emptied(campaign / spec.directory), place, stage)
    found, judged = Measured(), Judgement()
    found.reach("started")
    try:
        measure(run, found)
        judged = judge(run, found)
    except SubjectError as error:
        judged = Judgement("failed", [Reason("failed", error.message, error.remedy, EVERYTHING)])
    except MeasurementError as error:
        judged = Judgement("invalid", [Reason("measurement", error.message, error.remedy, EVERYTHING)])
    found.reach("closed")
    if found.counters is not None and found.counters.rows:
        columns = found.counters.columns
        store(lambda: tables.write_table(run.folder / "probes.parquet", "probes", columns), run.folder)
    files = store(lambda: _settled(run.folder), run.folder)
    made = changed(manifest(spec, found, judged), files={name: typed(File, row) for name, row in files.items()})
    _write(run.folder, made)
    for path in run.folder.iterdir():
        path.chmod(0o444)  # raw data is kept and read-only (R15)
    return made


def refuse(spec: Spec, campaign: Path, problems: Sequence[str]) -> Manifest:
    """Record a trial that is not run because its subject failed verification. Returns its manifest."""
    made = refusal(spec, problems)
    _write(_emptied(campaign / spec.directory), made)
    return made


def _emptied(folder: Path) -> Path:
    """The folder, emptied of an interrupted trial's files."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    store(lambda: create(folder), folder)
    return folder


def _settled(folder: Path) -> dict[str, dict[str, Any]]:
    """The sums of the trial's files. Its processes have ended: logs stay as they are, and unfinished files go."""
    discard(folder)
    for path in folder.iterdir():
        if path.is_file():
            sync(path)
    return tables.sums(folder)


def _write(folder: Path, made: Manifest) -> None:
    store(lambda: tables.write_json(folder / "manifest.json", plain(made)), folder)
