"""Autobahn's cases against our client codec and every WebSocket stack: prints the table of docs/explanation/suites.md.

    .venv/bin/python benchmarks/autobahn.py [STACK ...]          (make autobahn)

The cases are those of the Autobahn test suite, run by kosoku (PyPI, extra `test`). Stacks get an echo handler with the
settings of our subjects: no compression, messages up to 1 MiB. Left out: 9.* (messages of up to 16 MiB, over that
limit), 12.* and 13.* (compression, which is off). `codec` is `rtbench.transports.websocket`, the load generator's and
`rtbench verify`'s client. hyperlane has no echo: its subject frames and reads itself, and takes no messages back.
A passed case is one whose messages and whose closing are both as required or as allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rtbench.errors import RtbenchError, UserError, one_of
from rtbench.transports import Closed, Message, ProtocolError
from rtbench.transports.websocket import FrameError, FrameSplitter, WebSocketClient

HERE = Path(__file__).parent
SERVERS = HERE.parent / "servers"
EXCLUDED = ("9.*", "12.*", "13.*")
MOST_BYTES = 2**20
PATIENCE_S = 60.0
TEXT, BINARY = 0x1, 0x2
MANY = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of one case."""

    case: str
    passed: bool
    behavior: str
    closing: str
    why: str


def kosoku() -> Any:
    """The runner. Raises UserError where it is missing."""
    try:
        import kosoku as module
    except ImportError as error:
        raise UserError("kosoku is missing", "pip install kosoku") from error
    return module


def verdicts(results: Sequence[Any]) -> list[Verdict]:
    """A runner's results as values."""
    return [
        Verdict(
            one.case_id,
            one.passed,
            one.behavior.value,
            one.behavior_close.value,
            one.result if one.behavior.value in ("FAILED", "ERROR") else one.result_close,
        )
        for one in results
    ]


# Our codec, as the client


