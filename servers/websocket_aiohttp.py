"""`websocket-aiohttp`: WebSocket on aiohttp, encoded once: the same frame is written to every connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, compression, door, websocket_encoder
from rtbench.servers.kit.app import FAREWELL_S, Server
from rtbench.servers.kit.channel import Connection
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


WINDOW_BITS = 15
"""The window of our compressor: a client that can hold less gets uncompressed messages."""


def socket_response(server: Server) -> web.WebSocketResponse:
    """The same for both techniques: compression only if the scenario has it (R11), no pings beside the heartbeat."""
    most, compress = server.options.bounds.message_bytes, server.options.compression == "deflate"
    return web.WebSocketResponse(compress=compress, timeout=FAREWELL_S / 2, max_msg_size=most)


async def converse(server: Server, hub: Hub, socket: web.WebSocketResponse, connection: Connection) -> None:
    """Take the client's messages until it leaves (the handler is cancelled, or reading ends) or the hub ends it."""
    task = asyncio.current_task()
    assert task is not None
    server.conversing.add(task)
    task.add_done_callback(server.conversing.discard)
    if connection.finished.done():
        return

    def over(_: str) -> None:
        task.cancel()

    connection.on_finish = over
    try:
        async for message in socket:  # also answers pings and the close
            hub.receive(connection.channel, connection.transport, message.data)
    except asyncio.CancelledError:
        if not connection.finished.done():
            raise
        task.uncancel()
    finally:
        connection.on_finish = None


async def farewell(socket: web.WebSocketResponse, connection: Connection) -> None:
    """Close with the reason's code, and wait for the client's answer (RFC 6455 §7.1.1).

    Call it in the handler: close() from another task, while the handler reads, closes the connection before the answer
    comes, and the kernel then sends a reset.
    """
    if connection.finished.done() and (why := connection.finished.result()) in websocket_encoder.CLOSE:
        await socket.close(code=websocket_encoder.CLOSE[why])


def handler(server: Server, hub: Hub) -> aiohttp_app.Handler:
    """The handler of subscriptions; the hub encodes with `websocket_encoder.Framed`."""

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = cursor(request.query.get("since"), "since")
        aiohttp_app.same_site(server, request)
        socket = socket_response(server)
        if not socket.can_prepare(request):
            return aiohttp_app.answer(400, "this is a WebSocket: ask for an upgrade")
        await socket.prepare(request)
        transport = aiohttp_app.transport_of(request)
        door.converse(transport)
        if server.options.compression != compression.NONE and socket.compress != WINDOW_BITS:
            transport = compression.Plainly(transport)
        connection = await hub.attach(transport, channel, at)
        try:
            await converse(server, hub, socket, connection)
        finally:
            hub.detach(connection)
        await farewell(socket, connection)
        return socket

    return subscribe


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    hub = server.hub(websocket_encoder.encoder(server.options.compression))
    await aiohttp_app.serve(server, hub, handler(server, hub), prepare=_announce)


async def _announce(_request: web.Request, response: web.StreamResponse) -> None:
    """aiohttp leaves it to the client to ask for messages without context; here they never have one."""
    if response.headers.get("Sec-WebSocket-Extensions") == "permessage-deflate":
        response.headers["Sec-WebSocket-Extensions"] = websocket_encoder.EXTENSION


SUBJECT = Subject(
    name="websocket-aiohttp",
    transport="websocket",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    codings=frozenset({"deflate"}),
    description="WebSocket on aiohttp; one encoded frame for all connections",
)
