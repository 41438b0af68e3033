"""`websocket-uvicorn`: WebSocket on Starlette under uvicorn (its `websockets` implementation): a queue and `send_text`.

The hub's heartbeat (R11) calls uvicorn's protocol for its pings, since ASGI has no message for them. Its stack is
Starlette under uvicorn, as that of `sse-starlette` and of the polls there: results are grouped by it.
"""

from __future__ import annotations

import asyncio
import contextlib

from rtbench.servers.kit import websocket_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Channel
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.servers.stacks import python
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find
from rtbench.transports.envelope import wrap

PING = b""


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from starlette.websockets import WebSocket, WebSocketDisconnect

    from rtbench.servers.kit import starlette_app, uvicorn_server

    hub = server.hub(Queued(wrap, websocket_encoder.notice, PING))

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

    await uvicorn_server.run(server, hub, starlette_app.websocket_routes(find("websocket").prefix, subscribe))


SUBJECT = Subject(
    name="websocket-uvicorn",
    transport="websocket",
    stack="starlette",
    technique="per-connection",
    serve=serve,
    packages=("uvicorn", "starlette", "websockets"),
    requires=python.needs("starlette", "uvicorn"),
    description="WebSocket on Starlette under uvicorn (websockets); a queue and send_text() for each connection",
)
