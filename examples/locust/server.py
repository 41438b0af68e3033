"""A small server to try the locustfiles on: a page, a login, and a feed with SSE and WebSocket that asks for a token.

python examples/locust/server.py --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import time

from aiohttp import web

FEED_S = 0.1
TOKENS: set[str] = set()


async def page(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def login(_: web.Request) -> web.Response:
    token = secrets.token_hex(8)
    TOKENS.add(token)
    return web.json_response({"token": token})


def require_token(request: web.Request) -> None:
    if request.headers.get("Authorization", "").removeprefix("Bearer ") not in TOKENS:
        raise web.HTTPUnauthorized(text="log in first")


def message(number: int) -> str:
    """`sent` is what latency counts from (`due = "sent"` in the locustfile)."""
    return json.dumps({"id": number, "sent": time.time(), "text": "something happened"})


async def events(request: web.Request) -> web.StreamResponse:
    require_token(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    number = int(request.headers.get("Last-Event-ID", 0))
    with contextlib.suppress(ConnectionResetError):  # the reader left
        while True:
            number += 1
            await response.write(f"id: {number}\ndata: {message(number)}\n\n".encode())
            await asyncio.sleep(FEED_S)
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    require_token(request)
    response = web.WebSocketResponse()
    await response.prepare(request)
    number = 0
    with contextlib.suppress(ConnectionResetError):
        while not response.closed:
            number += 1
            await response.send_str(message(number))
            await asyncio.sleep(FEED_S)
    return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    app = web.Application()
    app.add_routes(
        [web.get("/", page), web.post("/login", login), web.get("/events", events), web.get("/socket", socket)]
    )
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, access_log=None)


if __name__ == "__main__":
    main()
