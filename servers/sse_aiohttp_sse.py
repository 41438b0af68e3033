"""`sse-aiohttp-sse`: Server-Sent Events on aiohttp with aio-libs' aiohttp-sse: a queue and `response.send` each.

The library's ping is put off for ever: the hub's heartbeat is a comment written to the same response (R11). So is its
TCP_USER_TIMEOUT, which would undo the one that all subjects have (`servers/_liveness.py`).
"""

from __future__ import annotations

import contextlib

from aiohttp import web

from rtbench.servers import _aiohttp, _sse, _stacks
from rtbench.servers._app import Server
from rtbench.servers._queue import Queued, QueuedTransport
from rtbench.servers.sse_aiohttp import last_event_id
from rtbench.subjects import Subject

NEVER_S = 1e9


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    from aiohttp_sse import EventSourceResponse

    hub = server.hub(Queued(_sse.parted, _sse.parted_notice, _sse.PARTED_COMMENT))

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = _aiohttp.pick(hub, request)
        at = last_event_id(request)
        if channel.ended and at == channel.ring.last:
            return web.Response(status=204)
        response = EventSourceResponse(sep="\n", send_timeout=None, ping_interval=NEVER_S)
        response.headers.update(_sse.headers(channel.address.stream))
        _aiohttp.close_delimited(request, response)
        await response.prepare(request)
        async with response:
            await _aiohttp.relay(hub, request, channel, at, lambda queue: _send(response, queue))
        return response

    async def _send(response: EventSourceResponse, queue: QueuedTransport) -> None:
        with contextlib.suppress(ConnectionResetError):
            async for item in queue:
                assert isinstance(item, _sse.Event)
                if item.text is None:
                    await response.write(_sse.COMMENT)
                else:
                    await response.send(item.text, id=item.id, event=item.event, retry=item.retry)

    await _aiohttp.serve(server, hub, subscribe, aliases=True)


SUBJECT = Subject(
    name="sse-aiohttp-sse",
    transport="sse",
    stack="aiohttp-sse",
    technique="per-connection",
    serve=serve,
    packages=("aiohttp-sse", "aiohttp"),
    requires=_stacks.needs("aiohttp_sse"),
    description="Server-Sent Events on aiohttp with aiohttp-sse; a queue and response.send() for each connection",
)
