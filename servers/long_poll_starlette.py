"""`long-poll-starlette`: long polling on Starlette under uvicorn: a request waits for a message, or its time is up.

ASGI does not cancel a handler when its client leaves: such a request waits on until the next message or its time.
uvicorn writes the head of an answer and its body apart: two segments (`tcp_segments_per_message`).
"""

from __future__ import annotations

from rtbench.servers.kit import poll_answer
from rtbench.servers.kit.app import Server
from rtbench.servers.stacks import python
from rtbench.subjects import Subject
from rtbench.transports.catalogue import find


async def serve(server: Server) -> None:
    """Serve long polls until stopped."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from rtbench.servers.kit import starlette_app, uvicorn_server

    hub = server.hub(poll_answer.Enveloped())
    default_s = server.options.poll_timeout_s

    async def poll(request: Request) -> Response:
        channel = starlette_app.pick(hub, request, request.path_params["stream"])
        found = await poll_answer.wait(hub, channel, request.query_params, request.headers, default_s)
        return starlette_app.reply(found)

    await uvicorn_server.run(server, hub, [Route(find("long-poll").prefix + "/{stream}", poll)])


SUBJECT = Subject(
    name="long-poll-starlette",
    transport="long-poll",
    stack="starlette",
    technique="per-connection",
    serve=serve,
    packages=("starlette", "uvicorn"),
    requires=python.needs("starlette", "uvicorn"),
    description="long polling on Starlette under uvicorn; a Response for each poll",
)
