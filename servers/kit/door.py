"""Stands before each connection of a server on asyncio, and applies the bounds of its `Guard`.

Until the head of its first request is whole, a `Door` counts the connection, and bounds the head in bytes and in time.
It makes the library's protocol only then, so that a half-sent head costs no parser and no task. Afterwards the library
reads the connection; on their way in, later requests are counted, and a WebSocket's frames pass `frames`.
Invariant: nothing here runs when a server sends. Used by `aiohttp_app`, `starlette_app` and `websocket_websockets`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any

from rtbench.servers.kit.frames import FLOOD, TOO_BIG, Frames, close_frame
from rtbench.servers.kit.guard import Guard

__all__ = ["Door", "Protocols", "behind", "converse"]

Protocols = Callable[[], asyncio.Protocol]
"""Called for each connection."""

LINGER_S = 1.0
"""How long a refused client may take to read its answer and to close (RFC 9112 §9.6)."""
LINGERING = 256
"""So many refused clients get an answer at once; more are cut off."""
RETRY_AFTER_S = {429: 1, 503: 5}

_END = re.compile(rb"\r?\n\r?\n")
_UPGRADE = re.compile(rb"\nupgrade:[ \t]*websocket", re.IGNORECASE)
_WORDS = {
    408: "the head of the request took too long",
    429: "too many requests; try again",
    431: "the head of the request is too long",
    503: "too many connections; try again",
}


def behind(guard: Guard, protocols: Protocols) -> Protocols:
    """A factory of doors before these protocols."""
    return lambda: Door(guard, protocols)


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
            self.refuse(429 if why == "requests_hz" else 503, why)
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
            if _heads(head) > self._guard.bounds.pipelined:
                self.refuse(429, "pipelined")
            else:
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
            self._now(self._later)
        served.data_received(data)

    def _later(self, data: bytes) -> None:
        """A later request, or a part of one. A library would answer many at once without a pause for its other clients.

        A piece without the end of a head counts as one, so that nothing is won by cutting heads into pieces.
        """
        assert self._served is not None
        guard, asked = self._guard, _heads(data) or 1
        if asked > guard.bounds.pipelined:
            self._cut("pipelined")
        elif not guard.requests(self._peer, asked):
            self._cut("requests_hz")
        else:
            self._served.data_received(data)

    def _cut(self, why: str) -> None:
        """End the connection after the answers that were written: one of these would be taken for this refusal."""
        self._guard.refused[why] += 1
        self._now(_ignore)
        self._transport.close()

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

    def refuse(self, status: int, why: str) -> None:
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
        transport.write(_answer(status))
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
    """A subject accepted a WebSocket on this transport: bound what comes from now on. (A stream of HTTP/2 has no door
    of its own.)"""
    door = getattr(transport, "get_protocol", lambda: None)()
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


def _heads(data: bytes) -> int:
    """How many heads end in these bytes."""
    return data.count(b"\n\r\n") + data.count(b"\n\n")


@cache
def _answer(status: int) -> bytes:
    body = json.dumps({"error": _WORDS[status]}).encode()
    fields = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
    if status in RETRY_AFTER_S:
        fields["Retry-After"] = RETRY_AFTER_S[status]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body
