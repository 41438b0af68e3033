"""Shared by the aiohttp subjects: the application around a handler, its parameters, its errors as small JSON.

Invariant: every request gets an answer of interface.md: unknown stream 404, bad parameter 400, wrong method 405, all
`{"error": …}`. Used by the aiohttp subjects only; other stacks have their own code for the same answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from rtbench.servers.kit import compression, pages
from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, READ_BUFFER_BYTES, Server
from rtbench.servers.kit.channel import Channel, ClientTransport, Connection
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.door import LINGER_S, Protocols, behind
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.origin import REFUSAL, cors
from rtbench.servers.kit.poll_answer import Answer
from rtbench.servers.kit.queue import QueuedTransport
from rtbench.transports.catalogue import find

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Middleware
else:
    web = Framework("aiohttp.web")

__all__ = [
    "Handler",
    "answer",
    "application",
    "attach",
    "close_delimited",
    "compressed",
    "mount",
    "mount_pages",
    "mount_plan",
    "mount_send",
    "pick",
    "relay",
    "reply",
    "run",
    "same_site",
    "serve",
    "transport_of",
]

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
Prepare: TypeAlias = "Callable[[web.Request, web.StreamResponse], Awaitable[None]]"
GENERAL = "general"
"""The stream of the article's own routes when the path names an unknown one."""


async def serve(
    server: Server, hub: Hub, handler: Handler, aliases: bool = False, prepare: Prepare | None = None
) -> None:
    """Serve `handler` under the subject's prefix until the server is stopped. `aliases`: see `mount`.

    `prepare` sees each response before its head is sent.
    """
    app, transport = application(server, server.middlewares), server.subject.transport
    if prepare is not None:
        app.on_response_prepare.append(prepare)
    mount(app, transport, handler, aliases)
    mount_plan(app, hub)
    mount_send(app, server, hub)
    mount_pages(app, lambda: pages.about(server.subject.name, server.subject.stack, [transport], hub.streams))
    await run(server, app)


def application(
    server: Server, inside: Iterable[Middleware] = (), around: Iterable[Middleware] = ()
) -> web.Application:
    """An application without routes; `inside` sees errors as handlers raise them, `around` sees them as answers."""
    most = server.options.bounds.message_bytes
    app = web.Application(middlewares=[*around, web.middleware(_errors), *inside], client_max_size=most)
    if listed := server.options.allow_origin:

        async def share(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(cors(request.headers.get("Origin"), listed))

        app.on_response_prepare.append(share)
    return app


def same_site(server: Server, request: web.Request) -> None:
    """Refuse another site's page, before a WebSocket is accepted or a POST taken. Raises 403."""
    if server.refuses(request.headers.get("Origin"), request.host):
        raise web.HTTPForbidden(text=REFUSAL)


def mount(app: web.Application, transport: str, handler: Handler, aliases: bool = False) -> None:
    """Subscriptions of one transport. `aliases`: also the article's SSE routes (`/events`, `/{channel}`)."""
    app.router.add_get(find(transport).prefix + "/{stream}", handler, allow_head=False)
    if aliases:
        app.router.add_get("/{alias}", handler, allow_head=False)


def mount_plan(app: web.Application, hub: Hub) -> None:
    """`GET /plan/STREAM`: the due times of the messages that this hub holds."""

    async def plan(request: web.Request) -> web.Response:
        channel = pick(hub, request)
        since = cursor(request.query.get("since"), "since") or 0
        return web.json_response(hub.schedule(channel.address.stream, channel.address.index, since))

    app.router.add_get("/plan/{stream}", plan, allow_head=False)


def mount_send(app: web.Application, server: Server, hub: Hub) -> None:
    """`POST /send/STREAM`: the uplink of transports that carry nothing upwards; the body is the payload."""

    async def send(request: web.Request) -> web.Response:
        same_site(server, request)
        channel = pick(hub, request)
        if not server.guard.publishes(request.remote or ""):
            return answer(429, "too many messages; try again", {"Retry-After": "1"})
        try:
            async with asyncio.timeout(server.options.bounds.head_s):
                body = await request.read()
        except TimeoutError:
            server.guard.refused["head_s"] += 1
            slow = answer(408, "the message took too long", {"Connection": "close"})
            slow.force_close()
            return slow
        except web.HTTPRequestEntityTooLarge:
            server.guard.refused["message_bytes"] += 1
            return answer(413, f"a message may have up to {server.options.bounds.message_bytes:,} bytes")
        refused = hub.uplink(channel, body)
        if refused is not None:
            return answer(*refused)
        return web.Response(status=202, text='{"accepted":true}', content_type="application/json")

    app.router.add_post("/send/{stream}", send)


def mount_pages(app: web.Application, about: Callable[[], pages.Page]) -> None:
    """The pages, at `/` and under `/pages/`; `about` makes the page that describes the server."""

    async def page(request: web.Request) -> web.Response:
        found = about() if request.path == pages.ABOUT else pages.find(request.path)
        if found is None:
            raise web.HTTPNotFound(text=f"unknown page {request.path[:80]}")
        return web.Response(body=found.body, headers=found.headers)

    app.router.add_get("/", page, allow_head=False)
    app.router.add_get("/pages/{name}", page, allow_head=False)


async def run(server: Server, app: web.Application, wrap: Callable[[Protocols], Protocols] = lambda made: made) -> None:
    """Serve `app` until the server is stopped. `wrap` puts a layer between aiohttp and its connections."""
    bounds = server.options.bounds
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=FAREWELL_S / 4,  # aiohttp waits this long twice: for the handlers, then after cancelling them
        read_bufsize=READ_BUFFER_BYTES,
        keepalive_timeout=bounds.idle_s,  # also ends a later head that stays half sent
        lingering_time=LINGER_S,  # with a body that was refused, or came too late
        max_line_size=bounds.head_bytes,
        max_field_size=bounds.head_bytes,
    )
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    await server.filled()
    listener = await loop.create_server(
        behind(server.guard, wrap(runner.server)), sock=server.socket, backlog=BACKLOG, **server.secure
    )
    await server.ready()
    await server.stopped.wait()
    if server.conversing:
        # Before the cleanup: aiohttp stops reading from its clients there.
        await asyncio.wait(server.conversing, timeout=FAREWELL_S / 2)
    # New connections are refused and idle ones closed; the hub has finished the others, so their handlers return.
    listener.close()
    await runner.cleanup()


