"""`sse-aiohttp-sse`: Server-Sent Events on aiohttp with aio-libs' aiohttp-sse: a queue and `response.send` each.

The library's ping is off: the hub's heartbeat is a comment written to the same response (R11). Its TCP_USER_TIMEOUT is
off too: it would override the one of all subjects (`servers/kit/liveness.py`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.servers.sse_aiohttp import last_event_id
from rtbench.servers.stacks import python
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")

NEVER_S = 1e9


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    from aiohttp_sse import EventSourceResponse

    hub = server.hub(Queued(sse_encoder.parted, sse_encoder.parted_notice, sse_encoder.PARTED_COMMENT))

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = last_event_id(request)
        if channel.ended and at == channel.ring.last:
            return web.Response(status=204)
        response = EventSourceResponse(sep="\n", send_timeout=None, ping_interval=NEVER_S)
        response.headers.update(sse_encoder.headers(channel.address.stream))
        aiohttp_app.close_delimited(request, response)
        await response.prepare(request)
        async with response:
            await aiohttp_app.relay(hub, request, channel, at, lambda queue: _send(response, queue))
        return response

    async def _send(response: EventSourceResponse, queue: QueuedTransport) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for item in queue:
                assert isinstance(item, sse_encoder.Event)
                if item.text is None:
                    await response.write(sse_encoder.COMMENT)
                else:
                    await response.send(item.text, id=item.id, event=item.event, retry=item.retry)

    await aiohttp_app.serve(server, hub, subscribe, aliases=True)


SUBJECT = Subject(
    name="sse-aiohttp-sse",
    transport="sse",
    stack="aiohttp-sse",
    technique="per-connection",
    serve=serve,
    packages=("aiohttp-sse", "aiohttp"),
    requires=python.needs("aiohttp_sse"),
    description="Server-Sent Events on aiohttp with aiohttp-sse; a queue and response.send() for each connection",
)
