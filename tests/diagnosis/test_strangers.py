"""Servers that are not ours, each as its own documentation writes it: what `rtbench check` has to say of them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rtbench.diagnosis._evidence import Limits
from rtbench.diagnosis.diagnose import diagnose

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "strangers"
LIMITS = Limits(seconds=4.0, least_s=3.0)
Serve = Callable[[str], int]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(name)`: the port of strangers/NAME.py. It listens before the program runs, so nothing waits for it."""
    with ExitStack() as stack:

        def start(name: str) -> int:
            door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            words = [sys.executable, str(HERE / f"{name}.py"), str(door.fileno())]
            log = stack.enter_context((tmp_path / "log").open("w"))
            child = subprocess.Popen(words, pass_fds=[door.fileno()], stderr=log)
            stack.callback(child.wait, 30)
            stack.callback(child.kill)
            return int(door.getsockname()[1])

        yield start


def test_the_clock_of_sse_starlette_has_no_ids(serve: Serve) -> None:
    found = diagnose(f"http://127.0.0.1:{serve('starlette_clock')}/clock", LIMITS)
    assert {finding.kind for finding in found.findings if finding.severity != "info"} == {"no-resume"}
    assert {"headers", "wrong-content-type", "compression-stall"} <= set(found.fine)


def test_the_clock_of_websockets_is_sound(serve: Serve) -> None:
    found = diagnose(f"ws://127.0.0.1:{serve('websockets_clock')}/", LIMITS)
    assert found.sound, found.findings
    assert {finding.kind for finding in found.findings} == {"compression-stall", "other-origins"}
    assert {"no-pong", "close-handshake"} <= set(found.fine)
