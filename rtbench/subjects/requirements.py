"""Requirements of subjects and proxies: a program, a package, a file, each with the command that installs it.

Called by the files in `servers/` that declare them, and by checks whether a subject can run here.
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
    """A requirement, its test, and the command that installs it."""

    what: str
    present: Callable[[], bool]
    remedy: str


def lacking(requires: Sequence[Requirement]) -> tuple[str, str]:
    """The first missing requirement and the command that installs it; empty texts when nothing is missing."""
    return next(((one.what, one.remedy) for one in requires if not one.present()), ("", ""))


def needs_program(name: str, remedy: str) -> Requirement:
    """A program, found by `rtbench.programs`."""
    return Requirement(f"the program {name}", lambda: programs.find(name) is not None, remedy)


def needs_package(module: str, remedy: str) -> Requirement:
    """A Python package."""
    return Requirement(f"the package {module}", lambda: importlib.util.find_spec(module) is not None, remedy)


def needs_file(path: str, remedy: str) -> Requirement:
    """A file."""
    return Requirement(path, lambda: Path(path).exists(), remedy)
