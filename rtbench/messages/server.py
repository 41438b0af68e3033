"""What a server process of ours is given, and the line that it prints once it accepts.

A program that is not ours may print the same line, with less in it; hyperlane and Node are given `host`, `port`,
`ingest` and `limits` of it (`servers/stacks/hyperlane.py`, `servers/stacks/node.py`).
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from rtbench.messages.lines import Message, Reader
from rtbench.scenario.tables import Injection


class Limits(Message, frozen=True):
    """The scenario's [server] table, as far as the hub is concerned."""

    ring_messages: int
    ring_bytes: int
    buffer_bytes: int
    heartbeat_s: float


class ServerOptions(Message, frozen=True):
    """One server process's share of the scenario."""

    host: str
    port: int
    """0: any free one."""
    ingest: str
    """The Unix socket of the publisher's feed."""
    limits: Limits
    loop: str
    poll_timeout_s: float
    inject: tuple[Injection, ...] = ()
    """For the fault-injecting subjects only."""
    module: str = ""
    """Where the subject is defined: a module's name or a file; "": the subject's name says it."""


class Readiness(Message, frozen=True, forbid_unknown_fields=False):
    """A server accepts at `url`; `uses` is whatever it says of itself (R11)."""

    url: str = ""
    uses: dict[str, Any] = field(default_factory=dict)


OPTIONS: Reader[ServerOptions] = Reader(ServerOptions)
READINESS: Reader[Readiness] = Reader(Readiness)
PROGRAM_READINESS: Reader[Readiness] = Reader(Readiness, exact=False)
