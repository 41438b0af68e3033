"""`websocket-picows`: WebSocket on picows (Cython), what a speed-minded Python engineer picks: `send` per connection.

It runs as shipped: on aiofastnet's transports, which run on the declared loop. It frames each message for each
connection and writes it to the kernel at once, so it joins no messages of one loop turn. It answers GET only, and 400
to other methods, so it does not claim `errors`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from rtbench.servers.kit import origin, pages, websocket_encoder
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.channel import Connection
from rtbench.servers.kit.frames import Bucket
from rtbench.servers.kit.queue import Queued
from rtbench.servers.stacks import python
from rtbench.subjects import CAPABILITIES, Subject
from rtbench.transports.catalogue import find
from rtbench.transports.envelope import wrap

PING = b""


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from picows import (
        WSCloseCode,
        WSFrame,
        WSListener,
        WSMsgType,
        WSTransport,
        WSUpgradeRequest,
        WSUpgradeResponse,
        WSUpgradeResponseWithListener,
        ws_create_server,
    )

    hub = server.hub(Queued(wrap, websocket_encoder.notice, PING))
    prefix, bounds = find("websocket").prefix, server.options.bounds

    class Sent:
        """The hub's transport: `write` calls picows's `send`."""

        def __init__(self, link: WSTransport) -> None:
            self._link = link
            below = link.underlying_transport
            self.is_closing, self.abort = below.is_closing, below.abort
            self.get_write_buffer_size, self.get_extra_info = below.get_write_buffer_size, below.get_extra_info

        def write(self, data: bytes) -> None:
            if data:
                self._link.send(WSMsgType.TEXT, data)
            else:
                self._link.send_ping()

    class Subscriber(WSListener):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.channel, self.at = websocket_encoder.target(hub, path, prefix)
            self.connection: Connection | None = None
            self.sent: Sent | None = None
            self.left = asyncio.Event()
            self.peer: str | None = None
            self.rate: Bucket | None = None
            self.refused = False

        def on_ws_connected(self, transport: WSTransport) -> None:
            name = transport.underlying_transport.get_extra_info("peername")
            peer = sys.intern(str(name[0]) if name else "")
            if why := server.guard.enter(peer):
                self.refuse(transport, why, WSCloseCode.TRY_AGAIN_LATER)
                return
            self.peer = peer
            task = asyncio.get_running_loop().create_task(self.serve(transport))
            server.conversing.add(task)
            task.add_done_callback(server.conversing.discard)

        async def serve(self, link: WSTransport) -> None:
            self.sent = Sent(link)
            connection = self.connection = await hub.attach(self.sent, self.channel, self.at)
            try:
                why = await connection.finished
            finally:
                hub.detach(connection)
            if why in websocket_encoder.CLOSE:
                link.send_close(WSCloseCode(websocket_encoder.CLOSE[why]))
                try:  # the client's answer first (RFC 6455 §7.1.1)
                    await asyncio.wait_for(self.left.wait(), FAREWELL_S / 2)
                except TimeoutError:
                    link.disconnect(graceful=False)

        def refuse(self, transport: WSTransport, why: str, code: WSCloseCode) -> None:
            self.refused = True
            server.guard.refused[why] += 1
            transport.send_close(code)
            transport.disconnect()

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if self.refused:
                return  # what came with the frame that was too many
            if self.rate is None:
                self.rate = Bucket(bounds.publishes_hz)
            if not self.rate.take():
                self.refuse(transport, "publishes_hz", WSCloseCode.POLICY_VIOLATION)
            elif frame.rsv1 or frame.rsv2 or frame.rsv3:  # RFC 6455 §5.2: no extension was agreed on
                transport.send_close(WSCloseCode.PROTOCOL_ERROR)
                transport.disconnect()
            elif frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(WSCloseCode.OK)
                transport.disconnect()
            elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY) and frame.fin and self.sent is not None:
                text = frame.msg_type == WSMsgType.TEXT
                message = frame.get_payload_as_utf8_text() if text else frame.get_payload_as_bytes()
                hub.receive(self.channel, self.sent, message)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            self.left.set()
            if self.peer is not None:
                server.guard.leave(self.peer)
                self.peer = None
            if self.connection is not None:
                self.connection.finish("gone")

    def reply(status: int, body: bytes, headers: Mapping[str, str]) -> Any:
        if status == 200:
            made = WSUpgradeResponse.create_ok_response(body, headers)
        else:
            made = WSUpgradeResponse.create_error_response(status, body, headers)
        return WSUpgradeResponseWithListener(made, None)

    def respond(status: int, value: object) -> Any:
        return reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def route(request: WSUpgradeRequest) -> Any:
        target = request.path.decode("latin-1")
        path = target.partition("?")[0]
        about = path == pages.ABOUT
        page = pages.about(SUBJECT.name, SUBJECT.stack, ["websocket"], hub.streams) if about else pages.find(path)
        if page is not None:
            return reply(200, page.body, page.headers)
        try:
            if path.startswith("/plan/"):
                channel, since = websocket_encoder.target(hub, target, "/plan")
                return respond(200, hub.schedule(channel.address.stream, channel.address.index, since or 0))
            if "upgrade" not in request.headers.get("Connection", "").lower():
                return respond(400, {"error": "this is a WebSocket: ask for an upgrade"})
            if server.refuses(request.headers.get("Origin"), request.headers.get("Host", "")):
                return respond(403, {"error": origin.REFUSAL})
            return Subscriber(target)
        except websocket_encoder.Refused as refused:
            return respond(refused.status, {"error": str(refused)})

    await server.filled()
    listener = await ws_create_server(
        route,
        sock=server.socket,
        backlog=BACKLOG,
        max_frame_size=bounds.message_bytes,
        enable_auto_pong=False,  # on_ws_frame answers: pings count
        websocket_handshake_timeout=bounds.head_s,
        **server.secure,
    )
    await server.ready()
    await server.stopped.wait()
    listener.close()
    if server.conversing:
        await asyncio.wait(server.conversing, timeout=FAREWELL_S)
    await asyncio.sleep(0)


SUBJECT = Subject(
    name="websocket-picows",
    transport="websocket",
    stack="picows",
    technique="per-connection",
    serve=serve,
    packages=("picows", "aiofastnet"),
    capabilities=CAPABILITIES - {"errors"},
    requires=python.needs("picows"),
    description="WebSocket on picows (Cython); its send() for each connection",
)
