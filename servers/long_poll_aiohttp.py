"""`long-poll-aiohttp`: long polling on aiohttp: a request waits for a new message, or until its time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject
from rtbench.transports.coding import CODINGS

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")


def handler(server: Server, hub: Hub) -> aiohttp_app.Handler:
    """The handler of polls; the hub encodes with `poll_answer.Enveloped`."""
    default_s, coding = server.options.poll_timeout_s, server.options.compression

    async def poll(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        found = await poll_answer.wait(hub, channel, request.query, request.headers, default_s)
        return aiohttp_app.reply(found, request, coding)

    return poll


async def serve(server: Server) -> None:
    """Serve long polls until stopped."""
    hub = server.hub(poll_answer.Enveloped())
    await aiohttp_app.serve(server, hub, handler(server, hub))


SUBJECT = Subject(
    name="long-poll-aiohttp",
    transport="long-poll",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    codings=frozenset(CODINGS),
    description="long polling on aiohttp; messages encoded once, joined into each answer",
)
