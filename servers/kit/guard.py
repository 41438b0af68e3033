"""The bounds of what clients may take of a server (`[server]`), in one place for all servers on asyncio.

A `Door` stands before each connection until the head of its first request is whole: it counts the connection, bounds
the head in bytes and in time, and makes the library's protocol only then, so that a half-sent head costs no parser and
no task. Afterwards the library's protocol reads the connection by itself; only a WebSocket's frames pass `frames` on
their way in. Invariant: nothing here runs when a server sends. What is refused is counted by its reason
(`Guard.refused`), for the trial's manifest. Used by `aiohttp_app`, `starlette_app` and `websocket_websockets`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from rtbench.messages.server import Bounds
from rtbench.servers.kit.frames import FLOOD, TOO_BIG, Bucket, Frames, close_frame

__all__ = ["Door", "Guard", "Protocols", "converse"]

Protocols = Callable[[], asyncio.Protocol]
"""Called for each connection."""

LOOK_S = 0.5
"""The time between two looks for heads that are late."""
LINGER_S = 1.0
"""How long a refused client may take to read its answer and to close (RFC 9112 §9.6)."""
LINGERING = 256
"""So many refused clients get an answer at once; more are cut off."""
RETRY_AFTER_S = 5
PEERS = 10_000
"""So many addresses have a rate of their own at once."""

_END = re.compile(rb"\r?\n\r?\n")
_UPGRADE = re.compile(rb"\nupgrade:[ \t]*websocket", re.IGNORECASE)
_WORDS = {
    408: "the head of the request took too long",
    429: "too many messages; try again",
    431: "the head of the request is too long",
    503: "too many connections; try again",
}


class Guard:
    """One server's bounds and counts."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.refused: Counter[str] = Counter()
        """Refusals by the key of the bound, or `origin` or `frames`."""
        self.connections = 0
        self._by_peer: Counter[str] = Counter()
        self._rates: dict[str, Bucket] = {}
        self.heads: dict[Door, bool] = {}
        """Doors whose head is not whole, the oldest first; true: seen late once."""
        self.lingering: dict[Door, float] = {}
        """Refused clients, and until when they may linger."""
        self._timer: asyncio.TimerHandle | None = None

    def behind(self, protocols: Protocols) -> Protocols:
        """A factory of doors before these protocols."""
        return lambda: Door(self, protocols)

    def enter(self, peer: str) -> str:
        """Count a connection. Returns the bound that it would exceed, and then does not count it; else ""."""
        if self.connections >= self.bounds.connections:
            return "connections"
        if self._by_peer[peer] >= self.bounds.connections_by_peer:
            return "connections_by_peer"
        self.connections += 1
        self._by_peer[peer] += 1
        return ""

    def leave(self, peer: str) -> None:
        """A counted connection is over."""
        self.connections -= 1
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]

    def publishes(self, peer: str) -> bool:
        """Count a message that came by POST; whether it is within the rate of its address."""
        bucket = self._rates.get(peer)
        if bucket is None:
            if len(self._rates) >= PEERS:
                self._rates = {name: each for name, each in self._rates.items() if not each.full}
            bucket = self._rates[peer] = Bucket(self.bounds.publishes_hz)
        if bucket.take():
            return True
        self.refused["publishes_hz"] += 1
        return False

    def look(self) -> None:
        """Look for late heads, again and again as long as there are some at all."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(min(LOOK_S, self.bounds.head_s / 2), self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for door in list(self.heads):
            if now_s < door.since_s + self.bounds.head_s:
                break
            # At the second look: a process that was stopped reads what came meanwhile before it judges.
            if self.heads[door]:
                door.late()
            else:
                self.heads[door] = True
        for door, until_s in list(self.lingering.items()):
            if now_s >= until_s:
                door.abort()
        if self.heads or self.lingering:
            self.look()

    def close(self) -> None:
        """Close what waits for its head: the server stops."""
        for door in [*self.heads, *self.lingering]:
            door.abort()


class Door(asyncio.Protocol):
    """Stands before one connection; see the module."""

    __slots__ = (
        "_counted",
        "_frames",
        "_guard",
        "_head",
        "_make",
        "_peer",
        "_served",
        "_transport",
        "data_received",
        "since_s",
    )

    def __init__(self, guard: Guard, make: Protocols) -> None:
        self._guard = guard
        self._make = make
        self._served: asyncio.Protocol | None = None
        self._transport: Any = None
        self._frames: Frames | None = None
        self._head = b""
        self._peer = ""
        self._counted = False
        self.since_s = 0.0
        self.data_received: Callable[[bytes], None] = self._read  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        guard, self._transport = self._guard, transport
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if name else ""
        self.since_s = asyncio.get_running_loop().time()
        if why := guard.enter(self._peer):
            self.refuse(503, why, {"Retry-After": str(RETRY_AFTER_S)})
            return
        self._counted = True
        guard.heads[self] = False
        guard.look()

    def _read(self, data: bytes) -> None:
        """A piece of the first head."""
        head = self._head = self._head + data if self._head else data
        end = _END.search(head)
        if (end.end() if end else len(head)) > self._guard.bounds.head_bytes:
            self.refuse(431, "head_bytes")
        elif end or not _may_be_http(head):
            self._open(head, end.end() if end else 0)

    def _open(self, data: bytes, end: int) -> None:
        """The head is whole: the library's protocol takes over."""
        self._guard.heads.pop(self, None)
        served = self._served = self._make()
        del self._make  # as long as a connection lives, its memory counts
        served.connection_made(self._transport)
        if _UPGRADE.search(data, 0, end):
            self._head = data[end:]
            self._now(self._early)
        else:
            self._head = b""
            self._now(served.data_received)
        served.data_received(data)

    def _now(self, read: Callable[[bytes], None]) -> None:
        """Read with `read` from now on. uvloop keeps the method that it found when the protocol was set."""
        self.data_received = read
        self._transport.set_protocol(self)

    def serve(self, protocol: asyncio.Protocol) -> None:
        """Another protocol serves the connection from now on (uvicorn has one for WebSockets)."""
        self._served = protocol
        self._now(self._early)

    def _early(self, data: bytes) -> None:
        """After a request for an upgrade, before the answer: kept for `converse`, which begins with the first frame."""
        assert self._served is not None
        if len(self._head) <= self._guard.bounds.head_bytes:
            self._head += data
        self._served.data_received(data)

    def converse(self) -> None:
        """The upgrade was accepted: what follows is frames."""
        bounds = self._guard.bounds
        self._frames = Frames(bounds.message_bytes, bounds.publishes_hz)
        early, self._head = self._head, b""
        self._now(self._frame)
        if code := FLOOD if len(early) > bounds.head_bytes else self._frames.feed(early):
            self._hang_up(code)

    def _frame(self, data: bytes) -> None:
        assert self._frames is not None
        assert self._served is not None
        if self._transport.is_closing():
            return
        if code := self._frames.feed(data):
            self._hang_up(code)
        else:
            self._served.data_received(data)

    def _hang_up(self, code: int) -> None:
        """End the connection with this close code."""
        self._guard.refused[{TOO_BIG: "message_bytes", FLOOD: "publishes_hz"}.get(code, "frames")] += 1
        self._transport.write(close_frame(code))
        self._transport.close()

    def late(self) -> None:
        """Its head takes too long. A client that sent nothing gets no answer, as a browser expects of a spare one."""
        if self._head:
            self.refuse(408, "head_s")
        else:
            self._guard.refused["head_s"] += 1
            self.abort()

    def refuse(self, status: int, why: str, fields: dict[str, str] | None = None) -> None:
        """Answer without the library, then wait a moment for the client to read it."""
        guard, transport = self._guard, self._transport
        guard.heads.pop(self, None)
        guard.refused[why] += 1
        self._head = b""
        self._uncount()
        if len(guard.lingering) >= LINGERING:
            self.abort()
            return
        self._now(_ignore)
        transport.write(_answer(status, fields or {}))
        if transport.can_write_eof():
            transport.write_eof()
        else:  # TLS
            transport.close()
        guard.lingering[self] = asyncio.get_running_loop().time() + LINGER_S
        guard.look()

    def abort(self) -> None:
        """Cut the connection off."""
        self._guard.heads.pop(self, None)
        self._guard.lingering.pop(self, None)
        self._transport.abort()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self._guard.leave(self._peer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.heads.pop(self, None)
        self._guard.lingering.pop(self, None)
        self._uncount()
        self.data_received = _ignore  # a method of this door would keep it until the next collection
        if self._served is not None:
            self._served.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._served.eof_received() if self._served is not None else None

    def pause_writing(self) -> None:
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        if self._served is not None:
            self._served.resume_writing()


def converse(transport: Any) -> None:
    """A subject accepted a WebSocket on this transport: bound what comes from now on."""
    door = transport.get_protocol()
    if isinstance(door, Door):
        door.converse()


def _may_be_http(head: bytes) -> bool:
    """Whether this may become a request's head; otherwise the library answers at once."""
    if not head[:1].isalpha():
        return False
    line, ended, _ = head.partition(b"\n")
    return not ended or b" HTTP/" in line


def _ignore(_: bytes) -> None:
    """What a refused client still sends."""


def _answer(status: int, fields: dict[str, str]) -> bytes:
    body = json.dumps({"error": _WORDS[status]}).encode()
    every = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **fields}
    head = "".join(f"{name}: {value}\r\n" for name, value in every.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body
