"""WebSocket on Starlette: the routes that `websocket-uvicorn` and `websocket-hypercorn` serve alike.

Every connection has a queue, and `send_text` for each message. ASGI has no message for a ping, so the hub's heartbeat
(R11) calls the `ping` of what the server has put into the scope. Invariant: nothing else here depends on the server.
A subject imports this module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.routing import BaseRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rtbench.servers.kit import starlette_app, websocket_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Channel
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.transports.catalogue import find
from rtbench.transports.envelope import wrap

__all__ = ["encoder", "routes"]

_PING = b""


def encoder() -> Queued:
    """The hub's encoder: the text of each message, and an empty one for a ping."""
    return Queued(wrap, websocket_encoder.notice, _PING)


def routes(server: Server, hub: Hub) -> list[BaseRoute]:
    """The contract's path, and refusals elsewhere."""

    async def subscribe(socket: WebSocket) -> None:
        channel = starlette_app.pick(hub, socket, socket.path_params["stream"])
        at = cursor(socket.query_params.get("since"), "since")
        starlette_app.same_site(server, socket)
        await socket.accept()
        starlette_app.converse(socket.scope)
        task = asyncio.current_task()
        assert task is not None
        server.conversing.add(task)
        task.add_done_callback(server.conversing.discard)
        queue = QueuedTransport(starlette_app.transport_of(socket.scope))
        sender, reader = asyncio.create_task(_send(socket, queue)), asyncio.create_task(_read(socket, channel, queue))
        try:
            connection = await hub.attach(queue, channel, at)
            try:
                over = (sender, reader, connection.finished)
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hub.detach(connection)
            if connection.finished.done() and (why := connection.finished.result()) in websocket_encoder.CLOSE:
                queue.close()
                await sender
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it left meanwhile
                    await socket.close(websocket_encoder.CLOSE[why])
        finally:
            sender.cancel()
            reader.cancel()

    async def _send(socket: WebSocket, queue: QueuedTransport) -> None:
        protocol = starlette_app.protocol_of(socket.scope)
        with contextlib.suppress(WebSocketDisconnect):
            async for data in queue:
                if data:
                    await socket.send_text(data.decode())
                else:
                    protocol.ping()

    async def _read(socket: WebSocket, channel: Channel, queue: QueuedTransport) -> None:
        """Take the client's messages; reading also notices that it left."""
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            hub.receive(channel, queue, message.get("text") or message.get("bytes") or b"")

    return starlette_app.websocket_routes(find("websocket").prefix, subscribe)
