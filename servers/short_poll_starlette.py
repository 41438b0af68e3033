"""`short-poll-starlette`: polling on Starlette under uvicorn, answered at once with the new messages, or with 304.

uvicorn writes the head of an answer and its body apart: two segments (`tcp_segments_per_message`).
"""

from __future__ import annotations

from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find


async def serve(server: Server) -> None:
    """Serve short polls until stopped."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from rtbench.servers.kit import starlette_app, uvicorn_server

    hub = server.hub(poll_answer.Enveloped())

    async def poll(request: Request) -> Response:
        channel = starlette_app.pick(hub, request, request.path_params["stream"])
        return starlette_app.reply(poll_answer.short(hub, channel, request.query_params, request.headers))

    await uvicorn_server.run(server, hub, [Route(find("short-poll").prefix + "/{stream}", poll)])


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
