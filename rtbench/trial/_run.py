"""What a trial is, where it runs, and what it gathers on its way.

Invariant: `Run` is filled by the steps of `rtbench.trial` in their order and read once, for the manifest. Used by
the trial's own modules and, `Spec` and `Place`, by the campaign.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbench.errors import UserError
from rtbench.messages.load import LoadReport
from rtbench.processes.process import Cores
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject

_UNSAFE = re.compile(r"[^A-Za-z0-9@+._-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Which cores the processes of a trial run on."""

    server: Cores
    load: Cores
    publisher: Cores

    @classmethod
    def here(cls) -> Place:
        """The server has a core of its own, the first; load, publisher and campaign share the others."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1:
            return cls(tuple(cores), tuple(cores), tuple(cores))
        return cls((cores[0],), tuple(cores[1:2]) if len(cores) == 2 else tuple(cores[2:]), tuple(cores[1:2]))


@dataclass(frozen=True, slots=True)
class Spec:
    """Which trial it is."""

    number: int
    subject: Subject
    block: int
    position: int
    scenario: Scenario
    environment: dict[str, Any]
    cell: dict[str, Any] = field(default_factory=dict)
    """What the sweep sets, if there is one."""
    scenario_hash: str = ""
    """The campaign's, whose sweep it is a cell of."""

    @property
    def directory(self) -> str:
        """Its folder within the campaign's."""
        return f"trials/{self.number:03d}-{_UNSAFE.sub('-', self.subject.name).strip('-')[:80]}"


@dataclass(slots=True)
class Run:
    """What a trial gathers on its way; most members are the manifest's (interface.md)."""

    spec: Spec
    folder: Path
    place: Place
    stage: Callable[[str], None]
    rows: list[tuple[int, ...]] = field(default_factory=list)
    timeline: dict[str, int] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    """What was stopped, killed or starved, and when it really was."""
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    network: dict[str, int] = field(default_factory=dict)
    window: tuple[int, int] = (-1, -1)
    uses: dict[str, Any] = field(default_factory=dict)
    reports: list[LoadReport] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    reasons: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    steadiness: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    idle: dict[str, Any] = field(default_factory=dict)
    due: str = "publisher"
    """Where due times come from: the publisher, the server's plan, its payloads, or nowhere (unknown)."""
    unknown: list[str] = field(default_factory=list)
    """Metrics that cannot be known of this subject."""
    uplinks: dict[str, int] = field(default_factory=dict)
    """What became of what subscribers said, counted over the window ([chat])."""
    status: str = "ok"


def store(write: Callable[[], object], folder: Path) -> None:
    """Write, or say what to do about a disk that takes no more. Raises UserError."""
    try:
        write()
    except OSError as error:
        raise UserError(
            f"cannot write into {folder} ({error.strerror})",
            "free the disk; finished trials are kept, go on with --resume",
        ) from error
