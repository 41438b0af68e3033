"""benchmarks/request_loop.c counts the answers that a server gave, and refuses any other than the one asked for."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rtbench.errors import SubjectError, UserError
from rtbench.subjects.registry import catalogue

ROOT = Path(__file__).parent.parent
REQUEST = b"GET /poll/fanout HTTP/1.1\r\nHost: here\r\n\r\n"
SAME = b'HTTP/1.1 304 Not Modified\r\nETag: "0"\r\n\r\n'
PATIENCE_S = 60


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return importlib.import_module("benchmarks.request_ceiling")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: apt-get install gcc")
    built = tmp_path_factory.mktemp("loop") / "request_loop"
    subprocess.run(
        [compiler, "-O2", "-Wall", "-Werror", str(ROOT / "benchmarks/request_loop.c"), "-o", built], check=True
    )
    return built


class Counting:
    """A server that answers each request in pieces, and counts the requests."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self.pieces, self.requests, self.port = pieces, 0, 0
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._converse, "127.0.0.1", 0) as listening:
            self.port = listening.sockets[0].getsockname()[1]
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._over.wait()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n") == REQUEST:
                self.requests += 1
                for piece in self.pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def serving() -> Iterator[Callable[..., Counting]]:
    running: list[Counting] = []

    def begin(*pieces: bytes) -> Counting:
        running.append(Counting(pieces))
        return running[-1]

    yield begin
    for server in running:
        server.stop()


def loop(binary: Path, port: int, connections: int = 3) -> subprocess.CompletedProcess[bytes]:
    words = [binary, str(connections), str(port), "304", "0", "0.1"]
    return subprocess.run(words, input=REQUEST, capture_output=True, timeout=PATIENCE_S, check=False)


@pytest.mark.slow
def test_the_loop_counts_answers_whole_and_in_pieces(binary: Path, serving: Callable[..., Counting]) -> None:
    for pieces in ((SAME,), (SAME[:20], SAME[20:-3], SAME[-3:])):
        server = serving(*pieces)
        ran = loop(binary, server.port)
        opened, counted = ran.stdout.split(b"\n")[:2]
        assert (ran.returncode, ran.stderr, opened) == (0, b"", b"open")
        answered, cpu_ns, wall_ns = map(int, counted.split())
        # Each connection may have one more under way, before the window and at its end.
        assert 0 < answered <= server.requests
        assert 0 < cpu_ns <= wall_ns and wall_ns >= 10**8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
            b"expected HTTP/1.1 304 without a body, not HTTP/1.1 200 OK",
        ),
        (SAME + SAME, b"expected HTTP/1.1 304 without a body"),
    ],
    ids=["another status", "two answers"],
)
def test_the_loop_refuses_any_other_answer(
    binary: Path, serving: Callable[..., Counting], answer: bytes, words: bytes
) -> None:
    ran = loop(binary, serving(answer).port)
    assert ran.returncode == 1 and words in ran.stderr


def test_stacks_are_those_with_a_short_poll(script: ModuleType) -> None:
    assert list(script.subjects(["aiohttp"])) == ["aiohttp"]
    polled = {one.stack for one in catalogue().values() if one.transport == "short-poll"}
    assert set(script.subjects([])) == {s.stack for s in script.subjects([]).values()} <= polled
    with pytest.raises(UserError, match=r"no stack called 'pigeon' has a short poll: choose one of .*aiohttp"):
        script.subjects(["pigeon"])


def test_the_request_is_that_of_a_client_that_has_everything(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def answering(*statuses: int) -> None:
        left = iter(statuses)

        def ask(host: str, port: int, text: bytes) -> object:
            asked.append(text)
            return script.Response(next(left), {"etag": '"7"'})

        monkeypatch.setattr(script, "ask", ask)

    answering(200, 304)
    request = script.known_request("http://127.0.0.1:9", "/poll/fanout", {})
    assert request == asked[-1] and b'If-None-Match: "7"\r\n' in request and len(asked) == 2
    answering(304)
    assert b"If-None-Match" not in script.known_request("http://127.0.0.1:9", "/poll/fanout", {})
    answering(200, 200)
    with pytest.raises(SubjectError, match="expected 304 to a poll with nothing new, not 200"):
        script.known_request("http://127.0.0.1:9", "/poll/fanout", {})


def test_results_have_ratios_by_block_and_the_clients_limit(script: ModuleType) -> None:
    rows = [script.Ceiling(10_000.0, 95_000.0, 0.99, 0.1), script.Ceiling(20_000.0, 47_500.0, 0.99, 0.1)]
    twice = [script.Ceiling(2 * row.hz, row.request_ns / 2, 0.9, 0.8) for row in rows]
    lines = script.results({"one": rows, "two": twice})
    assert lines[1].startswith("two: 28,284 requests/s, 33.59 us of server CPU each")
    assert lines[2].startswith("  no ceiling: the server was idle at times; two can do more")
    assert lines[3] == "two beside one: requests/s 2x [2, 2], CPU of a request 0.5x [0.5, 0.5], 2 blocks"
