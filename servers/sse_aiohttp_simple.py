"""`sse-aiohttp-simple`: Server-Sent Events on aiohttp as most people write it: a queue and `response.write` each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, compression, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.servers.sse_aiohttp import last_event_id
from rtbench.subjects import Subject
from rtbench.transports.coding import CODINGS

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
        coding = server.options.compression
        # Not `enable_compression()`: aiohttp's compressor holds back what it was given until it has enough.
        press = compression.Flushed(coding) if aiohttp_app.compressed(request, response, coding) else None
        await response.prepare(request)
        await aiohttp_app.relay(hub, request, channel, at, lambda queue: _send(response, queue, press))
        return response

    async def _send(response: web.StreamResponse, queue: QueuedTransport, press: compression.Flushed | None) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for data in queue:
                await response.write(data if press is None else press.message(data))
            if press is not None:
                await response.write(press.end())

    await aiohttp_app.serve(server, hub, subscribe, aliases=True)


SUBJECT = Subject(
    name="sse-aiohttp-simple",
    transport="sse",
    stack="aiohttp",
    arm="controlled",
    technique="per-connection",
    serve=serve,
    codings=frozenset(CODINGS),
    description="Server-Sent Events on aiohttp; a queue and response.write() for each connection",
)
