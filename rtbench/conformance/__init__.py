"""The conformance cases: what a subject must do before it is measured (R12). Each file has one topic and is found here.

A case is a function `run(target) -> list[str]` under the decorator `case`. It returns all problems, one sentence each,
with what was wanted and what was seen. It raises `Skipped` if it cannot decide. Invariant: a case ends in bounded time
whatever the server does, and disturbs no other case: all except the `last` run at the same time.
Called by `rtbench.conformance.verify`; the tests run every case against every subject and against broken servers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

from rtbench.conformance._target import Target

HTTP = ("sse", "websocket", "short-poll", "long-poll")
"""The transports of interface.md. Rules that do not mention HTTP also apply to plain TCP."""
EVERY = (*HTTP, "tcp")
PUSH = ("sse", "websocket", "tcp")
POLL = ("short-poll", "long-poll")

NEEDS = {
    "workload": "the messages that it should send are not known",
    "server": "rtbench did not start the server",
    "quiet": "no stream with pauses is known",
    "finite": "no stream that ends is known",
    "failing": "no stream that fails is known",
    "uplink": "no stream with an uplink is known",
    "tls": "TLS is not asked for (--set tls=true)",
    "http2": "HTTP/2 is not asked for (--set tls=true --set http2.streams_per_connection=10)",
}
"""The needs of cases, each with the reason for the skip if the target lacks it."""

Run = Callable[[Target], list[str]]


class Skipped(Exception):
    """The case cannot decide; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour of the contract. `last`: 0 runs beside the others; 1, 2… run alone afterwards, in that order."""

    name: str
    description: str
    transports: tuple[str, ...]
    needs: frozenset[str]
    claims: frozenset[str]
    quick: bool
    last: int
    run: Run
    coding: str = ""
    """The coding that the server of the case compresses with, if the subject declares it; empty: none."""


_FOUND: dict[str, Case] = {}


def case(
    name: str,
    *,
    transports: Collection[str] = HTTP,
    needs: Collection[str] = (),
    claims: Collection[str] = (),
    quick: bool = False,
    last: int = 0,
    coding: str = "",
) -> Callable[[Run], Run]:
    """Register a case; its description is the first line of the function's docstring.

    `needs`: keys of NEEDS. `claims`: the case applies to subjects that claim all these capabilities. `quick`: also run
    before a subject's first trial. `coding`: `Case.coding`.
    """

    def register(run: Run) -> Run:
        description = (run.__doc__ or "").strip().partition("\n")[0]
        applies = tuple(transports), frozenset(needs), frozenset(claims)
        _FOUND[name] = Case(name, description, *applies, quick, last, run, coding)
        return run

    return register


@cache
def catalogue() -> dict[str, Case]:
    """Every case by name, in running order."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return {found.name: found for found in sorted(_FOUND.values(), key=lambda found: (found.last, found.name))}
