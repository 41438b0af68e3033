"""The clock of the README of sse-starlette: a server of somebody else, on the listening socket with number argv[1]."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route


async def clock(request: Request) -> EventSourceResponse:
    async def ticks() -> AsyncIterator[dict[str, str]]:
        while True:
            yield {"data": datetime.now(UTC).isoformat()}
            await asyncio.sleep(0.2)

    return EventSourceResponse(ticks())


uvicorn.run(Starlette(routes=[Route("/clock", clock)]), fd=int(sys.argv[1]), log_level="warning")
