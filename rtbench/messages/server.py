"""The options of our server processes, and the line that they print once they accept.

A third-party program may print the same line with fewer keys. hyperlane, Go and Node get `host`, `port`, `ingest` and
`limits`; Go also gets its transport and the streams (`servers/stacks/hyperlane.py`, `servers/stacks/go.py`,
`servers/stacks/node.py`).
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from rtbench.messages.lines import Message, Reader
from rtbench.scenario.tables import Injection


class Limits(Message, frozen=True):
    """The part of the scenario's [server] table that the hub needs."""

    ring_messages: int
    ring_bytes: int
    buffer_bytes: int
    heartbeat_s: float


class ServerOptions(Message, frozen=True):
    """The part of the scenario that one server process needs."""

    host: str
    port: int
    """0: any free port."""
    ingest: str
    """The Unix socket of the publisher's feed."""
    limits: Limits
    loop: str
    poll_timeout_s: float
    inject: tuple[Injection, ...] = ()
    """For the fault-injecting subjects only."""
    module: str = ""
    """The module or file that defines the subject; "": found by the subject's name."""


class Readiness(Message, frozen=True, forbid_unknown_fields=False):
    """A server accepts at `url`. `uses`: what it declares about itself (R11)."""

    url: str = ""
    uses: dict[str, Any] = field(default_factory=dict)


OPTIONS: Reader[ServerOptions] = Reader(ServerOptions)
READINESS: Reader[Readiness] = Reader(Readiness)
PROGRAM_READINESS: Reader[Readiness] = Reader(Readiness, exact=False)
