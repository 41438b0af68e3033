"""What a subject or a proxy needs on this machine: a program, a package, a file, each with the command that brings it.

Called by the files in `servers/` that declare it, and by whoever asks whether a subject can run here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbench import programs

__all__ = ["Requirement", "lacking", "needs_file", "needs_package", "needs_program"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that a subject needs on this machine, and the command that brings it."""

    what: str
    present: Callable[[], bool]
    remedy: str


def lacking(requires: Sequence[Requirement]) -> tuple[str, str]:
    """The first of these that is not here, and the command that helps; empty texts when nothing is missing."""
    return next(((one.what, one.remedy) for one in requires if not one.present()), ("", ""))


def needs_program(name: str, remedy: str) -> Requirement:
    """A program that `rtbench.programs` finds."""
    return Requirement(f"the program {name}", lambda: programs.find(name) is not None, remedy)


def needs_package(module: str, remedy: str) -> Requirement:
    """A Python package."""
    return Requirement(f"the package {module}", lambda: importlib.util.find_spec(module) is not None, remedy)


def needs_file(path: str, remedy: str) -> Requirement:
    """A file."""
    return Requirement(path, lambda: Path(path).exists(), remedy)
