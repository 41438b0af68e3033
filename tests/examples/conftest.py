"""Servers that play a trace which ends, and can be killed and started again; and a browser."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import WorkloadTable

PATIENCE_S = 60
MESSAGES = 150
PAYLOADS = [json.dumps({"number": n, "text": f"ü{n}"}, ensure_ascii=False) for n in range(1, MESSAGES + 1)]
PLACES = {
    "sse": ("sse-aiohttp", "http", "sse"),
    "websocket": ("websocket-websockets", "ws", "ws"),
    "short-poll": ("short-poll-aiohttp", "http", "poll"),
    "long-poll": ("long-poll-aiohttp", "http", "long-poll"),
}


class Server:
    """A publisher that plays a trace, and a server in front of it that can be killed and started again."""

    def __init__(self, transport: str, folder: Path, stack: contextlib.ExitStack) -> None:
        subject, scheme, prefix = PLACES[transport]
        trace = folder / "trace.jsonl"
        lines = [json.dumps({"offset_ns": n * 20_000_000, "payload": p}) for n, p in enumerate(PAYLOADS)]
        trace.write_text("\n".join(lines) + "\n")
        self.scenario = Scenario(stream=("replay",), workload=WorkloadTable(trace=str(trace)))
        self.subject, self.folder, self.stack = subject, folder, stack
        self.publisher = stack.enter_context(
            PublisherProcess(self.scenario.make_workload(), self.scenario, folder, (), folder / "publisher.log")
        )
        self.publisher.ready()
        self.server = self.start()
        self.home = self.server.url
        self.url = f"{self.home.replace('http', scheme)}/{prefix}/replay"

    def start(self, port: int = 0) -> ServerProcess:
        log = self.folder / "server.log"
        server: ServerProcess = self.stack.enter_context(
            ServerProcess(self.subject, self.scenario, self.publisher.socket_path, (), log, port=port)
        )
        server.ready()
        return server

    def restart(self) -> None:
        port = int(self.server.url.rpartition(":")[2])
        self.server.kill()
        self.server.stop()
        self.server = self.start(port)

    def play(self) -> None:
        self.publisher.play(["replay"], time.monotonic_ns())


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as entered:
        yield entered


@pytest.fixture
def serve(tmp_path: Path, stack: contextlib.ExitStack) -> Callable[[str], Server]:
    """`serve(transport)`: a server of it whose stream has not begun."""
    return lambda transport: Server(transport, tmp_path, stack)


@pytest.fixture
def wanted() -> list[list[Any]]:
    """What a correct client has in the end: [id, value of the payload], in order, once."""
    return [[n, json.loads(payload)] for n, payload in enumerate(PAYLOADS, start=1)]


@pytest.fixture(scope="session")
def chromium(chromium_with: Callable[..., Any]) -> Iterator[Any]:
    """A headless Chromium's driver. Skips where it is missing."""
    with chromium_with(
        ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    ) as it:
        yield it
