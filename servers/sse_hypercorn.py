"""`sse-hypercorn`: Server-Sent Events on Starlette, sse-starlette and hypercorn, over HTTP/1.1 or HTTP/2.

The application is that of `sse-starlette` (`servers/kit/starlette_sse.py`), and the server is the same for both
versions of HTTP: what differs between the two is HTTP (R10).
"""

from __future__ import annotations

from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import CAPABILITIES, Subject


async def serve(server: Server) -> None:
    """Serve SSE until stopped."""
    from rtbench.servers.kit import hypercorn_server, starlette_sse

    hub = server.hub(starlette_sse.encoder())
    await hypercorn_server.run(server, hub, starlette_sse.routes(hub))


SUBJECT = Subject(
    name="sse-hypercorn",
    transport="sse",
    stack="hypercorn",
    technique="per-connection",
    serve=serve,
    capabilities=CAPABILITIES | {"http2"},
    packages=("hypercorn", "sse-starlette", "starlette"),
    requires=python.needs("sse_starlette", "starlette", "hypercorn"),
    description="Server-Sent Events on Starlette with sse-starlette, under hypercorn; HTTP/1.1 or HTTP/2",
)