def masked(opcode: int, data: bytes) -> bytes:
    """A client's frame (RFC 6455 §5.3)."""
    size = len(data)
    length = (
        bytes([0x80 | size])
        if size < 126
        else b"\xfe" + size.to_bytes(2)
        if size < 65536
        else b"\xff" + size.to_bytes(8)
    )
    key = os.urandom(4)
    mask = (key * (size // 4 + 1))[:size]
    return bytes([0x80 | opcode]) + length + key + (int.from_bytes(data) ^ int.from_bytes(mask)).to_bytes(size)


class Kinds:
    """The opcode of each complete message, which the codec does not tell: an echo has to answer in kind."""

    def __init__(self) -> None:
        self._frames = FrameSplitter()
        self._current = TEXT
        self._waiting: list[int] = []

    def feed(self, data: bytes) -> None:
        try:
            frames = self._frames.feed(data)
        except FrameError as error:
            frames = list(error.events)
        for frame in frames:
            opcode = frame[0] & 0x0F
            if opcode in (TEXT, BINARY):
                self._current = opcode
            if opcode <= BINARY and frame[0] & 0x80:
                self._waiting.append(self._current)

    def next(self) -> int:
        return self._waiting.pop(0) if self._waiting else TEXT


async def converse(host: str, port: int, path: str) -> list[bytes]:
    """One connection of the codec, which sends every message back. Returns the messages."""
    client = WebSocketClient(f"{host}:{port}", path, read=lambda text: Message(-1, text))
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(client.open())
    kinds, head, opened, over = Kinds(), b"", False, False
    messages: list[bytes] = []
    try:
        while data := await reader.read(65536):
            if over:
                continue  # the server closes the connection (§7.1.1)
            if opened:
                kinds.feed(data)
            else:
                head += data
                _, end, rest = head.partition(b"\r\n\r\n")
                if end:
                    opened = True
                    kinds.feed(rest)
            owed = b""
            try:
                events = client.feed(data)
                owed = client.to_send()
            except ProtocolError as error:
                events, over = list(error.events), True
            found = [event.payload for event in events if isinstance(event, Message)]
            messages += found
            writer.write(owed)
            if not any(isinstance(event, Closed) for event in events):
                for payload in found:
                    writer.write(masked(kinds.next(), payload))
            else:
                over = True
            writer.write(client.to_send())  # the close frame of a fault, after what came before it
    except ConnectionError:
        pass  # the case ends so
    finally:
        client.eof()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return messages


async def of_codec(cases: Sequence[str] | None = None) -> list[Verdict]:
    """Run the cases (None: all but EXCLUDED) against `rtbench.transports.websocket`."""
    runner = kosoku()
    async with runner.run_fuzzingserver(cases, list(EXCLUDED), host="127.0.0.1", port=0) as server:
        host, port = server.address, server.port
        (count,) = await converse(host, port, "/getCaseCount")
        for number in range(1, int(count) + 1):
            await asyncio.wait_for(converse(host, port, f"/runCase?case={number}&agent=rtbench"), PATIENCE_S)
        await converse(host, port, "/updateReports?agent=rtbench")
        try:
            return verdicts(await asyncio.wait_for(server.get_result(), PATIENCE_S))
        except runner.FailureError as failure:
            return verdicts(failure.results)


# The stacks, as the server

Echo = Callable[[], AbstractAsyncContextManager[int]]
"""Serves an echo while it is entered; gives its port."""


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=128)


@asynccontextmanager
async def aiohttp() -> AsyncIterator[int]:
    from aiohttp import WSMsgType, web

    from rtbench.servers.websocket_aiohttp import socket_response

    async def echo(request: web.Request) -> web.StreamResponse:
        socket = socket_response()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    listener = _listener()
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def uvicorn() -> AsyncIterator[int]:
    import uvicorn as library
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    async def echo(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            content = {"bytes": message["bytes"]} if text is None else {"text": text}
            await send({"type": "websocket.send", **content})

    config = library.Config(
        echo, ws=WebSocketsSansIOProtocol, http="httptools", lifespan="off", log_config=None, access_log=False,
        ws_per_message_deflate=False, ws_ping_interval=None, ws_max_size=MOST_BYTES, server_header=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server, listener = library.Server(config), _listener()
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def websockets() -> AsyncIterator[int]:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosedError

    async def echo(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosedError):
            async for message in connection:
                await connection.send(message)

    listener = _listener()
    async with serve(
        echo,
        sock=listener,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        max_size=MOST_BYTES,
        server_header=None,
    ):
        yield listener.getsockname()[1]


@asynccontextmanager
async def picows() -> AsyncIterator[int]:
    from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Echoing(WSListener):
        """picows gives frames: messages and their UTF-8 are its user's, as in its documentation."""

        def __init__(self) -> None:
            super().__init__()
            self._kind: Any = None
            self._held = bytearray()

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:  # RFC 6455 §5.2: no extension was agreed on
                transport.send_close(WSCloseCode.PROTOCOL_ERROR)
                transport.disconnect()
            elif frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(WSCloseCode.OK)
                transport.disconnect()
            elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
                self._data(transport, frame)

        def _data(self, transport: WSTransport, frame: WSFrame) -> None:
            begins = frame.msg_type != WSMsgType.CONTINUATION
            if begins == (self._kind is not None):
                transport.send_close(WSCloseCode.PROTOCOL_ERROR)
                transport.disconnect()
                return
            self._kind = frame.msg_type if begins else self._kind
            self._held += frame.get_payload_as_memoryview()
            if not frame.fin:
                return
            kind, data = self._kind, bytes(self._held)
            self._kind, self._held = None, bytearray()
            if kind == WSMsgType.TEXT:
                try:
                    data.decode()
                except UnicodeDecodeError:
                    transport.send_close(WSCloseCode.INVALID_TEXT)
                    transport.disconnect()
                    return
            transport.send(kind, data)

    listener = _listener()
    server = await ws_create_server(lambda _: Echoing(), sock=listener, max_frame_size=MOST_BYTES)
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def go() -> AsyncIterator[int]:
    program = shutil.which("go")
    if program is None:
        raise UserError("go is missing", "apt-get install golang-go")
    with tempfile.TemporaryDirectory(prefix="rtbench-echo-") as name:
        folder = Path(name)
        for file in (SERVERS / "go" / "go.mod", SERVERS / "go" / "go.sum", HERE / "echo" / "echo.go"):
            shutil.copy(file, folder)
        command = [program, "build", "-mod=mod", "-buildvcs=false", "-o", "echo", "echo.go"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise UserError(f"the Go echo does not build: {done.stderr.strip().splitlines()[-1]}", "make go")
        async with _program(str(folder / "echo")) as port:
            yield port


@asynccontextmanager
async def node() -> AsyncIterator[int]:
    program, module = shutil.which("node"), SERVERS / "node" / "node_modules" / "ws" / "wrapper.mjs"
    if program is None or not module.exists():
        raise UserError("Node or its ws is missing", "make node")
    async with _program(program, str(HERE / "echo" / "echo.mjs"), module.resolve().as_uri()) as port:
        yield port


@asynccontextmanager
async def _program(*command: str) -> AsyncIterator[int]:
    """A program that prints its port."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        yield int(await asyncio.wait_for(child.stdout.readline(), PATIENCE_S))
    finally:
        child.kill()
        await child.wait()


STACKS: dict[str, Echo] = {
    "aiohttp": aiohttp, "uvicorn (websockets)": uvicorn, "websockets": websockets, "picows": picows,
    "Go (coder/websocket)": go, "Node (ws)": node,
}  # fmt: skip
CODEC = "rtbench's client codec"


async def of_stack(echo: Echo, cases: Sequence[str] | None = None) -> list[Verdict]:
    """Run the cases (None: all but EXCLUDED) against a stack's echo."""
    runner = kosoku()
    async with echo() as port:
        try:
            return verdicts(
                await runner.run_fuzzingclient(f"ws://127.0.0.1:{port}", cases, list(EXCLUDED), concurrency=4)
            )
        except runner.FailureError as failure:
            return verdicts(failure.results)


def natural(case: str) -> tuple[int, ...]:
    """6.4.10 after 6.4.9."""
    return tuple(map(int, re.findall(r"\d+", case)))


def short(failed: Sequence[str]) -> str:
    """The cases in their order; of a section with many failures only how many."""
    found = []
    for section, group in groupby(sorted(failed, key=natural), key=lambda case: case.partition(".")[0]):
        cases = list(group)
        found.append(f"{len(cases)} of {section}.*" if len(cases) > MANY else ", ".join(cases))
    return ", ".join(found) or "none"


def row(name: str, found: Sequence[Verdict]) -> str:
    """A row of the table."""
    count = Counter(one.behavior for one in found if one.passed)
    failed = [one.case for one in found if not one.passed]
    kinds = [f"{count[kind]}" for kind in ("OK", "NON-STRICT", "INFORMATIONAL")]
    cells = [name, f"{sum(one.passed for one in found)} of {len(found)}", *kinds, short(failed)]
    return f"| {' | '.join(cells)} |"


async def every(names: Sequence[str], details: bool) -> None:
    print("| what | passed | as required | allowed, not strict | informational | failed |\n|---|---|---|---|---|---|")
    for name in names:
        try:
            found = await (of_codec() if name == CODEC else of_stack(STACKS[name]))
        except UserError as error:
            print(f"| {name} | not run: {error} | | | | |", flush=True)
            continue
        print(row(name, found), flush=True)
        if details:
            for one in found:
                if not one.passed:
                    print(
                        json.dumps({"case": one.case, "is": [one.behavior, one.closing], "why": one.why}),
                        file=sys.stderr,
                    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stacks", nargs="*", metavar="STACK")
    parser.add_argument("--details", action="store_true", help="each failed case with its reason, on standard error")
    asked = parser.parse_args()
    known = [CODEC, *STACKS]
    for name in asked.stacks:
        if name not in known:
            raise UserError(f"no stack is called {name!r}", one_of(name, known))
    kosoku()
    logging.disable()  # a stack logs each bad frame
    asyncio.run(every(asked.stacks or known, asked.details))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtbenchError as error:
        sys.stderr.write(f"autobahn: {error}\n")
        sys.exit(2)
