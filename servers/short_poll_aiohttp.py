"""`short-poll-aiohttp`: polling on aiohttp, answered at once with the new messages, or with 304."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject
from rtbench.transports.coding import CODINGS, NONE

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def handler(hub: Hub, coding: str = NONE) -> aiohttp_app.Handler:
    """The handler of polls; the hub encodes with `poll_answer.Enveloped`."""

    async def poll(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        found = poll_answer.short(hub, channel, request.query, request.headers)
        return aiohttp_app.reply(found, request, coding)

    return poll


async def serve(server: Server) -> None:
    """Serve short polls until stopped."""
    hub = server.hub(poll_answer.Enveloped())
    await aiohttp_app.serve(server, hub, handler(hub, server.options.compression))


SUBJECT = Subject(
    name="short-poll-aiohttp",
    transport="short-poll",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    codings=frozenset(CODINGS),
    description="short polling on aiohttp; messages encoded once, joined into each answer; ETag and 304",
)
