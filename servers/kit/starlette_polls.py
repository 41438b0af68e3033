"""Polling on Starlette: the routes that the subjects under uvicorn and under hypercorn serve alike.

Invariant: nothing here depends on the server. A subject imports this module when it serves, since the packages are
optional.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rtbench.servers.kit import poll_answer, starlette_app
from rtbench.servers.kit.hub import Hub
from rtbench.transports.catalogue import find

__all__ = ["long", "short"]


def short(hub: Hub) -> list[BaseRoute]:
    """Short polls: an answer at once, with the new messages or with 304."""

    async def poll(request: Request) -> Response:
        channel = starlette_app.pick(hub, request, request.path_params["stream"])
        return starlette_app.reply(poll_answer.short(hub, channel, request.query_params, request.headers))

    return [Route(find("short-poll").prefix + "/{stream}", poll)]


def long(hub: Hub, default_s: float) -> list[BaseRoute]:
    """Long polls: a request waits for a message, or its time is up (`default_s` where it names none).

    ASGI does not cancel a handler when its client leaves: such a request waits on until the next message or its time.
    """

    async def poll(request: Request) -> Response:
        channel = starlette_app.pick(hub, request, request.path_params["stream"])
        found = await poll_answer.wait(hub, channel, request.query_params, request.headers, default_s)
        return starlette_app.reply(found)

    return [Route(find("long-poll").prefix + "/{stream}", poll)]
