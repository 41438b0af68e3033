"""What a process's sockets say of themselves, read from outside: here from a child, and from this process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rtbench.machine import sockets as module
from rtbench.machine.sockets import no_delay, observe

SERVER = """
import os, socket, struct, sys
backlog, nodelay = int(sys.argv[1]), sys.argv[2].split(",")
other = socket.create_server(("127.0.0.1", 0))  # another port: not looked at
pair = socket.socketpair()
pipe = os.pipe()
listener = socket.create_server((sys.argv[3], 0), family=socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET,
                                backlog=backlog)
print(listener.getsockname()[1], flush=True)
links = []
for flag in nodelay:
    if flag:
        link, _ = listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(flag))
        links.append(link)
if links:
    links[0].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    links[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))
    links[0].setsockopt(socket.IPPROTO_TCP, 18, 1234)
print("accepted", flush=True)
sys.stdin.read()
"""
Serve = Callable[..., tuple[int, int]]


def can_look() -> bool:
    """Whether this kernel lets a process look at its child's sockets (pidfd_getfd, ptrace)."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, "5", "", "127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        port = int(child.stdout.readline())
        seen = observe(child.pid, port)
        child.stdin.close()
    return bool(seen)


@pytest.fixture(scope="module", autouse=True)
def allowed() -> None:
    if not can_look():
        pytest.skip("this kernel does not let one look at another process's sockets (ptrace)")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(backlog, "1,0")`: (pid, port) of a child with a connection for each flag, which is its TCP_NODELAY."""
    with ExitStack() as stack:

        def start(backlog: int, nodelay: str = "", host: str = "127.0.0.1") -> tuple[int, int]:
            command = [sys.executable, "-c", SERVER, str(backlog), nodelay, host]
            child = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            assert child.stdin is not None and child.stdout is not None
            stack.callback(child.stdin.close)
            port = int(child.stdout.readline())
            for _ in filter(None, nodelay.split(",")):
                stack.enter_context(socket.create_connection((host, port)))
            assert child.stdout.readline() == "accepted\n"
            return child.pid, port

        yield start


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_sees_what_the_sockets_have(serve: Serve, host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    pid, port = serve(77, "1", host)
    seen = observe(pid, port)
    assert (seen["nodelay"], seen["backlog"]) == (True, 77)
    observed = seen["observed"]
    assert (observed["connections"], observed["threads"], observed["cores"]) == (
        1,
        1,
        sorted(os.sched_getaffinity(pid)),
    )
    assert (observed["keepalive"], observed["linger_s"], observed["user_timeout_ms"]) == (True, 7, 1234)
    assert observed["send_buffer_bytes"] > 0 and observed["receive_buffer_bytes"] > 0
    assert observed["congestion_control"] in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text()


def test_one_connection_with_nagle_is_seen_among_others(serve: Serve) -> None:
    assert observe(*serve(5, "1,0,1"))["nodelay"] is False
    seen = observe(*serve(5, "0"))
    assert (seen["nodelay"], seen["observed"]["linger_s"]) == (False, 7)


def test_options_that_were_not_set_are_the_kernels(serve: Serve) -> None:
    observed = observe(*serve(5, "0,1"))["observed"]  # the last connection's
    assert (observed["keepalive"], observed["linger_s"], observed["user_timeout_ms"]) == (False, -1, 0)


def test_a_server_without_connections_has_a_backlog(serve: Serve) -> None:
    seen = observe(*serve(9))
    assert seen["backlog"] == 9
    assert "nodelay" not in seen
    assert seen["observed"]["connections"] == 0


def test_a_few_of_many_connections_are_enough(serve: Serve) -> None:
    assert observe(*serve(20, ",".join("1" * 9)))["observed"]["connections"] == module._SAMPLE


def test_the_newest_are_looked_at_for_the_oldest_may_be_the_publishers(serve: Serve) -> None:
    assert observe(*serve(20, "0," + ",".join("1" * module._SAMPLE)))["nodelay"] is True


def test_nothing_of_the_server_changes(serve: Serve) -> None:
    pid, port = serve(9, "1,0")

    def descriptors() -> dict[str, str]:
        return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}

    mine, its = len(list(Path("/proc/self/fd").iterdir())), descriptors()
    assert observe(pid, port) == observe(pid, port)
    assert (len(list(Path("/proc/self/fd").iterdir())), descriptors()) == (mine, its)


def test_an_unused_port_shows_nothing(serve: Serve) -> None:
    pid, _ = serve(9, "1")
    assert observe(pid, 1) == {}


def test_a_process_that_is_gone_shows_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert observe(gone.pid, 80) == {}
    assert module._threads(gone.pid) == -1


def test_where_one_may_not_look_nothing_is_guessed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pid, port = serve(9, "1")

    class Libc:
        def syscall(self, *_: int) -> int:
            return -1

    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: Libc())
    assert observe(pid, port) == {}


def test_sockets_of_children_are_the_servers_too() -> None:
    """A server of several processes listens in one and may answer in another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        seen: dict[str, Any] = observe(os.getpid(), port)
    assert seen["backlog"] > 0
    script = "import subprocess, sys; c = subprocess.Popen([sys.executable, *sys.argv[1:]]); c.wait()"
    command = [sys.executable, "-c", script, "-c", SERVER, "31", "", "127.0.0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        port = int(parent.stdout.readline())
        assert observe(parent.pid, port)["backlog"] == 31
        parent.stdin.close()


def test_connections_inherit_what_is_set_on_the_listening_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for wanted in (0, 1):
            if wanted:
                assert no_delay(os.getpid(), port)
            with socket.create_connection(("127.0.0.1", port)):
                link, _ = listener.accept()
                with link:
                    assert bool(link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is bool(wanted)
    assert not no_delay(os.getpid(), port)  # nothing listens there any more
