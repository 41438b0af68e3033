"""A client of HTTP/1.0, such as nginx as shipped: it knows no chunks, the stream ends with the connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import server_of
from rtbench.scenario.model import Scenario
from rtbench.servers.kit import sse_encoder
from rtbench.subjects.registry import find

from .conftest import FakeTransport

EVENT = sse_encoder.event(7, b'{"a":1}')
SCENARIO = Scenario(stream=("events",), subscribers=1)
SUBJECTS = ("sse-aiohttp", "sse-aiohttp-simple", "sse-aiohttp-sse")
"""Not uvicorn: it answers HTTP/1.0 in chunks, which nginx and others understand all the same."""


@pytest.mark.parametrize(
    "data", [EVENT, sse_encoder.COMMENT, sse_encoder.event(8, b"x" * 70_000), sse_encoder.event(9, b"\\r\\n")]
)
def test_the_frame_of_a_chunk_is_taken_off(data: bytes) -> None:
    below = FakeTransport()
    sse_encoder.Unchunked(below).write(sse_encoder.chunk(data))
    assert below.writes == [data]


def test_everything_else_is_the_connection_s() -> None:
    below = FakeTransport()
    above = sse_encoder.Unchunked(below)
    below.held, below.socket = 12, object()
    assert above.get_write_buffer_size() == 12
    assert above.get_extra_info("socket") is below.socket
    assert not above.is_closing()
    above.abort()
    assert below.aborted
    assert above.is_closing()


@pytest.fixture(params=SUBJECTS)
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Where a server listens whose stream `events` is over: it is had whole, and then it ends."""
    what, remedy = find(request.param).missing()
    if what:
        pytest.skip(f"{request.param} needs {what}: {remedy}")
    plan = SCENARIO.make_workload()
    with PublisherProcess(plan, SCENARIO, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready()
        publisher.play(SCENARIO.stream, time.monotonic_ns() - 60 * 10**9)
        log = tmp_path / "server.log"
        with server_of(find(request.param), SCENARIO, publisher.socket_path, tmp_path, (), log) as server:
            yield int(server.ready().rpartition(":")[2])


def answer(port: int, version: str, more: str = "") -> tuple[str, bytes]:
    """Head and body of GET /sse/events, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(f"GET /sse/events?since=0 {version}\r\nHost: x\r\n{more}\r\n".encode())
        data = b""
        while part := link.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode().lower(), body


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "Connection: keep-alive\r\n", "Connection: close\r\n"])
def test_http_1_0_gets_a_body_that_ends_with_the_connection(port: int, more: str) -> None:
    head, body = answer(port, "HTTP/1.0", more)
    assert head.startswith("http/1.0 200")
    assert "transfer-encoding" not in head
    assert "content-length" not in head
    assert body.startswith(b"id: 1\ndata: ")
    assert body.count(b"\ndata: ") == 101  # a hundred events and the notice of their end
    assert body.endswith(b'event: end\ndata: {"last":100}\n\n')


@pytest.mark.slow
def test_http_1_1_gets_the_same_in_chunks(port: int) -> None:
    _, whole = answer(port, "HTTP/1.0")
    head, body = answer(port, "HTTP/1.1", "Connection: close\r\n")
    assert "transfer-encoding: chunked" in head
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]
    assert found == whole
