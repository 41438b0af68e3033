"""hypercorn around an application of `starlette_app`: HTTP/1.1 and, agreed by ALPN, HTTP/2 on the same port.

An ASGI application never sees its connection, but the hub needs it (bytes held, aborts). So the scope gets an object
whose `transport` is the connection's, or that of one stream of it. Invariant: hypercorn reads and sends everything
itself, and a slow consumer costs its own stream only, as long as its connection has others. A subject imports this
module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.h2 import H2Protocol
from starlette.routing import BaseRoute
from wsproto.events import Ping

from rtbench.servers.kit import door
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.channel import Around, ClientTransport
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.starlette_app import PROTOCOL, application

__all__ = ["run"]

_READ_BYTES = 2**16
"""The limit of asyncio's stream readers, as hypercorn has it."""
_NO_LIMIT = 10**12
"""Requests of a connection. As shipped, hypercorn ends it after 1,000: pollers would mostly connect. The others have no
limit."""
_CONNECTION: ContextVar[TCPServer] = ContextVar("connection")
"""The connection whose task runs; the tasks of its streams inherit it."""


class _Stream(Around):
    """One stream of a connection of HTTP/2, as the hub sees a connection."""

    __slots__ = ("_id", "_protocol")

    def __init__(self, transport: Any, protocol: H2Protocol, stream_id: int) -> None:
        super().__init__(transport)
        self._protocol, self._id = protocol, stream_id

    def is_closing(self) -> bool:
        return self._id not in self._protocol.streams or self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the stream's window, and those of all streams that wait for the connection."""
        waiting = self._protocol.stream_buffers.get(self._id)
        return (len(waiting.buffer) if waiting is not None else 0) + self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Reset the stream; with the last stream cut the connection, which could hold no more."""
        protocol = self._protocol
        if len(protocol.streams) <= 1:
            self._transport.abort()
            return
        try:
            protocol.connection.reset_stream(self._id, ErrorCodes.ENHANCE_YOUR_CALM)
        except ProtocolError:  # it has ended
            return
        self._transport.write(protocol.connection.data_to_send())
        protocol.task_group.spawn(self._end)

    async def _end(self) -> None:
        """What hypercorn does when a client resets a stream."""
        if (waiting := self._protocol.stream_buffers.get(self._id)) is not None:
            await waiting.close()
        await self._protocol._close_stream(self._id)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the scope has of its connection."""

    transport: ClientTransport
    stream: Any

    def ping(self) -> None:
        """Send a WebSocket's ping: hypercorn would do so at its own interval, here the hub decides."""
        self.stream.task_group.spawn(self.stream._send_wsproto_event, Ping())


class _Application:
    """An ASGI application as hypercorn calls it, with the transport in each scope."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any, *_: Any) -> None:
        connection, stream = _CONNECTION.get(), send.__self__
        if scope["type"] == "websocket":
            stream.handshake.extensions = (
                None  # hypercorn compresses for whoever offers it, and has no setting for that
            )
        protocol = connection.protocol.protocol
        transport: ClientTransport = connection.writer.transport
        if isinstance(protocol, H2Protocol):
            transport = _Stream(transport, protocol, stream.stream_id)
        scope["extensions"] = {**(scope.get("extensions") or {}), PROTOCOL: {"self": _Request(transport, stream)}}
        await self._app(scope, receive, send)


def _config(server: Server) -> Config:
    config = Config()
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = server.options.bounds.idle_s
    config.keep_alive_max_requests = _NO_LIMIT
    config.websocket_max_message_size = server.options.bounds.message_bytes
    config.graceful_timeout = FAREWELL_S
    config.h11_max_incomplete_size = max(config.h11_max_incomplete_size, server.options.bounds.head_bytes)
    return config


async def until_lost(connection: TCPServer) -> None:
    """Serve a connection until it is over.

    Where the kernel gives it up (ETIMEDOUT, of a client that stopped reading), hypercorn 0.18's last step, waiting for
    the transport to be closed, raises that; of all other ways to lose a connection it takes notice.
    """
    with suppress(TimeoutError):
        await connection


async def run(server: Server, hub: Hub, routes: Sequence[BaseRoute]) -> None:
    """Serve these routes, the plan and the pages until the server is stopped."""
    loop = asyncio.get_running_loop()
    config, context = _config(server), WorkerContext(None)
    app: Any = _Application(application(server, hub, routes))
    serving: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        connection = TCPServer(app, loop, config, context, {}, reader, writer)
        _CONNECTION.set(connection)
        await until_lost(connection)

    def protocols() -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(_READ_BYTES, loop), connected, loop)

    await server.filled()
    listening = await loop.create_server(
        door.behind(server.guard, protocols), sock=server.socket, backlog=BACKLOG, **server.secure
    )
    await server.ready()
    await server.stopped.wait()
    await context.terminated.set()  # before the streams end: hypercorn then says farewell to the connection (GOAWAY)
    listening.close()
    if serving:
        await asyncio.wait(serving, timeout=FAREWELL_S)
