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
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Upgrade

from rtbench.servers.kit import pages
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.channel import Channel, ClientTransport
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.poll_answer import Answer

__all__ = ["pick", "protocol_of", "reply", "run", "transport_of", "websocket_routes"]

PROTOCOL = "rtbench.protocol"
"""The key of uvicorn's protocol in scope["extensions"]."""


class _Http(HttpToolsProtocol):
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
    config = uvicorn.Config(
        _application(server, hub, routes),
        http=_Http,
        ws=_WebSocket,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        server_header=False,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # the hub's heartbeat pings, as in every subject (R11)
        ws_max_size=2**20,
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=max(1, int(FAREWELL_S)),
    )
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
        channel = pick(hub, request, request.path_params["stream"])
        if (refused := hub.uplink(channel, await request.body())) is not None:
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
    app.router.redirect_slashes = False
    return app


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
