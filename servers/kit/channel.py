"""The parts of a hub: a channel with its ring and connections, and the interfaces of encoders and transports.

Invariant: a channel wakes its waiters at every change. The hub makes channels and connections; subjects hold them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from rtbench.servers.kit.ring import Ring
from rtbench.streams import Stream
from rtbench.workload import Channel as Address

__all__ = ["Around", "Channel", "ClientTransport", "Connection", "Encoder", "Gap", "Refused"]


class Encoder(Protocol):
    """Turns messages and notices into a transport's bytes."""

    heartbeat: bytes

    def message(self, seq: int, payload: bytes) -> bytes:
        """The bytes of one message, the same for every connection."""

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        """The bytes of a notice: end, gap, failure or retry."""


class ClientTransport(Protocol):
    """The part of a connection's transport that the hub uses; asyncio's and uvloop's transports have it."""

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str) -> Any: ...
    def abort(self) -> None: ...


class Around:
    """A connection's transport, asked through; a class derived from it changes what is written."""

    __slots__ = ("_transport",)

    def __init__(self, transport: ClientTransport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Write to the connection."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes held in the transport."""
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str) -> Any:
        """The transport's answer, such as its socket."""
        return self._transport.get_extra_info(name)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()


class Connection:
    """A push subscriber's connection. `finished` resolves to why it ended: end, failure, stop, slow or gone."""

    __slots__ = ("channel", "finished", "mark", "on_finish", "socket", "transport", "turn")

    def __init__(self, transport: ClientTransport, channel: Channel) -> None:
        self.transport = transport
        self.channel = channel
        self.socket = transport.get_extra_info("socket")
        self.mark: tuple[int, float] | None = None
        """Bytes acknowledged and since when, while bytes are outstanding."""
        self.finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_finish: Callable[[str], None] | None = None
        self.turn: dict[Connection, None] = {}

    def finish(self, why: str) -> None:
        """Set `finished`, once; the subject's handler then sends the transport's farewell."""
        if not self.finished.done():
            self.finished.set_result(why)
            if self.on_finish is not None:
                self.on_finish(why)


class Channel:
    """One channel of the workload: its ring, its connections, and the waiters for its next message."""

    __slots__ = ("address", "advice", "connections", "final", "ring", "stream", "void", "waiters")

    def __init__(self, address: Address, stream: Stream, ring: Ring) -> None:
        self.address = address
        self.stream = stream
        self.ring = ring
        self.advice: dict[str, Any] | None = None
        """The current retry advice: the stream's source failed, and no message came since."""
        self.final: tuple[str, dict[str, Any]] | None = None
        """Its end or failure, once its stream is over."""
        self.void = 0
        """The last id of the publisher's previous run: clients may still have cursors up to it."""
        self.connections: dict[Connection, None] = {}
        self.waiters: set[asyncio.Future[None]] = set()

    @property
    def ended(self) -> bool:
        """Whether the stream is over."""
        return self.final is not None

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why its stream failed for good, if it did."""
        return self.final[1] if self.final is not None and self.final[0] == "failure" else None

    def wake(self) -> None:
        """Wake the waiters: for a new message, a notice or the end."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Gap:
    """The messages that a cursor asks for and the ring no longer (or not yet) holds."""

    first: int
    last: int
    reason: str

    def fields(self) -> dict[str, Any]:
        """The notice's members (interface.md)."""
        return {"from": self.first, "to": self.last, "reason": self.reason}


class Refused(NamedTuple):
    """Why a subscriber's message is refused, with the HTTP status."""

    status: int
    reason: str
