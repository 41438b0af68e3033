"""The checks of `rtbench check`: what is wrong with a stream, whatever its format.

`rtbench verify` asks whether a server keeps rtbench's contract; `rtbench check` asks what would hurt the subscribers
of any SSE stream, WebSocket or polled URL. Each file has one topic and is found here. A check is a function
`run(seen) -> list[Finding]` under the decorator `check`, for one kind of finding. It raises `Undecided` if what was
seen cannot show it. Invariant: a check does no I/O; `_gathering` has read everything before, bounded in time and size.
Called by `rtbench.diagnosis.diagnose`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

from rtbench.diagnosis._evidence import Evidence

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)
"""Worst first. The first two make the exit code 1."""

PUSH = ("sse", "websocket")
POLL = ("short-poll", "long-poll")
EVERY = (*PUSH, *POLL)


class Undecided(Exception):
    """What was seen does not show whether there is a fault; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `message`: what is wrong; `remedy`: what to do, one line; `evidence`: numbers and header lines."""

    kind: str
    severity: str
    message: str
    remedy: str
    evidence: tuple[str, ...]


Run = Callable[[Evidence], list[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """The check for one kind of finding; `description` is the first line of its docstring."""

    kind: str
    description: str
    transports: tuple[str, ...]
    run: Run


_FOUND: dict[str, Check] = {}


def check(kind: str, *, transports: Collection[str] = EVERY) -> Callable[[Run], Run]:
    """Register the check of a kind of finding."""

    def register(run: Run) -> Run:
        description = (run.__doc__ or "").strip().partition("\n")[0]
        _FOUND[kind] = Check(kind, description, tuple(transports), run)
        return run

    return register


@cache
def catalogue() -> dict[str, Check]:
    """Every check by its kind, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_") and module.name != "diagnose":
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_FOUND.items()))
