"""The errors that rtbench raises on purpose, by cause; the cause decides the consequence.

    RtbenchError
    ├── UserError          user's input or environment: one line on stderr with the remedy, exit 2
    │   ├── ScenarioError      a scenario file or --set; names the key, the file and the allowed values
    │   ├── UnavailableError   a missing program, package or right; the remedy is the command that installs it
    │   └── ResultsError       a results folder that cannot be read, combined or written
    ├── SubjectError       the subject or a process of its trial: the trial is `failed`, the campaign continues
    └── MeasurementError   the harness while measuring: the trial is `invalid`, never a larger "latency"

Any other exception is a bug and propagates with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RtbenchError(Exception):
    """Root of the tree. `message`: the fault and its place; `remedy`: what to do, in one clause."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


def printable(text: str) -> str:
    """The text with a space for what a terminal would obey (escape sequences) or that turns the direction of what
    follows. Lines stay. What comes from a file or a server may hold both."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def line(text: object) -> str:
    """The same in one line."""
    return " ".join(printable(str(text)).split())


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean 'NAME'? ` for the closest of `known`; "" without a close one."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]!r}? " if near else ""


def one_of(word: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not in `known`: the closest name, then all names."""
    names = list(known)
    return f"{meant(word, names)}choose one of {', '.join(names)}"


class UserError(RtbenchError):
    """The user's input or environment: exit code 2."""


class ScenarioError(UserError):
    """An impossible scenario: names the key, the file and the allowed values."""


class UnavailableError(UserError):
    """An optional program, package or right is missing; the remedy is the command that installs it."""


class ResultsError(UserError):
    """A results folder that cannot be read, combined or written."""


class SubjectError(RtbenchError):
    """The subject, or a process of its trial, failed: the trial is recorded as `failed`."""


class MeasurementError(RtbenchError):
    """The measurement cannot be believed: the trial is recorded as `invalid`."""
