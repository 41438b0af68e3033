"""A campaign: all blocks of a scenario, each subject once a block in a seeded random order (R7).

Invariant: campaign.json is rewritten after every trial, so that a crash or Ctrl-C loses at most the running one; a
trial that is recorded is never run again; nothing is analysed here. Called by `rtbench run`; the report comes after.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import rtbench
from rtbench import trial
from rtbench.campaign.preflight import prepare
from rtbench.campaign.schedule import Item, item_of, items, order
from rtbench.errors import ResultsError, UserError
from rtbench.machine.fingerprint import difference, fingerprint
from rtbench.machine.placement import Place
from rtbench.records import tables
from rtbench.scenario.model import Cell, Scenario
from rtbench.subjects import Subject
from rtbench.trial import Spec
from rtbench.trial.validity import reason

MIN_VALID = 2
"""Fewer valid trials of a subject, and nothing can be concluded about it (exit 3)."""


class Progress(Protocol):
    """Who is told how far it is."""

    def trial(self, spec: Spec, number: int, total: int) -> None: ...
    def stage(self, text: str) -> None: ...
    def done(self, spec: Spec, manifest: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


class Campaign:
    """One results folder in the making."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        command: str,
        resume: bool = False,
        calibration: dict[str, Any] | None = None,
        warnings: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.calibration = calibration
        self.scenario = scenario
        self.folder = folder
        self.items = items(scenario)
        self.order = order(scenario)
        self.environment = fingerprint()
        self.started_unix = time.time()
        self.trials: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = list(warnings)
        self.command = command
        self._total = 0
        if resume:
            self._take_over()
        elif (folder / "campaign.json").exists():
            raise ResultsError(f"{folder}: holds a campaign already", "take another --out, or go on with --resume")
        try:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
            tables.write_json(folder / "campaign.json", self.as_dict(None))
        except OSError as error:
            raise ResultsError(f"cannot write into {folder} ({error.strerror})", "take another --out") from error

    def _take_over(self) -> None:
        path = self.folder / "campaign.json"
        before = tables.read_json(path)
        if not isinstance(before, dict) or not before.keys() >= self.as_dict(None).keys():
            raise ResultsError(f"{path}: is no campaign", "the file is damaged; measure again")
        if before["schema"] != tables.SCHEMA:
            raise ResultsError(f"{path}: is of schema {before['schema']}, this one is {tables.SCHEMA}", "measure again")
        if before["scenario_hash"] != self.scenario.hash:
            raise ResultsError(
                f"{self.folder}: is of scenario {before['scenario_hash']}, this one is {self.scenario.hash}",
                "go on with the same scenario and settings",
            )
        if differs := difference(before["environment"], self.environment):
            raise ResultsError(f"{self.folder}: was measured elsewhere: {differs}", "measure again, whole")
        self.trials = before["trials"]
        self.warnings = before["warnings"]
        self.started_unix = before["started_unix"]
        # Subjects may be added to, blocks too, never changed: what was measured has its place in the order.
        done = {(row["block"], item_of(row)) for row in self.trials}
        for block, names in enumerate(before["order"][: len(self.order)], start=1):
            if any((block, name) in done for name in names):
                self.order[block - 1] = names

    def run(self, place: Place, progress: Progress, verify: Callable[[Subject], list[str]]) -> None:
        """Every trial that is not recorded yet. `verify` gives a subject's problems before its first trial (R12)."""
        for cell in self.scenario.cells():
            prepare(cell.scenario)
        problems: dict[str, list[str]] = {}
        limits = self.scenario.validity
        self._total = sum(len(block) for block in self.order)
        left_s = limits.rerun_s
        for block, names in enumerate(self.order, start=1):
            took_s = 0.0
            for attempt in range(1 + limits.reruns):
                missing = [name for name in names if self._ran(block, name) <= attempt]
                if attempt:
                    # What was begun is finished; what was not has to fit into the time that is left for it.
                    begun = len(missing) < len(names)
                    if not self._spoiled(block, len(names), attempt) or not (begun or took_s <= left_s):
                        break
                    self._total += len(names)
                    if missing:
                        progress.note(f"block {block} has an invalid trial: it is run again, whole")
                began = time.monotonic()
                for name in missing:
                    position = names.index(name) + 1
                    spec = self._spec(self.items[name], block, position)
                    progress.trial(spec, spec.number, self._total)
                    subject = spec.subject
                    if subject.name not in problems:
                        progress.stage("verifying")
                        problems[subject.name] = verify(subject)
                    if problems[subject.name]:
                        manifest = self._refused(spec, problems[subject.name])
                    else:
                        manifest = trial.run(spec, self.folder, place, progress.stage)
                    self._record(spec, manifest)
                    progress.done(spec, manifest)
                took_s = time.monotonic() - began
                left_s -= took_s if attempt else 0.0

    def _spec(self, item: Item, block: int, position: int) -> Spec:
        table, number = item.cell.scenario, len(self.trials) + 1
        subject = table.subject_of(item.subject)
        settings = dict(item.cell.settings)
        return Spec(number, subject, block, position, table, self.environment, settings, self.scenario.hash)

    def _ran(self, block: int, name: str) -> int:
        """How often this item's trial of this block is recorded."""
        return sum(row["block"] == block and item_of(row) == name for row in self.trials)

    def _spoiled(self, block: int, size: int, attempt: int) -> bool:
        """Whether the `size` trials of the attempt before this one have an invalid one among them (R13)."""
        rows = [row for row in self.trials if row["block"] == block]
        return any(row["status"] == "invalid" for row in rows[(attempt - 1) * size : attempt * size])

    def _refused(self, spec: Spec, problems: list[str]) -> dict[str, Any]:
        """A subject that fails verification is reported failed, never fast (R12)."""
        folder = self.folder / spec.directory
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        text = f"verification failed: {'; '.join(problems[:3])}"
        manifest = {
            "schema": tables.SCHEMA,
            "trial": spec.number,
            **spec.subject.describe(),
            "block": spec.block,
            "position": spec.position,
            "seed": self.scenario.seed,
            "scenario_hash": self.scenario.hash,
            "cell": spec.cell,
            "status": "failed",
            "reasons": [reason("verification", text, f"run `rtbench verify {spec.subject.name}`", ["*"])],
            "warnings": [],
            "counts": {},
            "environment": self.environment,
        }
        self._write(folder / "manifest.json", manifest)
        return manifest

    def _record(self, spec: Spec, manifest: dict[str, Any]) -> None:
        self.trials.append(
            {
                "trial": spec.number,
                "subject": spec.subject.name,
                "block": spec.block,
                "position": spec.position,
                "item": Item(spec.subject.name, Cell(spec.cell, spec.scenario)).name,
                "cell": spec.cell,
                "status": manifest["status"],
                "directory": spec.directory,
                "manifest_sha256": tables.sha256(self.folder / spec.directory / "manifest.json"),
            }
        )
        self.save(None)

    def save(self, code: int | None) -> None:
        """Write campaign.json; `code` is the exit code, None while it runs."""
        self._write(self.folder / "campaign.json", self.as_dict(code))

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        try:
            tables.write_json(path, value)
        except OSError as error:
            raise UserError(
                f"cannot write into {self.folder} ({error.strerror})",
                "free the disk; finished trials are kept, go on with --resume",
            ) from error

    def as_dict(self, code: int | None) -> dict[str, Any]:
        """campaign.json (interface.md)."""
        workload = self.scenario.make_workload()
        return {
            "schema": tables.SCHEMA,
            "rtbench": rtbench.__version__,
            "campaign": self.folder.resolve().name,
            "command": self.command,
            "scenario": self.scenario.as_dict(),
            "scenario_hash": self.scenario.hash,
            "seed": self.scenario.seed,
            "order": self.order,
            "environment": self.environment,
            "warnings": self.warnings,
            "calibration": self.calibration,
            "channels": [
                {"channel": channel.number, "stream": channel.stream, "stream_channel": channel.index}
                for channel in workload.channels()
            ],
            "subjects": [self.scenario.subject_of(name).describe() for name in self.scenario.subjects],
            "cells": [dict(cell.settings) for cell in self.scenario.cells()],
            "trials": self.trials,
            "exit": code,
            "started_unix": self.started_unix,
            "finished_unix": time.time(),
        }

    def verdict(self) -> int:
        """The exit code that the trials earn: 0, or 3 when some subject has too few valid ones (R13)."""
        wanted = min(MIN_VALID, self.scenario.blocks)
        for name in self.items:
            valid = {row["block"] for row in self.trials if item_of(row) == name and row["status"] == "ok"}
            if len(valid) < wanted:
                return 3
        return 0


def stay_on(place: Place) -> None:
    """The campaign itself keeps off the server's core."""
    if set(place.publisher) != set(place.server):
        os.sched_setaffinity(0, set(place.publisher) | set(place.load))
