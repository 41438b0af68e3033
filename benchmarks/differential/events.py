"""Event streams through our parser, npm's eventsource-parser (Node) and the EventSource of a browser (Chromium).

Each gives a stream's events as [type, data, last event id]; they must be equal. Called by `__main__` and the tests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fuzz.harness import drive, splits
from rtbench.transports.sse import BOM, EventStreamParser, ServerSentEvent

HERE = Path(__file__).parent
PACKAGE = "eventsource-parser@4.1.3"
BATCH = 1000
PATIENCE_S = 600
CHROMIUM = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip

Events = list[list[str]]


def ours(data: bytes) -> Events:
    """Our parser, byte by byte where the stream is short, else in splits."""
    events, fault, _ = drive(EventStreamParser(), next(splits(data)))
    assert not fault
    found = [event for event in events if isinstance(event, ServerSentEvent)]
    return [[event.type, event.data.decode(), event.last_event_id] for event in found]


def parser_of_npm(folder: Path) -> Path:
    """Install the package into `folder`; the path of its module. Raises CalledProcessError."""
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    command = ["npm", "install", "--prefix", str(folder), *quiet, PACKAGE]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    return folder / "node_modules" / "eventsource-parser" / "dist" / "index.js"


@contextmanager
def npm(module: Path) -> Iterator[Callable[[Sequence[bytes]], list[Events]]]:
    """`parse(batch)`: the events of each stream, from one Node process; streams come to it in pieces."""
    node = ["node", str(HERE / "parse.mjs"), str(module)]
    with subprocess.Popen(node, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def give(batch: Sequence[bytes]) -> None:
            for data in batch:
                *_, pieces = splits(data)
                line = json.dumps({"pieces": [base64.b64encode(piece).decode() for piece in pieces]})
                to.write(line.encode() + b"\n")
            to.flush()

        def parse(batch: Sequence[bytes]) -> list[Events]:
            giver = threading.Thread(target=give, args=(batch,))
            giver.start()
            found = [json.loads(back.readline()) for _ in batch]
            giver.join()
            return found

        try:
            yield parse
        finally:
            to.close()
            process.wait(PATIENCE_S)


def chromium_differs(data: bytes, theirs: Events) -> str:
    """The reason for a difference of Chromium's that is known, and for which `theirs` is what it predicts; else "".

    At the fourth byte its parser compares the first three with a BOM, and then goes to the fifth.
    """
    if data[:4] not in (BOM + b"\n", BOM + b"\r"):
        return ""
    return "Chromium does not see a line end right after a BOM" if ours(b"?" + data[4:]) == theirs else ""


def types_of(data: bytes) -> list[str]:
    """Every type that an event of the stream can have: the values of its event fields, however lines end."""
    lines = re.split(rb"\r\n|\r|\n", data.removeprefix(BOM))
    values = [line.partition(b":")[2].removeprefix(b" ") for line in lines if line.startswith(b"event")]
    return sorted({"message", *(value.decode("utf-8", "replace") for value in values)})


class _Server(asyncio.Protocol):
    """Answers `GET /NUMBER` with that stream in two chunks, anything else with a page."""

    def __init__(self, streams: dict[int, bytes]) -> None:
        self._streams = streams
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._held = (self._held + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1][1:]
            stream = self._streams.get(int(path) if path.isdigit() else -1)
            if stream is None:
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<!doctype html>"
                )
                continue
            half = len(stream) // 2
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (stream[:half], stream[half:]) if part)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            self._transport.write(head + chunks + b"0\r\n\r\n")


@contextmanager
def browser(driver: Any) -> Iterator[Callable[[Sequence[bytes]], list[Events]]]:
    """`parse(batch)`: the events of each stream, from the EventSource of a selenium driver's browser."""
    streams: dict[int, bytes] = {}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(
            loop.create_server(lambda: _Server(streams), "127.0.0.1", 0), loop
        ).result()
        driver.set_script_timeout(PATIENCE_S)
        driver.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/page")
        script = (HERE / "page.js").read_text()

        def parse(batch: Sequence[bytes]) -> list[Events]:
            streams.clear()
            streams.update(enumerate(batch))
            found: list[Events] = driver.execute_async_script(
                script, [[f"/{number}", types_of(data)] for number, data in streams.items()]
            )
            return found

        yield parse
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
