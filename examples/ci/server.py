"""A minimal server of your own: messages come in by POST and go out as Server-Sent Events.

`gate.toml` starts it twice, from the base and from the head of a pull request. Replace it by yours: any program in any
language that listens on a port and takes messages by HTTP. BURN_US (microseconds of CPU a message and subscriber) makes
it slower on purpose, to see the gate close.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import defaultdict

from aiohttp import web

BURN_US = float(os.environ.get("BURN_US", "0"))
subscribers: dict[str, set[web.StreamResponse]] = defaultdict(set)


async def publish(request: web.Request) -> web.Response:
    event = b"data: " + await request.read() + b"\n\n"
    for response in list(subscribers[request.match_info["stream"]]):
        end = time.perf_counter() + BURN_US / 1e6
        while time.perf_counter() < end:
            pass
        with contextlib.suppress(ConnectionError):  # a subscriber that has just left: the others still get the message
            await response.write(event)
    return web.Response(status=204)


async def subscribe(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    mine = subscribers[request.match_info["stream"]]
    mine.add(response)
    try:
        await asyncio.Event().wait()
    finally:
        mine.discard(response)
    return response


app = web.Application()
app.router.add_get("/", lambda _: web.Response(text="ready"))
app.router.add_post("/publish/{stream}", publish)
app.router.add_get("/events/{stream}", subscribe)

if __name__ == "__main__":
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        backlog=4096,
        shutdown_timeout=0.5,
        handler_cancellation=True,
    )
