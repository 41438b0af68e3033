"""hypercorn's connections end without an exception in the log, however they are lost."""

from __future__ import annotations

import asyncio
import errno
import socket
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("hypercorn", reason="hypercorn is missing: make setup")


class Writer:
    """A stream writer whose connection was lost with `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        place = ("127.0.0.1", 1)
        self._socket = SimpleNamespace(family=socket.AF_INET, getpeername=lambda: place, getsockname=lambda: place)

    def get_extra_info(self, name: str) -> Any:
        return self._socket if name == "socket" else None

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [TimeoutError(errno.ETIMEDOUT, "Connection timed out"), ConnectionResetError(errno.ECONNRESET, "reset")]
)
def test_a_lost_connection_is_no_exception(error: OSError) -> None:
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.asyncio.worker_context import WorkerContext
    from hypercorn.config import Config

    from rtbench.servers.kit.hypercorn_server import until_lost

    async def app(*_: Any) -> None:
        raise AssertionError("nothing was asked")

    async def lost() -> None:
        reader = asyncio.StreamReader()
        reader.set_exception(error)
        writer: Any = Writer(error)
        config = Config()
        config.keep_alive_timeout = 0.01
        whole: Any = app
        await until_lost(TCPServer(whole, asyncio.get_running_loop(), config, WorkerContext(None), {}, reader, writer))

    asyncio.run(lost())
