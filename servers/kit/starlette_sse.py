"""Server-Sent Events on Starlette and sse-starlette: the routes that `sse-starlette` and `sse-hypercorn` serve alike.

Every connection has a queue, a generator over it and the library's four tasks; the library frames each event for each
connection. Its own ping is off: the hub's heartbeat is a comment through the same queue (R11). Invariant: nothing here
depends on the server. A subject imports this module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rtbench.servers.kit import sse_encoder, starlette_app
from rtbench.servers.kit.channel import Channel
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.queue import Queued, QueuedTransport
from rtbench.transports.catalogue import find

__all__ = ["encoder", "routes"]

GENERAL = "general"


def encoder() -> Queued:
    """The hub's encoder: the parts of each event, which the library frames."""
    return Queued(sse_encoder.parted, sse_encoder.parted_notice, sse_encoder.PARTED_COMMENT)


def routes(hub: Hub) -> list[BaseRoute]:
    """The contract's path and the article's aliases."""

    async def subscribe(request: Request) -> Response:
        named = request.path_params
        stream = named["alias"] if "alias" in named else named["stream"]
        if "alias" in named and stream not in hub.streams and GENERAL in hub.streams:
            stream = GENERAL
        channel = starlette_app.pick(hub, request, stream)
        header = request.headers.get("Last-Event-ID")
        at = cursor(header, "Last-Event-ID") if header else cursor(request.query_params.get("since"), "since")
        if channel.ended and at == channel.ring.last:
            return Response(status_code=204)
        queue = QueuedTransport(starlette_app.transport_of(request.scope))
        headers = sse_encoder.headers(channel.address.stream)
        media = headers.pop("Content-Type")
        return EventSourceResponse(_events(queue, channel, at), headers=headers, media_type=media, sep="\n", ping=0)

    async def _events(queue: QueuedTransport, channel: Channel, at: int | None) -> AsyncIterator[ServerSentEvent]:
        attaching = asyncio.create_task(_attach(queue, channel, at))  # a replay needs the reader below
        try:
            async for item in queue:
                yield _encoded(item)
        finally:
            attaching.cancel()

    async def _attach(queue: QueuedTransport, channel: Channel, at: int | None) -> None:
        connection = await hub.attach(queue, channel, at)
        try:
            await connection.finished
        finally:
            hub.detach(connection)
            queue.close()

    def _encoded(item: bytes) -> ServerSentEvent:
        assert isinstance(item, sse_encoder.Event)
        if item.text is None:
            return ServerSentEvent(comment="", sep="\n")
        return ServerSentEvent(item.text, id=item.id, event=item.event, retry=item.retry, sep="\n")

    return [Route(find("sse").prefix + "/{stream}", subscribe), Route("/{alias}", subscribe)]
