"""Node (`make node`): what is its own. (Its subjects are in tests/conformance and test_fed.py.)"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rtbench.conformance._client import Subscriber, fetch, subscribing
from rtbench.conformance._target import Target
from rtbench.processes.program import ProgramServer
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import find
from rtbench.transports.websocket import text_frame

from .conftest import Feed

FOLDER = Path(__file__).parents[2] / "servers" / "node"
MODULES = sorted(FOLDER.glob("*.js"))
PACKAGE = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
PATIENCE_S = 60
NOT_MASKED = b"\x81\x01x"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_node_its_neighbours_and_ws_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imports = re.findall(r'from "([^"]+)"', text)
    assert text.count("import ") <= len(imports) + text.count("await import(")
    known = {f"./{module.name}" for module in MODULES} | set(PACKAGE["dependencies"])
    assert [name for name in imports if name not in known and not name.startswith("node:")] == []
    assert re.findall(r"\beval\b|new Function|child_process|node:vm", text) == []


def test_the_lock_has_a_hash_for_each_package_and_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: table for name, table in lock["packages"].items() if name}
    assert set(packages) == {f"node_modules/{name}" for name in PACKAGE["dependencies"]}
    for name, table in packages.items():
        assert table["version"] == PACKAGE["dependencies"][name.removeprefix("node_modules/")]
        assert table["integrity"].startswith("sha512-")
        assert "resolved" not in table


class Node(ProgramServer):
    """A server that is ready."""

    @property
    def target(self) -> Target:
        url = urlsplit(self.url)
        return Target(url.hostname or "", url.port or 0, self.subject.transport, "stocks", patience_s=15.0)


Start = Callable[..., Node]


@pytest.fixture
def start(tmp_path: Path, feed: Feed) -> Iterator[Start]:
    """`start("sse-node", "stocks", …)`: a server that is ready, with these streams and nothing in them yet."""
    with contextlib.ExitStack() as stack:

        def started(subject: str, *streams: str) -> Node:
            found = find(subject)
            what, remedy = found.missing()
            if what:
                pytest.skip(f"{subject} needs {what}: {remedy}")
            log = tmp_path / "server.log"
            server = stack.enter_context(Node(found, Scenario(), feed.path, tmp_path, (), log, host="127.0.0.1"))
            feed.accept()
            feed.hello(*streams)
            feed.live()
            server.ready()
            return server

        yield started


@pytest.mark.slow
def test_it_says_which_versions_it_is_made_of(start: Start) -> None:
    uses = start("websocket-node", "stocks").uses
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    assert uses["stack"] == f"node {version.stdout.strip().removeprefix('v')}, ws {PACKAGE['dependencies']['ws']}"
    # 15 s is the default heartbeat; the kernel gives up after three quarters of it.
    assert (uses["user_timeout_ms"], uses["idle_s"], uses["connections"]) == (11_250, 3600, 25_000)


@pytest.mark.slow
def test_a_client_of_http_1_0_gets_no_chunks(start: Start, feed: Feed) -> None:
    target = start("sse-node", "chat").target
    feed.ticks(1)
    feed.notice("end", last=1)
    while fetch(target, "/sse/chat?since=1").status != 204:
        pass
    with socket.create_connection((target.host, target.port), PATIENCE_S) as link:
        link.sendall(b"GET /sse/chat HTTP/1.0\r\n\r\n")
        data = b"".join(iter(lambda: link.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b'id: 1\ndata: {"n":1}\n\nevent: end\ndata: {"last":1}\n\n'


@pytest.mark.slow
def test_what_is_not_http_gets_a_small_error_too(start: Start) -> None:
    target = start("short-poll-node", "stocks").target
    for request in (b"nonsense\r\n\r\n", b"GET /poll/%ff HTTP/1.1\r\nHost: h\r\n\r\n"):
        with socket.create_connection((target.host, target.port), PATIENCE_S) as link:
            link.sendall(request)
            data = link.recv(65536)
        assert data.startswith(b"HTTP/1.1 400 "), request
        assert list(json.loads(data.partition(b"\r\n\r\n")[2])) == ["error"]


@pytest.mark.slow
def test_a_second_stream_on_one_connection_is_refused_and_the_first_goes_on(start: Start, feed: Feed) -> None:
    target = start("sse-node", "stocks").target
    with Subscriber(target) as subscriber:
        assert subscriber.open()
        subscriber.link.sendall(b"GET /sse/stocks HTTP/1.1\r\nHost: h\r\n\r\n")
        assert fetch(target, "/plan/stocks").status == 200
        feed.ticks(1)
        assert [message.id for message in subscriber.messages(1)] == [1]


@pytest.mark.slow
def test_a_waiting_poll_whose_client_leaves_is_forgotten(start: Start, feed: Feed) -> None:
    target = start("long-poll-node", "stocks").target
    for _ in range(3):
        with socket.create_connection((target.host, target.port), PATIENCE_S) as link:
            link.sendall(b"GET /long-poll/stocks?since=0&timeout=60 HTTP/1.1\r\nHost: h\r\n\r\n")
    feed.ticks(1)
    with Subscriber(target, 0) as subscriber:
        assert [message.id for message in subscriber.messages(1)] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Version": "7"}, {"Upgrade": "h2c"}])
def test_a_wrong_handshake_gets_a_small_error(fields: dict[str, str], start: Start) -> None:
    target = start("websocket-node", "stocks").target
    answer = fetch(target, target.path(), headers=subscribing(target, fields))
    assert (answer.status, list(answer.json())) == (400, ["error"])


@pytest.mark.slow
def test_what_no_client_may_send_costs_its_own_connection_only(start: Start, feed: Feed) -> None:
    server = start("websocket-node", "stocks")
    with Subscriber(server.target) as wrong, Subscriber(server.target) as talking:
        assert wrong.open() and talking.open()
        wrong.link.sendall(NOT_MASKED)
        talking.link.sendall(text_frame("a subscriber has nothing to say here"))
        while wrong.event() is not None:
            pass
        assert wrong.closed is not None and wrong.closed.code == 1002
        feed.ticks(1)
        assert [message.id for message in talking.messages(1)] == [1]


@pytest.mark.slow
def test_it_collects_its_garbage_when_asked(start: Start) -> None:
    server = start("sse-node", "stocks")
    assert "before each reading" in server.tidy()
    assert fetch(server.target, "/plan/stocks").status == 200


def wrongly(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


@pytest.mark.slow
def test_what_the_user_can_correct_is_one_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = [sys.executable, "-m", "rtbench.servers.stacks.listener", "127.0.0.1", str(port), "15", "true"]
        text = f"rtbench: cannot listen on 127.0.0.1:{port} (Address already in use): free that port or take --port 0\n"
        assert wrongly(*listener) == text
    if shutil.which("node") is None:
        pytest.skip("node is not installed (make node)")
    main = str(FOLDER / "main.js")
    assert "give one JSON object" in wrongly("node", main)
    assert "transport must be one of sse, websocket" in wrongly("node", main, "{}")
    assert "the options lack host" in wrongly("node", main, json.dumps({"transport": "sse"}))


@pytest.mark.slow
def test_it_leaves_while_it_waits_for_the_rings_to_be_filled(tmp_path: Path, feed: Feed) -> None:
    found = find("sse-node")
    what, remedy = found.missing()
    if what:
        pytest.skip(f"sse-node needs {what}: {remedy}")
    log = tmp_path / "server.log"
    with Node(found, Scenario(), feed.path, tmp_path, (), log, host="127.0.0.1") as server:
        feed.accept()
        server.kill(signal.SIGTERM)
        assert server._child.wait(PATIENCE_S) == 0
        assert server._child.stdout is not None and server._child.stdout.read() == b""
