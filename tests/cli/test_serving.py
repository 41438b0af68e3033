"""`rtbench serve` and `rtbench demo`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rtbench
from rtbench import streams as stream_catalogue
from rtbench.cli import serving
from rtbench.errors import SubjectError
from rtbench.scenario.model import Scenario
from rtbench.subjects import registry as subject_catalogue

from .conftest import Call, refused

PATIENCE_S = 60


class FakeProcess:
    """A publisher or a server that is there at once."""

    started: list[FakeProcess]
    code: int | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named
        self.socket_path = Path("publisher.sock")
        self.played: tuple[str, ...] = ()
        self.posted: Any = None
        self.stopped = False
        type(self).started.append(self)

    def ready(self) -> str:
        return "http://127.0.0.1:8000"

    def play(self, streams: tuple[str, ...]) -> None:
        self.played = streams

    def post_to(self, url: str, post: Any) -> None:
        self.posted = (url, post)

    def exited(self) -> int | None:
        return self.code

    def died(self) -> SubjectError:
        return SubjectError("the server ended early (SIGKILL)", "it said: oh")

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[FakeProcess]:
    """Fake processes for `serve`, and a Ctrl-C as soon as it waits."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    FakeProcess.started = []
    monkeypatch.setattr(serving, "PublisherProcess", FakeProcess)
    monkeypatch.setattr(serving, "server_of", FakeProcess)
    monkeypatch.setattr(serving, "time", SimpleNamespace(time=lambda: 1234.5, sleep=sleep))
    return FakeProcess.started


@pytest.mark.parametrize(("words", "epoch_s"), [((), 1234), (("--set", "epoch_s=99"), 99)])
def test_serve_plays_every_stream_from_now(
    call: Call, fakes: list[FakeProcess], words: tuple[str, ...], epoch_s: int
) -> None:
    ran = call("serve", "sse-aiohttp", "--port", "8000", "--host", "::1", "--seed", "5", *words)
    assert ran == (0, "listening on http://127.0.0.1:8000\n", "")
    publisher, server = fakes
    assert publisher.played == tuple(name for name in stream_catalogue.catalogue() if name != "replay")
    scenario = publisher.arguments[1]
    assert isinstance(scenario, Scenario)
    assert (scenario.seed, scenario.epoch_s) == (5, epoch_s)
    assert (server.arguments[0], server.named) == (subject_catalogue.find("sse-aiohttp"), {"host": "::1", "port": 8000})
    assert server.arguments[2] == publisher.socket_path
    assert publisher.posted is None
    assert publisher.stopped
    assert server.stopped


def test_serve_plays_a_trace_and_real_figures_when_asked(call: Call, fakes: list[FakeProcess], tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"offset_ns": 0, "payload": "x"}')
    assert call("serve", "sse-aiohttp", "--real", "--set", f"workload.trace={path}").code == 0
    publisher, _ = fakes
    assert publisher.played == tuple(stream_catalogue.catalogue())
    pace = publisher.arguments[0].pace
    assert (pace.real, pace.trace) == (True, str(path))


def test_serve_posts_into_a_program(call: Call, fakes: list[FakeProcess]) -> None:
    assert call("serve", "sse-nchan").code == 0
    publisher, server = fakes
    assert publisher.posted == (server.ready(), subject_catalogue.find("sse-nchan").publish)
    assert "stocks" in publisher.played


def test_serve_a_file_of_the_users_own(call: Call, fakes: list[FakeProcess], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from rtbench.subjects import Subject\n"
        "async def serve(server): ...\n"
        "SUBJECT = Subject('sse-mine', 'sse', 'mine', serve=serve)\n"
    )
    assert call("serve", str(path)).code == 0
    served = fakes[1].arguments[0]
    assert (served.name, served.module) == ("sse-mine", str(path))
    path.write_text("SUBJECT = 1\n")
    assert "does not define SUBJECT" in refused(call("serve", str(path)))


def test_serve_that_gets_a_signal_while_it_starts(
    call: Call, fakes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready(_: FakeProcess) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeProcess, "ready", ready)
    assert call("serve", "sse-aiohttp") == (0, "", "")
    assert all(process.stopped for process in fakes)


def test_serve_ends_when_a_process_does(call: Call, fakes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProcess, "code", -9)
    ran = call("serve", "sse-aiohttp")
    assert (ran.code, ran.out) == (2, "listening on http://127.0.0.1:8000\n")
    assert ran.err == "rtbench: the server ended early (SIGKILL): it said: oh\n"
    assert all(process.stopped for process in fakes)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("sse-somebodys",), "unknown subject 'sse-somebodys'"), (("sse-aiohttp", "--set", "port=5"), "unknown key port")],
)
def test_serve_what_cannot_be(call: Call, words: tuple[str, ...], says: str) -> None:
    assert says in refused(call("serve", *words))


def test_demo_says_what_to_open(call: Call, fakes: list[FakeProcess]) -> None:
    ran = call("demo", "--port", "8000", "--seed", "5")
    first, *rest = ran.out.splitlines()
    assert (ran.code, first, ran.err) == (0, "listening on http://127.0.0.1:8000", "")
    assert any("open http://127.0.0.1:8000/pages/race.html" in line for line in rest)
    publisher, server = fakes
    assert publisher.played == tuple(name for name in stream_catalogue.catalogue() if name != "replay")
    served = server.arguments[0]
    assert (served.module, served.serve is not None) == (serving.DEMO, True)
    assert server.named == {"host": "127.0.0.1", "port": 8000}
    assert server.stopped


def test_demo_sends_to_pages_that_there_are() -> None:
    folder = Path(rtbench.__file__).parent / "servers" / "pages"
    assert [path for path, _ in serving.DEMO_PAGES if path != "/" and not (folder / Path(path).name).is_file()] == []


def serve_process(*words: str, what: tuple[str, ...] = ("serve", "sse-aiohttp")) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rtbench.cli", *what, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_ends_cleanly(number: signal.Signals) -> None:
    with serve_process("--seed", "3") as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found
        with urllib.request.urlopen(f"{found[1]}/plan/stocks?since=0", timeout=PATIENCE_S) as answer:
            assert json.load(answer)["seed"] == 3
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
        assert process.wait(PATIENCE_S) == 0
    assert len(children) == 3  # publisher, server, and the cleaner
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_answers_and_ends_cleanly(number: signal.Signals) -> None:
    with serve_process(what=("demo",)) as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found
        with (
            urllib.request.urlopen(f"{found[1]}/", timeout=PATIENCE_S) as page,
            urllib.request.urlopen(f"{found[1]}/sse/fanout", timeout=PATIENCE_S) as stream,
        ):
            assert b"/pages/race.html" in page.read()
            assert stream.readline().startswith(b"id: ")
            process.send_signal(number)
            assert process.stderr.read() == ""
            assert process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_serve_takes_messages_where_chat_has_senders() -> None:
    """As docs/howto/replay.md has it: curl posts a line, everyone hears it."""
    command = [sys.executable, "-m", "rtbench.cli", "serve", "sse-aiohttp", "--set", "chat.senders=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"{url}/sse/chat", timeout=60) as heard:
                said = b'{"type":"chat","user":"User1","message":"hello"}'
                with urllib.request.urlopen(f"{url}/send/chat", said, timeout=60) as answer:
                    assert answer.status == 202
                lines = iter(heard.readline, b"")
                assert next(line for line in lines if line.startswith(b"id:")) == b"id: 1\n"
                assert next(lines) == b"data: " + said + b"\n"
        finally:
            process.terminate()
