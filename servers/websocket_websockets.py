"""`websocket-websockets`: WebSocket on the `websockets` library (idiomatic arm), encoded once.

`broadcast()` would encode for each connection and has no back-pressure. Here the hub writes the same frame to every
connection's transport and drops slow consumers, as in the other subjects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from rtbench.servers.kit import compression, door, origin, pages, websocket_encoder
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response


def _response(status: int, value: object, fields: dict[str, str] | None = None) -> Response:
    return _reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(fields or {})})


def _reply(status: int, body: bytes, fields: Mapping[str, str]) -> Response:
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    headers = Headers({"Content-Length": str(len(body)), "Connection": "close", **fields})
    return Response(status, HTTPStatus(status).phrase, headers, body)


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as websockets_serve
    from websockets.exceptions import ConnectionClosedError
    from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

    coding = server.options.compression
    hub = server.hub(websocket_encoder.encoder(coding))
    prefix = find("websocket").prefix

    def answer(_connection: ServerConnection, request: Request) -> Response | None:
        if request.method != "GET":
            return _response(405, {"error": f"{request.method} is not allowed here"}, {"Allow": "GET"})
        path = request.path.partition("?")[0]
        page = (
            pages.find(path)
            if path != pages.ABOUT
            else pages.about(SUBJECT.name, SUBJECT.stack, ["websocket"], hub.streams)
        )
        if page is not None:
            return _reply(200, page.body, page.headers)
        try:
            if request.path.startswith("/plan/"):
                channel, since = websocket_encoder.target(hub, request.path, "/plan")
                return _response(200, hub.schedule(channel.address.stream, channel.address.index, since or 0))
            websocket_encoder.target(hub, request.path, prefix)
        except websocket_encoder.Refused as refused:
            return _response(refused.status, {"error": str(refused)})
        if "upgrade" not in request.headers.get("Connection", "").lower():
            return _response(400, {"error": "this is a WebSocket: ask for an upgrade"})
        if server.refuses(request.headers.get("Origin"), request.headers.get("Host", "")):
            return _response(403, {"error": origin.REFUSAL})
        return None

    async def subscribe(socket: ServerConnection) -> None:
        assert socket.request is not None
        door.converse(socket.transport)
        channel, at = websocket_encoder.target(hub, socket.request.path, prefix)
        compressed = any(isinstance(extension, PerMessageDeflate) for extension in socket.protocol.extensions)
        plain = compressed or coding == compression.NONE
        connection = await hub.attach(socket.transport if plain else compression.Plainly(socket.transport), channel, at)
        closing: list[asyncio.Task[None]] = []

        def farewell(why: str) -> None:
            if why in websocket_encoder.CLOSE:
                closing.append(asyncio.create_task(socket.close(websocket_encoder.CLOSE[why])))

        connection.on_finish = farewell
        if connection.finished.done():
            farewell(connection.finished.result())
        try:
            async for text in socket:
                hub.receive(channel, connection.transport, text)
        except ConnectionClosedError:
            pass  # it left without a farewell
        finally:
            hub.detach(connection)
            connection.on_finish = None
        for task in closing:
            await task

    def behind(*protocol: Any, **options: Any) -> Any:
        return door.Door(server.guard, lambda: ServerConnection(*protocol, **options))

    await server.filled()
    async with websockets_serve(
        subscribe,
        sock=server.socket,
        backlog=BACKLOG,  # asyncio would listen again, with 100
        compression=None,
        # Without a limit of the window: it declines a client that can hold less.
        extensions=[ServerPerMessageDeflateFactory(server_no_context_takeover=True)] if coding == "deflate" else None,
        ping_interval=None,  # the hub's heartbeat pings, as in every subject (R11)
        close_timeout=FAREWELL_S / 2,
        process_request=answer,
        max_size=server.options.bounds.message_bytes,
        open_timeout=server.options.bounds.head_s,
        create_connection=cast(Any, behind),
        server_header=None,
        **server.secure,
    ) as running:
        await server.ready()
        await server.stopped.wait()
        await asyncio.sleep(0)
        running.close(close_connections=True)


SUBJECT = Subject(
    name="websocket-websockets",
    transport="websocket",
    stack="websockets",
    arm="idiomatic",
    technique="encode-once",
    serve=serve,
    codings=frozenset({"deflate"}),
    description="WebSocket on the websockets library; one encoded frame for all connections",
)
