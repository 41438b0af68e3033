"""`websocket-hypercorn`: WebSocket on Starlette and hypercorn, over HTTP/1.1 or as a stream of HTTP/2 (RFC 8441).

The application is that of `websocket-uvicorn` (`servers/kit/starlette_websocket.py`).
"""

from __future__ import annotations

from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import CAPABILITIES, Subject


async def serve(server: Server) -> None:
    """Serve WebSocket until stopped."""
    from rtbench.servers.kit import hypercorn_server, starlette_websocket

    hub = server.hub(starlette_websocket.encoder())
    await hypercorn_server.run(server, hub, starlette_websocket.routes(server, hub))


SUBJECT = Subject(
    name="websocket-hypercorn",
    transport="websocket",
    stack="hypercorn",
    technique="per-connection",
    serve=serve,
    capabilities=CAPABILITIES | {"http2"},
    packages=("hypercorn", "starlette"),
    requires=python.needs("starlette", "hypercorn"),
    description="WebSocket on Starlette under hypercorn (wsproto); HTTP/1.1 or HTTP/2",
)
