"""What a hub is made of: a channel with its ring and its connections, and what it needs of a transport.

Invariant: whoever waits on a channel is woken whenever something can have changed. Made by the hub; subjects hold them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from rtbench.servers.kit.ring import Ring
from rtbench.streams import Stream
from rtbench.workload import Channel as Address

__all__ = ["Channel", "ClientTransport", "Connection", "Encoder", "Gap", "Refused"]


class Encoder(Protocol):
    """What a transport makes of a message and of what the server says about the stream."""

    heartbeat: bytes

    def message(self, seq: int, payload: bytes) -> bytes:
        """The bytes of one message, the same for every connection."""

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        """The bytes of a notice: end, gap, failure or retry."""


class ClientTransport(Protocol):
    """What the hub needs of a connection's transport: asyncio's and uvloop's have it."""

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str) -> Any: ...
    def abort(self) -> None: ...


class Connection:
    """A push subscriber's connection. `finished` resolves to why it is over: end, failure, stop, slow or gone."""

    __slots__ = ("channel", "finished", "mark", "on_finish", "socket", "transport", "turn")

    def __init__(self, transport: ClientTransport, channel: Channel) -> None:
        self.transport = transport
        self.channel = channel
        self.socket = transport.get_extra_info("socket")
        self.mark: tuple[int, float] | None = None
        """How many bytes were acknowledged, and when, while something is known to be on its way."""
        self.finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_finish: Callable[[str], None] | None = None
        self.turn: dict[Connection, None] = {}

    def finish(self, why: str) -> None:
        """Say once why it is over; the subject's handler does the transport's farewell."""
        if not self.finished.done():
            self.finished.set_result(why)
            if self.on_finish is not None:
                self.on_finish(why)


class Channel:
    """One channel of the workload: its ring, its connections, and who waits for its next message."""

    __slots__ = ("address", "advice", "connections", "final", "ring", "stream", "void", "waiters")

    def __init__(self, address: Address, stream: Stream, ring: Ring) -> None:
        self.address = address
        self.stream = stream
        self.ring = ring
        self.advice: dict[str, Any] | None = None
        """The retry advice that stands: its stream's source failed, and nothing came since."""
        self.final: tuple[str, dict[str, Any]] | None = None
        """Its end or failure, once its stream is over."""
        self.void = 0
        """The last id of the publisher's run before this one: ids up to it may be somebody's cursor still."""
        self.connections: dict[Connection, None] = {}
        self.waiters: set[asyncio.Future[None]] = set()

    @property
    def ended(self) -> bool:
        """Nothing follows any more."""
        return self.final is not None

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why its stream failed for good, if it did."""
        return self.final[1] if self.final is not None and self.final[0] == "failure" else None

    def wake(self) -> None:
        """Something new is in the ring, or never will be, or the stream has something to say."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Gap:
    """What a cursor asked for and the ring no longer (or not yet) holds."""

    first: int
    last: int
    reason: str

    def fields(self) -> dict[str, Any]:
        """The notice's members (interface.md)."""
        return {"from": self.first, "to": self.last, "reason": self.reason}


class Refused(NamedTuple):
    """Why a message of a subscriber is not passed on, and the HTTP status that says so."""

    status: int
    reason: str
