"""`short-poll-aiohttp`: polling on aiohttp, answered at once with the new messages, or with 304."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def handler(hub: Hub) -> aiohttp_app.Handler:
    """The handler of polls; the hub encodes with `poll_answer.Enveloped`."""

    async def poll(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        return aiohttp_app.reply(poll_answer.short(hub, channel, request.query, request.headers))

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
