"""`tcp-floor`: messages over plain TCP on asyncio, a line each, no HTTP: the floor of every transport on this stack.

When it was measured, a report also gives every cost as a multiple of this subject's (× floor).
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.channel import Connection
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import CAPABILITIES, Subject
from rtbench.transports.envelope import wrap
from rtbench.transports.tcp import OK

_MOST_REQUEST_BYTES = 4096
NO_HTTP = frozenset({"errors", "headers", "aliases", "framing", "plan", "polls", "conversation", "origin", "tls"})


class Lines:
    """The hub's encoder: a message or a notice is one line, a heartbeat is an empty line."""

    heartbeat = b"\n"

    def message(self, seq: int, payload: bytes) -> bytes:
        return wrap(seq, payload) + b"\n"

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return json.dumps({"control": kind, **fields}, separators=(",", ":")).encode() + b"\n"


class _Hub(Hub):
    """Ends a dropped connection with a reset: between two lines, plain TCP has no other sign for an early end."""

    def drop(self, connection: Connection, why: str) -> None:
        if connection.socket is not None:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        super().drop(connection, why)


class _Connection(asyncio.Protocol):
    """One subscriber: a request line, then messages until the connection or the stream ends."""

    def __init__(self, hub: Hub, open_: set[asyncio.Task[None]]) -> None:
        self._hub = hub
        self._open = open_
        self._request = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            return  # only the request line counts
        self._request += data
        line, found, _ = self._request.partition(b"\n")
        if found:
            self._task = asyncio.get_running_loop().create_task(self._serve(line.decode("utf-8", "replace")))
            self._open.add(self._task)
            self._task.add_done_callback(self._open.discard)
        elif len(self._request) > _MOST_REQUEST_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _serve(self, line: str) -> None:
        try:
            parts = urlsplit(line.strip())
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            channel = self._hub.find(parts.path.strip("/"), number(query.get("channel", "0"), "channel"))
            at = cursor(query.get("since"), "since")
        except (BadParameter, ValueError) as error:
            self._refuse(str(error))
            return
        if channel is None:
            self._refuse("unknown stream or channel")
            return
        self._transport.write(OK + b"\n")
        connection = await self._hub.attach(self._transport, channel, at)
        try:
            await connection.finished
        finally:
            self._hub.detach(connection)
        self._transport.close()

    def _refuse(self, why: str) -> None:
        self._transport.write(f"error {why}\n".encode())
        self._transport.close()


async def serve(server: Server) -> None:
    """Serve lines until stopped."""
    server.hub_type = _Hub
    hub = server.hub(Lines())
    open_: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    await server.filled()
    listener = await loop.create_server(lambda: _Connection(hub, open_), sock=server.socket, backlog=BACKLOG)
    await server.ready()
    await server.stopped.wait()
    listener.close()
    if open_:
        await asyncio.wait(open_, timeout=FAREWELL_S)
    await asyncio.sleep(0)


SUBJECT = Subject(
    name="tcp-floor",
    transport="tcp",
    stack="asyncio",
    arm="floor",
    technique="encode-once",
    serve=serve,
    capabilities=CAPABILITIES - NO_HTTP,
    description="plain TCP on asyncio, a line a message, no HTTP: what any transport on this stack could reach",
)
