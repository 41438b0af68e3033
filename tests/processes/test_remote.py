"""A server at a URL: it is there or it is not, and nothing of it is known."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from rtbench.errors import UserError
from rtbench.processes.remote import RemoteServer
from rtbench.subjects import Subject


@pytest.mark.parametrize("scheme", ["http", "ws", "tcp"])
def test_a_remote_server_is_there_or_it_is_not(start: Any, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        url = f"{scheme}://127.0.0.1:{there.getsockname()[1]}"
        server = start(Subject("x", "sse", "x", url=f"{url}/some/path?x=1"))
        assert isinstance(server, RemoteServer)
        assert server.ready() == url
    with pytest.raises(UserError, match=rf"cannot connect to {url} .*start the server first"):
        server.ready()


def test_nothing_of_a_remote_server_is_known_and_nothing_is_done_to_it() -> None:
    with RemoteServer("https://example.test/x") as server:
        assert (server.url, server.pid, server.cores, server.exited()) == ("https://example.test", 0, (), None)
        readings = [server.cpu_ns(), server.memory_bytes(), server.resident_bytes(), server.run_delay_ns()]
        assert readings == [-1] * 4
        assert server.tidy() == "not signalled: a foreign server"
        server.kill()
        server.stop()
        assert server.stopped_in_s == 0.0
        assert str(server.died()).endswith(" ended")
