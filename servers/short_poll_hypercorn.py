"""`short-poll-hypercorn`: short polling on Starlette and hypercorn, over HTTP/1.1 or HTTP/2.

The application is that of `short-poll-starlette` (`servers/kit/starlette_polls.py`).
"""

from __future__ import annotations

from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import CAPABILITIES, Subject


async def serve(server: Server) -> None:
    """Serve short polls until stopped."""
    from rtbench.servers.kit import hypercorn_server, starlette_polls

    hub = server.hub(poll_answer.Enveloped())
    await hypercorn_server.run(server, hub, starlette_polls.short(hub))


SUBJECT = Subject(
    name="short-poll-hypercorn",
    transport="short-poll",
    stack="hypercorn",
    technique="per-connection",
    serve=serve,
    capabilities=CAPABILITIES | {"http2"},
    packages=("hypercorn", "starlette"),
    requires=python.needs("starlette", "hypercorn"),
    description="short polling on Starlette under hypercorn; HTTP/1.1 or HTTP/2",
)
