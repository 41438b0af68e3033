"""`short-poll-aiohttp`: polling on aiohttp, answered at once with the new messages, or with 304.

The long poll uses `respond` too. While there is retry advice, every answer is a 200 that carries it. A stream
that failed for good answers 503 after its last message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Channel
from rtbench.servers.kit.cursor import cursor
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def entity_tag(value: int) -> str:
    """The cursor as an ETag (RFC 9110 §8.8.3)."""
    return f'"{value}"'


def position(request: web.Request) -> int | None:
    """The cursor: `?since`, else the client's ETag."""
    since = cursor(request.query.get("since"), "since")
    if since is None and (known := request.headers.get("If-None-Match")):
        text = known.removeprefix("W/").strip('"')
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
    return since


def respond(
    hub: Hub, channel: Channel, at: int | None, known: str | None = None, advise: bool = True
) -> web.Response | None:
    """200 with the new messages, 304 when the client's ETag is current, 503 after a failure; None to wait for news.

    `advise`: retry advice alone makes an answer.
    """
    start, gap = hub.start(channel, at)
    held, following = hub.held(channel, start)
    tag = entity_tag(following)
    if not held and gap is None:
        if channel.failure is not None:
            headers = {"Retry-After": str(poll_answer.RETRY_AFTER_S)}
            return aiohttp_app.answer(503, headers=headers, **channel.failure)
        # A client that has every message may not know yet that the stream ended or that its source is failing.
        news = channel.ended or (advise and channel.advice is not None)
        if known == tag and not news:
            return web.Response(status=304, headers={"ETag": tag})
        if at is not None and not news:
            return None
    return web.Response(
        body=poll_answer.body(held, following, gap, channel.ended and channel.failure is None, channel.advice),
        content_type="application/json",
        headers={"ETag": tag, "Cache-Control": "no-cache"},
    )


def handler(hub: Hub) -> aiohttp_app.Handler:
    """The handler of polls; the hub encodes with `poll_answer.Enveloped`."""

    async def poll(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = position(request)
        response = respond(hub, channel, at, request.headers.get("If-None-Match"))
        if response is None:
            tag = entity_tag(at or 0)
            body = poll_answer.body((), at or 0, None, False)
            headers = {"ETag": tag, "Cache-Control": "no-cache"}
            response = web.Response(body=body, content_type="application/json", headers=headers)
        return response

    return poll


async def serve(server: Server) -> None:
    """Serve short polls until stopped."""
    hub = server.hub(poll_answer.Enveloped())
    await aiohttp_app.serve(server, hub, handler(hub))


SUBJECT = Subject(
    name="short-poll-aiohttp",
    transport="short-poll",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    description="short polling on aiohttp; messages encoded once, joined into each answer; ETag and 304",
)
