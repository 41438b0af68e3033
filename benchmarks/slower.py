"""`sse-aiohttp`, slower on purpose: 1.65 us more CPU for every message and connection, a fifth of its cost.

rtbench run ci --subjects sse-aiohttp,benchmarks/slower.py --set blocks=6 --out results/slower
rtbench compare results/slower --subjects sse-aiohttp,slower
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from rtbench.servers.kit import aiohttp_app, sse_encoder
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Connection
from rtbench.servers.sse_aiohttp import handler
from rtbench.subjects import Subject

BURNT_NS = 1650


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    hub = server.hub(sse_encoder.Chunked())
    write = hub._write

    def burning(connections: Iterable[Connection], data: bytes) -> None:
        all_of_them = list(connections)
        write(all_of_them, data)
        until = time.thread_time_ns() + BURNT_NS * len(all_of_them)
        while time.thread_time_ns() < until:
            pass

    hub._write = burning  # type: ignore[method-assign]
    await aiohttp_app.serve(server, hub, handler(hub), aliases=True)


SUBJECT = Subject(
    name="slower", transport="sse", stack="aiohttp", serve=serve, description="sse-aiohttp, a fifth slower on purpose"
)
