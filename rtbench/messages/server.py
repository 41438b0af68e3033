"""The options of our server processes, the line that they print once they accept, and their last one.

A third-party program may print the same line with fewer keys. hyperlane, Go and Node get `host`, `port`, `ingest`,
`limits`, `bounds` and `allow_origin`; Go and Node also their transport and the streams (`servers/stacks/options.py`).
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from rtbench.messages.lines import Message, Reader
from rtbench.scenario.tables import Injection, ServerTable
from rtbench.subjects.tls import TlsFiles


class Limits(Message, frozen=True):
    """The part of the scenario's [server] table that the hub needs."""

    ring_messages: int
    ring_bytes: int
    buffer_bytes: int
    heartbeat_s: float


class Bounds(Message, frozen=True):
    """The part of the scenario's [server] table that bounds what a client may take. Every server applies all of it."""

    connections: int
    connections_by_peer: int
    head_bytes: int
    head_s: float
    idle_s: float
    message_bytes: int
    publishes_hz: float
    requests_hz: float
    pipelined: int

    @classmethod
    def of(cls, table: ServerTable) -> Bounds:
        """The bounds of a [server] table."""
        return cls(*(getattr(table, name) for name in cls.__struct_fields__))


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
    bounds: Bounds = field(default_factory=lambda: Bounds.of(ServerTable()))
    allow_origin: tuple[str, ...] = ()
    """Origins of other sites that may connect and post."""
    compression: str = "none"
    """The coding for clients that accept it."""
    tls: TlsFiles | None = None
    """With what it serves TLS; None: cleartext."""


class Readiness(Message, frozen=True, forbid_unknown_fields=False):
    """A server accepts at `url`. `uses`: what it declares about itself (R11)."""

    url: str = ""
    uses: dict[str, Any] = field(default_factory=dict)


class Counts(Message, frozen=True):
    """A server's last line: how often it refused a client, by the key of the bound; `origin`; `frames`."""

    refused: dict[str, int]


OPTIONS: Reader[ServerOptions] = Reader(ServerOptions)
READINESS: Reader[Readiness] = Reader(Readiness)
COUNTS: Reader[Counts] = Reader(Counts)
PROGRAM_READINESS: Reader[Readiness] = Reader(Readiness, exact=False)
