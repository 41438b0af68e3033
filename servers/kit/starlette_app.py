"""Shared by the subjects on Starlette and uvicorn: the server around an application, parameters, errors as small JSON.

Invariant: every request gets an answer of interface.md, as with the other stacks. An ASGI application never sees its
connection, but the hub needs it (bytes held and acknowledged, aborts), and ASGI has no message for a ping, which is the
heartbeat. So uvicorn's two protocols here put themselves into the scope; they still send everything themselves.
A subject imports this module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Upgrade

from rtbench.servers.kit import door, pages
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.channel import Channel, ClientTransport
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.door import Door
from rtbench.servers.kit.guard import Guard
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.origin import REFUSAL
from rtbench.servers.kit.poll_answer import Answer

__all__ = ["converse", "pick", "protocol_of", "reply", "run", "same_site", "transport_of", "websocket_routes"]

PROTOCOL = "rtbench.protocol"
"""The key of uvicorn's protocol in scope["extensions"]."""


class _Http(HttpToolsProtocol):
    def handle_websocket_upgrade(self) -> None:
        door = self.transport.get_protocol()
        super().handle_websocket_upgrade()
        if isinstance(door, Door):
            door.serve(cast(asyncio.Protocol, self.transport.get_protocol()))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {PROTOCOL: {"self": self}}


class _WebSocket(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Upgrade) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # accepted: its task runs after this
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), PROTOCOL: {"self": self}}

    def ping(self) -> None:
        """Send a ping: uvicorn would do so at its own interval, here the hub decides."""
        self.conn.send_ping(b"")
        self.transport.write(b"".join(self.conn.data_to_send()))


def _behind(guard: Guard) -> Callable[..., Door]:
    """uvicorn's factory of protocols, each behind a door."""
    return lambda **options: Door(guard, lambda: _Http(**options))


class _Uvicorn(uvicorn.Server):
    """A uvicorn server that leaves signals to `Server` and reports when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.accepting.set()


async def run(server: Server, hub: Hub, routes: Sequence[BaseRoute]) -> None:
    """Serve these routes, the plan and the pages until the server is stopped."""
    files = server.options.tls
    config = uvicorn.Config(
        _application(server, hub, routes),
        http=cast(Any, _behind(server.guard)),
        ws=_WebSocket,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        ssl_certfile=files.certificate if files else None,
        ssl_keyfile=files.key if files else None,
        server_header=False,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # the hub's heartbeat pings, as in every subject (R11)
        ws_max_size=server.options.bounds.message_bytes,
        timeout_keep_alive=max(1, int(server.options.bounds.idle_s)),
        timeout_graceful_shutdown=max(1, int(FAREWELL_S)),
    )
    if server.tls is not None:
        config.load()
        config.ssl = server.tls  # uvicorn's own would also speak other versions
    running = _Uvicorn(config)
    await server.filled()
    serving = asyncio.create_task(running.serve(sockets=[server.socket]))
    await running.accepting.wait()
    await server.ready()
    await server.stopped.wait()
    if server.conversing:
        await asyncio.wait(server.conversing, timeout=FAREWELL_S / 2)
    running.should_exit = True
    await serving


def _application(server: Server, hub: Hub, routes: Sequence[BaseRoute]) -> Starlette:
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
    """uvicorn's protocol of this request."""
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
