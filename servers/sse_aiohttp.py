"""`sse-aiohttp`: Server-Sent Events on aiohttp, encoded once: the same chunk is written to every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def handler(hub: Hub) -> aiohttp_app.Handler:
    """The handler of subscriptions; the hub encodes with `sse_encoder.Chunked`."""

    async def subscribe(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = last_event_id(request)
        if channel.ended and at == channel.ring.last:
            return web.Response(status=204)  # an EventSource stops for good (WHATWG 9.2.3)
        response = web.StreamResponse(headers=sse_encoder.headers(channel.address.stream))
        transport = aiohttp_app.transport_of(request)
        if aiohttp_app.close_delimited(request, response):
            transport = sse_encoder.Unchunked(transport)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        connection = await hub.attach(transport, channel, at)
        try:
            await connection.finished
        finally:
            hub.detach(connection)
        if connection.finished.result() not in ("slow", "gone"):
            await response.write_eof()
        return response

    return subscribe


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    hub = server.hub(sse_encoder.Chunked())
    await aiohttp_app.serve(server, hub, handler(hub), aliases=True)


def last_event_id(request: web.Request) -> int | None:
    """The cursor: `Last-Event-ID` wins over `?since` (interface.md)."""
    header = request.headers.get("Last-Event-ID")
    return cursor(header, "Last-Event-ID") if header else cursor(request.query.get("since"), "since")


SUBJECT = Subject(
    name="sse-aiohttp",
    transport="sse",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    description="Server-Sent Events on aiohttp; one encoded chunk for all connections",
)
