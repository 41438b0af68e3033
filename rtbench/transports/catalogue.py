"""The registry of transports: it finds every codec's file that defines `TRANSPORTS`; no list to edit.

Invariant: everything that other layers need of a transport (its prefix, its Locust user, whether it polls, its codec)
is in the codec's file and nowhere else. Called by the subjects' registry, the load generator and the analysis.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from rtbench.errors import UserError, one_of
from rtbench.transports import Asked

PACKAGE = "rtbench.transports"
_APART = ("catalogue", "http2")
"""Modules that carry transports: nothing of them is needed to list these."""


@dataclass(frozen=True, slots=True)
class Transport:
    """One protocol.

    `prefix`: the contract's path is PREFIX + "/" + stream (interface.md, Wire). `user`: its Locust class. `make`: makes
    the codec for a request.
    `polls`: a subscriber makes many requests, each a row of requests.parquet. `place`: order in lists and figures.
    """

    name: str
    prefix: str
    user: str
    title: str
    make: Callable[[Asked], Any]
    polls: bool = False
    place: int = 100


@cache
def catalogue() -> dict[str, Transport]:
    """Every transport by its name."""
    found: list[Transport] = []
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        if module.name not in _APART:
            found += getattr(importlib.import_module(f"{PACKAGE}.{module.name}"), "TRANSPORTS", ())
    return {one.name: one for one in sorted(found, key=lambda one: (one.place, one.name))}


@cache
def codecs() -> dict[str, Callable[[Asked], Any]]:
    """The codecs for subjects that differ from their transport's own codec, by name."""
    found: dict[str, Callable[[Asked], Any]] = {}
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        if module.name not in _APART:
            found |= getattr(importlib.import_module(f"{PACKAGE}.{module.name}"), "CODECS", {})
    return found


def maker(transport: str, codec: str = "") -> Callable[[Asked], Any]:
    """The factory of the codec called `codec`, or of the transport's own. Raises UserError for an unknown one."""
    if not codec:
        return find(transport).make
    if codec not in codecs():
        raise UserError(f"unknown codec {codec!r}", one_of(codec, codecs()))
    return codecs()[codec]


def find(name: str) -> Transport:
    """The transport called `name`. Raises UserError with the known names."""
    if name not in catalogue():
        raise UserError(f"unknown transport {name!r}", one_of(name, catalogue()))
    return catalogue()[name]
