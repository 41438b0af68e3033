"""`rtbench demo`: all four transports in one process, fed by one publisher, and lanes that can be stopped and cut.

Each transport is a lane: a hub of its own with the handler of its aiohttp subject, a gate in front and a meter around
its connections. Invariant: a stopped lane writes nothing, not even heartbeats; afterwards it writes everything that it
held back, in order. The plan has a hub of its own, which never stops. The registry does not list the demo, and it is
never measured. Run by the CLI as `ServerProcess("_demo")`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from rtbench.messages.feed import Hello
from rtbench.messages.server import Limits
from rtbench.servers import long_poll_aiohttp as long_poll
from rtbench.servers import short_poll_aiohttp as short_poll
from rtbench.servers import sse_aiohttp as sse
from rtbench.servers import websocket_aiohttp as websocket
from rtbench.servers.demo import meter
from rtbench.servers.kit import aiohttp_app, door, pages, poll_answer, sse_encoder, websocket_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Connection, Encoder
from rtbench.servers.kit.cursor import BadParameter, cursor, seconds
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject

LONGEST_PAUSE_S = 60.0
OUTAGE_S = 1.0
"""The outage of a cut lane. A client that reconnects at once is cut again, so that its backoff shows."""
WATCH_S, WATCH_GAP_S = 0.25, 0.04
"""The longest and the shortest time between two updates to a page."""
MOST_PAGES = 64
"""Accounts are kept for so many pages; the oldest is dropped."""


class Lane(Hub):
    """One transport's hub, which can be stopped and cut."""

    def __init__(self, transport: str, encoder: Encoder, limits: Limits, tell: Callable[[], None]) -> None:
        super().__init__(encoder, limits)
        self.transport = transport
        self._tell_pages = tell
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._held: list[bytes] = []
        self._wake: asyncio.TimerHandle | None = None
        self._back_s = 0.0
        self._links: set[meter.MeteredConnection] = set()

    def pause(self, for_s: float) -> None:
        """Write nothing for the next `for_s` seconds."""
        self._flowing.clear()
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_later(for_s, self.resume)
        self._tell_pages()

    def resume(self) -> None:
        """Write the held messages, and go on."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        held, self._held = self._held, []
        self._flowing.set()
        for body in held:
            super().publish(body)
        self._tell_pages()

    def cut(self) -> None:
        """Abort every connection of this lane, and every new one within the outage."""
        self._back_s = asyncio.get_running_loop().time() + OUTAGE_S
        for link in list(self._links):
            link.abort()
        self._tell_pages()

    def state(self) -> dict[str, int]:
        """How long the lane stays stopped and how long cut, in milliseconds."""
        now_s = asyncio.get_running_loop().time()
        paused_s = self._wake.when() - now_s if self._wake is not None else 0
        return {"paused_ms": max(0, round(1000 * paused_s)), "cut_ms": max(0, round(1000 * (self._back_s - now_s)))}

    def gate(self, handler: aiohttp_app.Handler, accounts: Accounts) -> aiohttp_app.Handler:
        """`handler` behind this lane's gate: a stopped lane neither starts nor answers a request."""

        async def handle(request: web.Request) -> web.StreamResponse:
            link = _link(request)
            account = accounts.find(request.query.get("page"), self.transport)
            if account is not None:
                link.claim(account)
            if asyncio.get_running_loop().time() < self._back_s:
                link.abort()
                return web.Response(status=503)
            self._links.add(link)
            try:
                await self._flowing.wait()
                response = await handler(request)
                if not response.prepared:
                    await self._flowing.wait()
                return response
            finally:
                self._links.discard(link)

        return handle

    # The hub's methods in which a stopped lane differs

    def hello(self, greeting: Hello) -> None:
        self.resume()  # the held messages are of the publisher's previous run
        super().hello(greeting)

    def publish(self, body: bytes) -> None:
        if self._flowing.is_set():
            super().publish(body)
        else:
            self._held.append(body)

    def _write(self, connections: Iterable[Connection], data: bytes) -> None:
        if self._flowing.is_set():  # else a heartbeat
            super()._write(connections, data)

    def stop(self) -> None:
        self.resume()
        super().stop()


class Accounts:
    """The cost of each lane for each page: two pages in one browser do not share their figures."""

    def __init__(self) -> None:
        self._pages: dict[str, dict[str, meter.Account]] = {}

    def find(self, page: str | None, transport: str) -> meter.Account | None:
        """The page's account, or None without a page. Raises BadParameter."""
        if page is None:
            return None
        if not re.fullmatch("[a-z0-9]{1,8}", page):
            raise BadParameter("page must be up to eight letters and digits")
        if page not in self._pages:
            if len(self._pages) >= MOST_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[page] = {}
        return self._pages[page].setdefault(transport, meter.Account())