def pick(hub: Hub, request: web.Request) -> Channel:
    """The channel that a request names. Raises 404 and 400."""
    named = request.match_info
    stream = named["alias"] if "alias" in named else named["stream"]
    if "alias" in named and stream not in hub.streams and GENERAL in hub.streams:
        stream = GENERAL
    if stream not in hub.streams:
        raise web.HTTPNotFound(text=f"unknown stream {stream!r}; choose one of {', '.join(hub.streams)}")
    index = number(request.query.get("channel", "0"), "channel")
    channel = hub.find(stream, index)
    if channel is None:
        raise web.HTTPNotFound(text=f"{stream} has no channel {index}")
    return channel


def transport_of(request: web.Request) -> ClientTransport:
    """The connection's transport. Raises ConnectionResetError when the client has left."""
    if request.transport is None:
        raise ConnectionResetError("the client left")
    return request.transport


def close_delimited(request: web.Request, response: web.StreamResponse) -> bool:
    """Whether this stream ends with the connection: HTTP/1.0 has no chunks (RFC 9112 §6.3). Call it before `prepare`.

    aiohttp leaves the chunks out by itself, but keeps the connection open after the stream if the client asked for it.
    """
    if request.version >= (1, 1):
        return False
    response.force_close()
    response.headers["Connection"] = "close"
    return True


async def relay(
    hub: Hub, request: web.Request, channel: Channel, at: int | None, send: Callable[[QueuedTransport], Awaitable[None]]
) -> None:
    """Subscribe through a queue until the stream or the client ends; `send` empties it through its library's API."""
    queue = QueuedTransport(transport_of(request))
    sender = asyncio.ensure_future(send(queue))
    try:
        connection = await hub.attach(queue, channel, at)
        try:
            await asyncio.wait((sender, connection.finished), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.detach(connection)
        queue.close()
        await sender
    finally:
        sender.cancel()


def reply(found: Answer, request: web.Request, coding: str = compression.NONE) -> web.Response:
    """The answer to a poll, compressed if the client accepts the coding."""
    response = web.Response(status=found.status, headers=found.headers)
    if found.body:
        pack = compressed(request, response, coding)
        response.body = compression.packed(coding, found.body) if pack else found.body
    return response


def compressed(request: web.Request, response: web.StreamResponse, coding: str) -> bool:
    """Whether the body is to be compressed, for it is asked for and the client accepts it; the head then says so."""
    if coding == compression.NONE:
        return False
    response.headers["Vary"] = "Accept-Encoding"
    if not compression.accepts(request.headers.get("Accept-Encoding"), coding):
        return False
    response.headers["Content-Encoding"] = coding
    return True


async def attach(hub: Hub, request: web.Request, channel: Channel, at: int | None) -> Connection:
    """`Hub.attach` for this request's connection."""
    return await hub.attach(transport_of(request), channel, at)


async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadParameter as error:
        return answer(400, str(error))
    except ConnectionResetError:
        return answer(499, "the client left")  # during the answer: not an error, and the client does not see this
    except web.HTTPMethodNotAllowed as error:
        return answer(405, f"{error.method} is not allowed here", {"Allow": ", ".join(sorted(error.allowed_methods))})
    except web.HTTPForbidden as error:
        return answer(403, error.text or REFUSAL)
    except web.HTTPNotFound as error:
        return answer(404, error.text if error.text and not error.text.startswith("404") else "there is nothing here")


def answer(status: int, error: str, headers: dict[str, str] | None = None, **fields: Any) -> web.Response:
    """A small JSON error; `fields` are the further members that the contract asks for."""
    body: dict[str, Any] = {"error": error, **fields}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)
