"""What a trial is and where it runs.

Invariant: nothing here changes while a trial runs; what its steps come to is in `_measuring.Measured`. Used by the
trial's own modules and, `Spec`, by the campaign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rtbench.errors import UserError
from rtbench.machine.placement import Place
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.names import folder_of

T = TypeVar("T")


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
        return f"trials/{self.number:03d}-{folder_of(self.subject.name)}"


@dataclass(frozen=True, slots=True)
class Run:
    """A running trial: its spec, its folder, its cores, and the receiver of its progress."""

    spec: Spec
    folder: Path
    place: Place
    stage: Callable[[str], None]


def store(write: Callable[[], T], folder: Path) -> T:
    """Write, or say what to do about a disk that takes no more. Raises UserError."""
    try:
        return write()
    except OSError as error:
        raise UserError(
            f"cannot write into {folder} ({error.strerror})",
            "free the disk; finished trials are kept, go on with --resume",
        ) from error
