"""uvicorn around an application of `starlette_app`, as the subjects on Starlette are served.

ASGI has no message for a ping, which is a WebSocket's heartbeat, and an application never sees its connection. So the
two protocols here put themselves into the scope. Invariant: uvicorn still sends everything itself. A subject imports
this module when it serves, since the packages are optional.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.routing import BaseRoute
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Upgrade

from rtbench.servers.kit.app import BACKLOG, FAREWELL_S, Server
from rtbench.servers.kit.door import Door
from rtbench.servers.kit.guard import Guard
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.starlette_app import PROTOCOL, application

__all__ = ["run"]


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
        application(server, hub, routes),
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
