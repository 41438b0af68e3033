"""Whose fault it is decides what happens: the tree of errors that rtbench raises on purpose.

    RtbenchError
    ├── UserError          the user's input or environment: one line on stderr with the remedy, exit 2
    │   ├── ScenarioError      a scenario file or --set; names the key, the file and what is allowed
    │   ├── UnavailableError   a program, package or right that is missing; carries the command that helps
    │   └── ResultsError       a results folder that cannot be read, mixed or written
    ├── SubjectError       the subject's or one of its processes': recorded, the trial is `failed`, the campaign goes on
    └── MeasurementError   ours while measuring: the trial is `invalid`, never a bigger "latency"

Anything else is a bug and propagates with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RtbenchError(Exception):
    """Root of every error that is raised on purpose. `remedy` says what to do about it, in one clause."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean 'NAME'? ` for the nearest of `known`; "" where none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]!r}? " if near else ""


def one_of(word: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not among `known`: the nearest, and all of them."""
    names = list(known)
    return f"{meant(word, names)}one of {', '.join(names)}"


class UserError(RtbenchError):
    """The user's input or environment: exit code 2."""


class ScenarioError(UserError):
    """A scenario that cannot be run: names the key, the file and what is allowed."""


class UnavailableError(UserError):
    """Something optional is not on this machine; the remedy is the command that installs it."""


class ResultsError(UserError):
    """A results folder that cannot be read, mixed or written."""


class SubjectError(RtbenchError):
    """The subject, or a process of its trial, failed: the trial is recorded as `failed`."""


class MeasurementError(RtbenchError):
    """The measurement cannot be believed: the trial is recorded as `invalid`."""
