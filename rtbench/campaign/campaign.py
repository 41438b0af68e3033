"""A campaign: all blocks of a scenario, each subject once per block in a seeded random order (R7).

Invariant: `schedule` chooses the next trial, this module runs it, and `journal` records it before the next one begins.
A crash or Ctrl-C loses at most the running trial. A recorded trial is never run again. Nothing is analysed here.
Called by `rtbench run`, which then writes the report.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from rtbench import trial
from rtbench.campaign.journal import Journal, begun, taken_up
from rtbench.campaign.preflight import prepare
from rtbench.campaign.schedule import Item, Turn, block_seed, items, next_turn
from rtbench.errors import ResultsError, UserError
from rtbench.machine.fingerprint import fingerprint
from rtbench.machine.inventory import inventory
from rtbench.machine.placement import Place
from rtbench.records.campaign import TrialRow, item_of
from rtbench.records.manifest import Manifest
from rtbench.records.reason import Reason
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.names import base_of, folder_of
from rtbench.trial import Spec

MIN_VALID = 2
"""With fewer valid trials of a subject no conclusion is possible (exit 3)."""

VERIFICATION = "verification"
"""The folder of a campaign for the logs of verification."""

Verify = Callable[[Subject, Path], list[str]]
"""Finds a subject's problems before its first trial (R12); the folder keeps the logs."""


class Progress(Protocol):
    """The receiver of a campaign's progress."""

    def trial(self, spec: Spec, number: int, total: int) -> None: ...
    def stage(self, text: str) -> None: ...
    def done(self, spec: Spec, manifest: Manifest) -> None: ...
    def note(self, text: str) -> None: ...


class Campaign:
    """One results folder while it is measured."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        command: str,
        resume: bool = False,
        calibration: Mapping[str, Any] | None = None,
        warnings: Sequence[Reason] = (),
    ) -> None:
        self.scenario, self.folder = scenario, folder
        self.items = items(scenario)
        self._environment = fingerprint()
        record = begun(scenario, folder, command, self._environment, calibration, warnings)
        if resume:
            record = taken_up(record, folder)
        elif os.path.lexists(folder / "campaign.json"):
            raise ResultsError(f"{folder}: holds a campaign already", "choose another --out, or continue with --resume")
        self.journal = Journal(folder, record)
        self.journal.note("environment.json", inventory())
        self._problems: dict[tuple[str, str], list[str]] = {}

    @property
    def trials(self) -> list[TrialRow]:
        """The recorded trials."""
        return self.journal.rows

    def run(self, place: Place, progress: Progress, verify: Verify) -> None:
        """Run every trial that is not recorded yet. Raises UserError if the only subject fails verification."""
        for cell in self.scenario.cells():
            prepare(cell.scenario)
        spent_s: dict[tuple[int, int], float] = {}
        while turn := next_turn(self.journal.order, self.trials, self.scenario.validity, spent_s):
            attempt, began = (turn.block, turn.attempt), time.monotonic()
            if turn.attempt > 1 and attempt not in spent_s:
                progress.note(f"block {turn.block} has an invalid trial: it is run again, whole")
            self.measure(turn, self.items[turn.item], place, progress, verify)
            spent_s[attempt] = spent_s.get(attempt, 0.0) + time.monotonic() - began

    def measure(self, turn: Turn, item: Item, place: Place, progress: Progress, verify: Verify) -> Manifest:
        """Run one trial and record it. Raises UserError if the only subject fails verification."""
        spec = self._spec(turn, item)
        progress.trial(spec, turn.number, turn.total)
        verified = (spec.subject.name, spec.subject.tls)
        if verified not in self._problems:
            progress.stage("verifying")
            self._problems[verified] = verify(spec.subject, self._logs(spec.subject))
        if found := self._problems[verified]:
            if len({base_of(name) for name in self.scenario.subjects}) == 1:
                self.journal.withdraw()
                raise self._refused(spec.subject, found)
            manifest = trial.refuse(spec, self.folder, found)
        else:
            manifest = trial.run(spec, self.folder, place, progress.stage)
        self.journal.add(spec, turn, manifest)
        progress.done(spec, manifest)
        return manifest

    def _logs(self, subject: Subject) -> Path:
        """The folder for the logs of a subject's verification."""
        return self.folder / VERIFICATION / folder_of(subject.name)

    def _refused(self, subject: Subject, problems: Sequence[str]) -> UserError:
        """The error of a campaign whose only subject failed verification."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return UserError(
            f"{subject.name} fails verification, so nothing is measured: {problems[0]}{more}",
            f"run `{subject.verified_by}`; logs are in {self._logs(subject)}",
        )

    def _spec(self, turn: Turn, item: Item) -> Spec:
        cell, settings = item.cell.scenario, dict(item.cell.settings)
        table = replace(cell, seed=block_seed(cell.seed, turn.block))
        subject = table.subject_of(item.subject)
        hash_ = self.scenario.hash
        return Spec(turn.number, subject, turn.block, turn.position, table, self._environment, settings, hash_)

    def save(self, code: int | None) -> None:
        """Write campaign.json; `code` is the exit code, None while it runs."""
        self.journal.save(code)

    def verdict(self) -> int:
        """The exit code: 0, or 3 if a subject has too few valid trials (R13)."""
        wanted = min(MIN_VALID, self.scenario.blocks)
        for name in self.items:
            if sum(item_of(row) == name and row.status == "ok" for row in self.trials) < wanted:
                return 3
        return 0


def stay_on(place: Place) -> None:
    """Keep the campaign's own process off the server's core."""
    if set(place.publisher) != set(place.server):
        os.sched_setaffinity(0, set(place.publisher) | set(place.load))
