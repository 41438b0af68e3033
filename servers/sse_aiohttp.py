"""`sse-aiohttp`: Server-Sent Events on aiohttp, encoded once: the same chunk is written to every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, compression, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Encoder
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.queue import Queued
from rtbench.subjects import Subject
from rtbench.transports.coding import CODINGS

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def encoder(coding: str) -> Encoder:
    """The hub's encoder; with a coding each event is compressed once."""
    plain = sse_encoder.Chunked()
    if coding == compression.NONE:
        return plain
    texts = Queued(sse_encoder.event, sse_encoder.notice, sse_encoder.COMMENT)
    return compression.Once(plain, texts, sse_encoder.chunk, compression.pressed(coding))


def handler(hub: Hub, coding: str = compression.NONE) -> aiohttp_app.Handler:
    """The handler of subscriptions; the hub encodes with `encoder(coding)`."""

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
        compressed = aiohttp_app.compressed(request, response, coding)
        await response.prepare(request)
        if compressed:
            transport = compression.body(transport, coding, sse_encoder.chunk)
        elif coding != compression.NONE:
            transport = compression.Plainly(transport)
        connection = await hub.attach(transport, channel, at)
        try:
            await connection.finished
        finally:
            hub.detach(connection)
        if connection.finished.result() not in ("slow", "gone"):
            if last := compression.end_of(transport):
                await response.write(last)
            await response.write_eof()
        return response

    return subscribe


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    coding = server.options.compression
    hub = server.hub(encoder(coding))
    await aiohttp_app.serve(server, hub, handler(hub, coding), aliases=True)


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
    codings=frozenset(CODINGS),
    description="Server-Sent Events on aiohttp; one encoded chunk for all connections",
)
