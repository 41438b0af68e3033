"""`short-poll-starlette`: polling on Starlette under uvicorn, answered at once with the new messages, or with 304.

uvicorn writes the head of an answer and its body apart: two segments (`tcp_segments_per_message`).
"""

from __future__ import annotations

from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import Subject


async def serve(server: Server) -> None:
    """Serve short polls until stopped."""
    from rtbench.servers.kit import starlette_polls, uvicorn_server

    hub = server.hub(poll_answer.Enveloped())
    await uvicorn_server.run(server, hub, starlette_polls.short(hub))


SUBJECT = Subject(
    name="short-poll-starlette",
    transport="short-poll",
    stack="starlette",
    technique="per-connection",
    serve=serve,
    packages=("starlette", "uvicorn"),
    requires=python.needs("starlette", "uvicorn"),
    description="short polling on Starlette under uvicorn; a Response for each poll; ETag and 304",
)