def _link(request: web.Request) -> meter.MeteredConnection:
    link: Any = aiohttp_app.transport_of(request)
    assert isinstance(link, meter.MeteredConnection)
    return link


@web.middleware
async def _metered(request: web.Request, handler: aiohttp_app.Handler) -> web.StreamResponse:
    link = _link(request)
    link.begin()
    try:
        return await handler(request)
    finally:
        link.end()


async def serve(server: Server) -> None:
    """Serve everything until stopped."""
    accounts, limits = Accounts(), server.options.limits
    plan = server.hub(poll_answer.Enveloped())
    encoders: dict[str, Encoder] = {
        "sse": sse_encoder.Chunked(),
        "websocket": websocket_encoder.Framed(),
        "short-poll": poll_answer.Enveloped(),
        "long-poll": poll_answer.Enveloped(),
    }

    def tell() -> None:
        for channel in plan.channels:
            channel.wake()

    lanes = {name: server.feed(Lane(name, encoder, limits, tell)) for name, encoder in encoders.items()}
    handlers = {
        "sse": sse.handler(lanes["sse"]),
        "websocket": websocket.handler(server, lanes["websocket"]),
        "short-poll": short_poll.handler(lanes["short-poll"]),
        "long-poll": long_poll.handler(server, lanes["long-poll"]),
    }

    async def control(request: web.Request) -> web.Response:
        """Stop, cut or resume a lane. Refuses pages of other sites."""
        aiohttp_app.same_site(server, request)
        lane = lanes.get(request.match_info["lane"])
        if lane is None:
            raise web.HTTPNotFound(text=f"unknown lane; choose one of {', '.join(lanes)}")
        match request.match_info["do"]:
            case "pause":
                lane.pause(seconds(request.query.get("seconds", "5"), "seconds", LONGEST_PAUSE_S))
            case "resume":
                lane.resume()
            case "cut":
                lane.cut()
            case _:
                raise web.HTTPNotFound(text="a lane can pause, resume and cut")
        return web.json_response(lane.state())

    async def watch(request: web.Request) -> web.StreamResponse:
        """The plan as it is played and each lane's cost, over a WebSocket: a browser has only six other connections."""
        address = aiohttp_app.pick(plan, request).address
        page, since = request.query.get("page"), cursor(request.query.get("since"), "since") or 0
        costs = {name: accounts.find(page, name) or meter.Account() for name in lanes}
        aiohttp_app.same_site(server, request)
        socket = websocket.socket_response(server)
        if not socket.can_prepare(request):
            return aiohttp_app.answer(400, "this is a WebSocket: ask for an upgrade")
        await socket.prepare(request)
        door.converse(aiohttp_app.transport_of(request))
        task = asyncio.current_task()
        assert task is not None
        server.conversing.add(task)
        task.add_done_callback(server.conversing.discard)
        reader = asyncio.create_task(_read(socket))
        epoch = plan.plan.get("epoch")
        try:
            while not (reader.done() or server.stopped.is_set()):
                if plan.plan.get("epoch") != epoch:
                    epoch, since = plan.plan.get("epoch"), 0
                schedule = plan.schedule(address.stream, address.index, since)
                since = schedule["ticks"][-1][0] if schedule["ticks"] else since
                table = {
                    name: {
                        "down": costs[name].down,
                        "up": costs[name].up,
                        "requests": costs[name].requests,
                        **lane.state(),
                    }
                    for name, lane in lanes.items()
                }
                await socket.send_json({"plan": schedule, "lanes": table})
                await asyncio.sleep(WATCH_GAP_S)
                channel = plan.find(address.stream, address.index)
                if channel is not None and channel.ring.last <= since:
                    await plan.next(channel, WATCH_S)
        except ConnectionResetError:
            return socket
        finally:
            reader.cancel()
        await socket.close(code=websocket_encoder.CLOSE["stop"])
        return socket

    app = aiohttp_app.application(server, around=[_metered])
    for name, lane in lanes.items():
        aiohttp_app.mount(app, name, lane.gate(handlers[name], accounts), aliases=name == "sse")
    aiohttp_app.mount_plan(app, plan)
    aiohttp_app.mount_send(app, server, plan)
    aiohttp_app.mount_pages(app, lambda: pages.about(SUBJECT.name, SUBJECT.stack, lanes, plan.streams, demo=True))
    app.router.add_get("/demo/watch/{stream}", watch, allow_head=False)
    app.router.add_post("/demo/lanes/{lane}/{do}", control)
    await aiohttp_app.run(server, app, meter.metered)


async def _read(socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionResetError):
        async for _ in socket:
            pass  # a page sends nothing; reading answers its close


SUBJECT = Subject(
    name="demo",
    transport="sse",
    stack="aiohttp",
    arm="controlled",
    technique="encode-once",
    serve=serve,
    description="all four transports in one process, for the pages; never measured",
)
