"""`websocket-aiohttp-simple`: WebSocket on aiohttp as most people write it: a queue and `send_str` each."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, door, websocket_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.servers.websocket_aiohttp import converse, farewell, socket_response
from rtbench.subjects import Subject
from rtbench.transports.envelope import wrap

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")

PING = b""


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    hub = server.hub(Queued(wrap, websocket_encoder.notice, PING))

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = cursor(request.query.get("since"), "since")
        aiohttp_app.same_site(server, request)
        socket = socket_response(server)
        if not socket.can_prepare(request):
            return aiohttp_app.answer(400, "this is a WebSocket: ask for an upgrade")
        await socket.prepare(request)
        door.converse(aiohttp_app.transport_of(request))
        queue = QueuedTransport(aiohttp_app.transport_of(request))
        sender = asyncio.create_task(_send(socket, queue))
        try:
            connection = await hub.attach(queue, channel, at)
            try:
                await converse(server, hub, socket, connection)
            finally:
                hub.detach(connection)
            if connection.finished.done():
                queue.close()
                await sender
        finally:
            sender.cancel()
        await farewell(socket, connection)
        return socket

    async def _send(socket: web.WebSocketResponse, queue: QueuedTransport) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for data in queue:
                if data:
                    await socket.send_str(data.decode())
                else:
                    await socket.ping()

    await aiohttp_app.serve(server, hub, subscribe)


SUBJECT = Subject(
    name="websocket-aiohttp-simple",
    transport="websocket",
    stack="aiohttp",
    arm="controlled",
    technique="per-connection",
    serve=serve,
    codings=frozenset({"deflate"}),
    description="WebSocket on aiohttp; a queue and send_str() for each connection",
)
