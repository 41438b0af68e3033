"""`websocket-uvicorn`: WebSocket on Starlette under uvicorn (its `websockets` implementation): a queue and `send_text`.

Pings are the hub's (R11), said by uvicorn's protocol, since ASGI has no message for them.
"""

from __future__ import annotations

import asyncio
import contextlib

from rtbench.envelope import wrap
from rtbench.servers import _stacks, _websocket
from rtbench.servers._app import Server
from rtbench.servers._cursor import cursor
from rtbench.servers._queue import Queued, QueuedTransport
from rtbench.servers.channel import Channel
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find

PING = b""


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from starlette.websockets import WebSocket, WebSocketDisconnect

    from rtbench.servers import _starlette

    hub = server.hub(Queued(wrap, _websocket.notice, PING))

    async def subscribe(socket: WebSocket) -> None:
        channel = _starlette.pick(hub, socket, socket.path_params["stream"])
        at = cursor(socket.query_params.get("since"), "since")
        await socket.accept()
        task = asyncio.current_task()
        assert task is not None
        server.conversing.add(task)
        task.add_done_callback(server.conversing.discard)
        queue = QueuedTransport(_starlette.transport_of(socket.scope))
        sender, reader = asyncio.create_task(_send(socket, queue)), asyncio.create_task(_read(socket, channel, queue))
        try:
            connection = await hub.attach(queue, channel, at)
            try:
                over = (sender, reader, connection.finished)
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hub.detach(connection)
            if connection.finished.done() and (why := connection.finished.result()) in _websocket.CLOSE:
                queue.close()
                await sender
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it left meanwhile
                    await socket.close(_websocket.CLOSE[why])
        finally:
            sender.cancel()
            reader.cancel()

    async def _send(socket: WebSocket, queue: QueuedTransport) -> None:
        protocol = _starlette.protocol_of(socket.scope)
        with contextlib.suppress(WebSocketDisconnect):
            async for data in queue:
                if data:
                    await socket.send_text(data.decode())
                else:
                    protocol.ping()

    async def _read(socket: WebSocket, channel: Channel, queue: QueuedTransport) -> None:
        """Pass on what it says; reading notices that it left."""
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            hub.hear(channel, queue, message.get("text") or message.get("bytes") or b"")

    await _starlette.run(server, hub, _starlette.websocket_routes(find("websocket").prefix, subscribe))


SUBJECT = Subject(
    name="websocket-uvicorn",
    transport="websocket",
    stack="uvicorn",
    technique="per-connection",
    serve=serve,
    packages=("uvicorn", "starlette", "websockets"),
    requires=_stacks.needs("starlette", "uvicorn"),
    description="WebSocket on Starlette under uvicorn (websockets); a queue and send_text() for each connection",
)
