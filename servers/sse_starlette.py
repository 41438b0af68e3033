"""`sse-starlette`: Server-Sent Events on Starlette, sse-starlette and uvicorn: what a FastAPI engineer would write.

`servers/kit/starlette_sse.py` has the application.
"""

from __future__ import annotations

from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import Subject


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    from rtbench.servers.kit import starlette_sse, uvicorn_server

    hub = server.hub(starlette_sse.encoder())
    await uvicorn_server.run(server, hub, starlette_sse.routes(hub))


SUBJECT = Subject(
    name="sse-starlette",
    transport="sse",
    stack="starlette",
    technique="per-connection",
    serve=serve,
    packages=("sse-starlette", "starlette", "uvicorn"),
    requires=python.needs("sse_starlette", "starlette", "uvicorn"),
    description="Server-Sent Events on Starlette with sse-starlette, under uvicorn; a generator for each connection",
)
