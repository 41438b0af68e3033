"""The identity of a trial and the place where it runs.

Invariant: nothing here changes while a trial runs; the results of its steps are in `_measuring.Measured`. Used by the
trial's own modules; the campaign uses `Spec`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rtbench.machine.placement import Place
from rtbench.records.replacing import unwritable
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.names import folder_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spec:
    """The identity of a trial."""

    number: int
    subject: Subject
    block: int
    position: int
    scenario: Scenario
    environment: dict[str, Any]
    cell: dict[str, Any] = field(default_factory=dict)
    """The cell of the sweep, if there is one."""
    scenario_hash: str = ""
    """The scenario of the campaign, with its sweep."""

    @property
    def directory(self) -> str:
        """Its folder, relative to the campaign's."""
        return f"trials/{self.number:03d}-{folder_of(self.subject.name)}"


@dataclass(frozen=True, slots=True)
class Run:
    """A running trial: its spec, its folder, its cores, and the receiver of its progress."""

    spec: Spec
    folder: Path
    place: Place
    stage: Callable[[str], None]


def store(write: Callable[[], T], folder: Path) -> T:
    """Call `write`; an OSError becomes a UserError with the remedy."""
    try:
        return write()
    except OSError as error:
        raise unwritable(folder, error) from error
