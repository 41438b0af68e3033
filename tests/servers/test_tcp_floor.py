"""The floor: plain TCP, a line a message; what a request line may ask, and what it is answered."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import server_of
from rtbench.scenario.loading import build
from rtbench.servers.tcp_floor import Lines
from rtbench.subjects.registry import find

SCENARIO = build(
    {
        "stream": ["fanout", "stocks"],
        "subscribers": 2,
        "workload": {"rate_hz": 50},
        "server": {"heartbeat_s": 3600},  # a heartbeat is a line, too
    },
    "here",
)


def test_a_message_is_its_envelope_on_a_line() -> None:
    assert Lines().message(7, b'{"a":1}') == b'{"id":7,"data":{"a":1}}\n'
    assert Lines().message(8, b"text") == b'{"id":8,"data":"text"}\n'
    assert json.loads(Lines().control("gap", {"from": 1, "to": 2})) == {"control": "gap", "from": 1, "to": 2}
    assert Lines.heartbeat == b"\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder: Path = tmp_path_factory.mktemp("floor")
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(
            PublisherProcess(SCENARIO.make_workload(), SCENARIO, folder, (), folder / "publisher.log")
        )
        publisher.ready()
        publisher.play(SCENARIO.stream)
        feed, log = publisher.socket_path, folder / "server.log"
        server = stack.enter_context(server_of(find("tcp-floor"), SCENARIO, feed, folder, (), log))
        url = server.ready()
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def ask(address: tuple[str, int], request: bytes, lines: int = 1) -> list[bytes]:
    """The first lines that are answered; fewer when the server closed."""
    with socket.create_connection(address, 60) as link:
        link.sendall(request)
        with link.makefile("rb") as answer:
            return [line for line in (answer.readline() for _ in range(lines)) if line]


@pytest.mark.slow
@pytest.mark.parametrize("path", [b"fanout", b"/fanout", b"fanout?channel=0"])
def test_a_subscription_from_the_beginning(address: tuple[str, int], path: bytes) -> None:
    separator = b"&" if b"?" in path else b"?"
    ok, *messages = ask(address, path + separator + b"since=0\r\n", 4)
    assert ok == b"ok\n"
    assert [json.loads(line)["id"] for line in messages] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_line", "says"),
    [
        (b"weather\n", b"error unknown stream or channel\n"),
        (b"fanout?channel=9\n", b"error unknown stream or channel\n"),
        (b"fanout?channel=x\n", b"error "),
        (b"fanout?since=-1\n", b"error "),
        (b"\xff\xfe\n", b"error "),
        (b"http://[::1/\n", b"error "),
        (b"\n", b"error "),
    ],
)
def test_an_impossible_request_gets_an_error_and_a_close(
    address: tuple[str, int], request_line: bytes, says: bytes
) -> None:
    (line,) = ask(address, request_line, 2)
    assert line.startswith(says)


@pytest.mark.slow
def test_a_request_without_an_end_is_cut_off(address: tuple[str, int]) -> None:
    with contextlib.suppress(ConnectionError):
        assert ask(address, b"x" * 5000, 1) == []


@pytest.mark.slow
def test_later_lines_of_a_subscriber_are_ignored(address: tuple[str, int]) -> None:
    lines = ask(address, b"fanout?since=0\nstocks\n", 30)
    assert [json.loads(line)["id"] for line in lines[1:]] == list(range(1, 30))
