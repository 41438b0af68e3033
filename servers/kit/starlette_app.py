"""Shared by the subjects on Starlette: the application around their routes, parameters, errors as small JSON.

Invariant: every request gets an answer of interface.md, as with the other stacks. An ASGI application never sees its
connection, but the hub needs it (bytes held and acknowledged, aborts). So the server puts it into the scope
(`uvicorn_server`, `hypercorn_server`).
A subject imports this module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from rtbench.servers.kit import door, pages
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Channel, ClientTransport
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.origin import REFUSAL
from rtbench.servers.kit.poll_answer import Answer

__all__ = [
    "PROTOCOL",
    "application",
    "converse",
    "pick",
    "protocol_of",
    "reply",
    "same_site",
    "transport_of",
    "websocket_routes",
]

PROTOCOL = "rtbench.protocol"
"""The key of the server's protocol of a request in scope["extensions"]; its `transport` is the connection's."""


def application(server: Server, hub: Hub, routes: Sequence[BaseRoute]) -> Starlette:
    async def plan(request: Request) -> Response:
        channel = pick(hub, request, request.path_params["stream"])
        since = cursor(request.query_params.get("since"), "since") or 0
        return JSONResponse(hub.schedule(channel.address.stream, channel.address.index, since))

    async def send(request: Request) -> Response:
        same_site(server, request)
        channel = pick(hub, request, request.path_params["stream"])
        if not server.guard.publishes(request.client.host if request.client else ""):
            raise HTTPException(429, "too many messages; try again", {"Retry-After": "1"})
        if (refused := hub.uplink(channel, await _body(server, request))) is not None:
            return refusal(HTTPException(*refused))
        return JSONResponse({"accepted": True}, 202)

    async def page(request: Request) -> Response:
        path, subject = request.url.path, server.subject
        about = path == pages.ABOUT
        found = pages.about(subject.name, subject.stack, [subject.transport], hub.streams) if about else None
        if (found := found or pages.find(path)) is None:
            raise HTTPException(404, f"unknown page {path[:80]}")
        return Response(found.body, headers=dict(found.headers))

    shared = [
        Route("/plan/{stream}", plan),
        Route("/send/{stream}", send, methods=["POST"]),
        Route("/", page),
        Route("/pages/{name}", page),
    ]
    handlers: Any = {HTTPException: _refuse, BadParameter: _refuse}
    app = Starlette(routes=[*shared, *routes], exception_handlers=handlers)
    if listed := server.options.allow_origin:
        app.add_middleware(CORSMiddleware, allow_origins=listed, expose_headers=["ETag"])
    app.router.redirect_slashes = False
    return app


async def _body(server: Server, request: Request) -> bytes:
    """A message, bounded in bytes and in time. Raises HTTPException 413 and 408."""
    most, body = server.options.bounds.message_bytes, b""
    try:
        async with asyncio.timeout(server.options.bounds.head_s):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    server.guard.refused["message_bytes"] += 1
                    raise HTTPException(413, f"a message may have up to {most:,} bytes", {"Connection": "close"})
    except TimeoutError:
        server.guard.refused["head_s"] += 1
        raise HTTPException(408, "the message took too long", {"Connection": "close"}) from None
    return body


def same_site(server: Server, asked: HTTPConnection) -> None:
    """Refuse another site's page, before a WebSocket is accepted or a POST taken. Raises HTTPException 403."""
    if server.refuses(asked.headers.get("Origin"), asked.headers.get("Host", "")):
        raise HTTPException(403, REFUSAL)


def converse(scope: Scope) -> None:
    """A WebSocket was accepted: bound what its client sends (`door.converse`)."""
    door.converse(transport_of(scope))


def pick(hub: Hub, asked: HTTPConnection, stream: str) -> Channel:
    """The channel that a request names. Raises HTTPException 404 and BadParameter."""
    if stream not in hub.streams:
        raise HTTPException(404, f"unknown stream {stream!r}; choose one of {', '.join(hub.streams)}")
    index = number(asked.query_params.get("channel", "0"), "channel")
    channel = hub.find(stream, index)
    if channel is None:
        raise HTTPException(404, f"{stream} has no channel {index}")
    return channel


def protocol_of(scope: Scope) -> Any:
    """The server's protocol of this request."""
    return scope["extensions"][PROTOCOL]["self"]


def transport_of(scope: Scope) -> ClientTransport:
    """The connection's transport."""
    transport: ClientTransport = protocol_of(scope).transport
    return transport


def reply(found: Answer) -> Response:
    """The answer to a poll."""
    return Response(found.body, found.status, found.headers)


async def _refuse(_: Request, error: Exception) -> Response:
    return refusal(error)


def refusal(error: Exception) -> Response:
    """The error answer to a bad request."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
    return JSONResponse({"error": str(error)}, 400)


Conversation = Callable[[WebSocket], Awaitable[None]]


def websocket_routes(prefix: str, converse: Conversation) -> list[BaseRoute]:
    """`converse` at PREFIX/{stream}; plain HTTP there and a WebSocket elsewhere are refused."""

    async def guarded(socket: WebSocket) -> None:
        try:
            await converse(socket)
        except (HTTPException, BadParameter) as error:  # only before it is accepted
            await socket.send_denial_response(refusal(error))

    async def nothing(socket: WebSocket) -> None:
        await socket.send_denial_response(refusal(HTTPException(404, "there is nothing here")))

    async def plain(_: Request) -> Response:
        return refusal(HTTPException(400, "this is a WebSocket: ask for an upgrade"))

    return [
        WebSocketRoute(f"{prefix}/{{stream}}", guarded),
        Route(f"{prefix}/{{stream}}", plain),
        WebSocketRoute("/{path:path}", nothing),
    ]
