"""`sse-aiohttp-simple`: Server-Sent Events on aiohttp as most people write it: a queue and `response.write` each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.servers.sse_aiohttp import last_event_id
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    hub = server.hub(Queued(sse_encoder.event, sse_encoder.notice, sse_encoder.COMMENT))

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = last_event_id(request)
        if channel.ended and at == channel.ring.last:
            return web.Response(status=204)
        response = web.StreamResponse(headers=sse_encoder.headers(channel.address.stream))
        aiohttp_app.close_delimited(request, response)
        await response.prepare(request)
        await aiohttp_app.relay(hub, request, channel, at, lambda queue: _send(response, queue))
        return response

    async def _send(response: web.StreamResponse, queue: QueuedTransport) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for data in queue:
                await response.write(data)

    await aiohttp_app.serve(server, hub, subscribe, aliases=True)


SUBJECT = Subject(
    name="sse-aiohttp-simple",
    transport="sse",
    stack="aiohttp",
    arm="controlled",
    technique="per-connection",
    serve=serve,
    description="Server-Sent Events on aiohttp; a queue and response.write() for each connection",
)
