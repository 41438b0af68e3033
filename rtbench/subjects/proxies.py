"""The registry of proxies: it reads `PROXIES` of every file in `servers/proxies/`.

A proxy stands between subscribers and a subject's server, as shipped or tuned for streams. Invariant: it runs on the
server's core, and its CPU is counted apart from the server's. Called by the subjects' registry and the trial.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rtbench.errors import UserError, one_of
from rtbench.subjects.requirements import Requirement
from rtbench.subjects.tls import TlsFiles

PACKAGE = "rtbench.servers.proxies"
PLAIN_HTTP = ("sse", "short-poll", "long-poll")
"""The transports that need no upgrade: every proxy that speaks HTTP/2 serves them over it."""


@dataclass(frozen=True, slots=True)
class Before:
    """The inputs of a proxy's configuration: its own address, and the server behind it."""

    host: str
    port: int
    upstream_host: str
    upstream_port: int
    folder: Path
    subscribers: int
    tls: TlsFiles | None = None
    """With what it serves TLS; None: cleartext."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in one configuration. `command` writes it to `Before.folder` and returns the start command."""

    name: str
    program: str
    description: str
    command: Callable[[Before], Sequence[str]]
    requires: Sequence[Requirement]
    version: Sequence[str]
    http2: Sequence[str] = ()
    """The transports that it serves over HTTP/2 to the clients, where it is asked for (`TlsFiles.http2`)."""


@cache
def catalogue() -> dict[str, Proxy]:
    """Every proxy by its name."""
    found: dict[str, Proxy] = {}
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        for proxy in importlib.import_module(f"{PACKAGE}.{module.name}").PROXIES:
            found[proxy.name] = proxy
    return found


def find(name: str) -> Proxy:
    """The proxy called `name`. Raises UserError that lists the known ones."""
    if name not in catalogue():
        raise UserError(f"unknown proxy {name!r}", one_of(name, catalogue()))
    return catalogue()[name]
