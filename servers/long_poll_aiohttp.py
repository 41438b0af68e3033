"""`long-poll-aiohttp`: long polling on aiohttp: a request waits for a new message, or until its time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbench.servers.kit import aiohttp_app, poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.cursor import seconds
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.servers.short_poll_aiohttp import position, respond
from rtbench.subjects import Subject

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")

LONGEST_S = 300.0


def handler(server: Server, hub: Hub) -> aiohttp_app.Handler:
    """The handler of polls; the hub encodes with `poll_answer.Enveloped`."""
    default_s = server.options.poll_timeout_s

    async def poll(request: web.Request) -> web.StreamResponse:
        channel = aiohttp_app.pick(hub, request)
        at = position(request)
        timeout = request.query.get("timeout")
        timeout_s = default_s if timeout is None else seconds(timeout, "timeout", LONGEST_S)
        # Without a cursor, answer at once with the current one; with a cursor, wait for messages newer than it.
        # Retry advice ends a wait but does not prevent it: a client that asks again at once would spin.
        response = respond(hub, channel, at, advise=False)
        if response is None:
            await hub.next(channel, timeout_s)
            response = respond(hub, channel, at)
        return web.Response(status=204) if response is None else response

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
    description="long polling on aiohttp; messages encoded once, joined into each answer",
)
