"""`websocket-uvicorn`: WebSocket on Starlette under uvicorn (its `websockets` implementation): a queue and `send_text`.

Its stack is Starlette under uvicorn, as that of `sse-starlette` and of the polls there: results are grouped by it.
"""

from __future__ import annotations

from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import Subject


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from rtbench.servers.kit import starlette_websocket, uvicorn_server

    hub = server.hub(starlette_websocket.encoder())
    await uvicorn_server.run(server, hub, starlette_websocket.routes(server, hub))


SUBJECT = Subject(
    name="websocket-uvicorn",
    transport="websocket",
    stack="starlette",
    technique="per-connection",
    serve=serve,
    packages=("uvicorn", "starlette", "websockets"),
    requires=python.needs("starlette", "uvicorn"),
    description="WebSocket on Starlette under uvicorn (websockets); a queue and send_text() for each connection",
)
