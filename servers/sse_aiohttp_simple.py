"""`sse-aiohttp-simple`: Server-Sent Events on aiohttp as most people write it: a queue and `response.write` each."""

from __future__ import annotations

import contextlib

from aiohttp import web

from rtbench.servers import _aiohttp, _sse
from rtbench.servers._app import Server
from rtbench.servers._queue import Queued, QueuedTransport
from rtbench.servers.sse_aiohttp import last_event_id
from rtbench.subjects import Subject


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    hub = server.hub(Queued(_sse.event, _sse.notice, _sse.COMMENT))

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = _aiohttp.pick(hub, request)
        at = last_event_id(request)
        if channel.ended and at == channel.ring.last:
            return web.Response(status=204)
        response = web.StreamResponse(headers=_sse.headers(channel.address.stream))
        _aiohttp.close_delimited(request, response)
        await response.prepare(request)
        await _aiohttp.relay(hub, request, channel, at, lambda queue: _send(response, queue))
        return response

    async def _send(response: web.StreamResponse, queue: QueuedTransport) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for data in queue:
                await response.write(data)

    await _aiohttp.serve(server, hub, subscribe, aliases=True)


SUBJECT = Subject(
    name="sse-aiohttp-simple",
    transport="sse",
    stack="aiohttp",
    arm="controlled",
    technique="per-connection",
    serve=serve,
    description="Server-Sent Events on aiohttp; a queue and response.write() for each connection",
)
