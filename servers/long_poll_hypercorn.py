"""`long-poll-hypercorn`: long polling on Starlette and hypercorn, over HTTP/1.1 or HTTP/2.

The application is that of `long-poll-starlette` (`servers/kit/starlette_polls.py`).
"""

from __future__ import annotations

from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import CAPABILITIES, Subject


async def serve(server: Server) -> None:
    """Serve long polls until stopped."""
    from rtbench.servers.kit import hypercorn_server, starlette_polls

    hub = server.hub(poll_answer.Enveloped())
    await hypercorn_server.run(server, hub, starlette_polls.long(hub, server.options.poll_timeout_s))


SUBJECT = Subject(
    name="long-poll-hypercorn",
    transport="long-poll",
    stack="hypercorn",
    technique="per-connection",
    serve=serve,
    capabilities=CAPABILITIES | {"http2"},
    packages=("hypercorn", "starlette"),
    requires=python.needs("starlette", "hypercorn"),
    description="long polling on Starlette under hypercorn; HTTP/1.1 or HTTP/2",
)
