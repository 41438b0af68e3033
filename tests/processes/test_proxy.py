"""Proxies: they listen beside their server, or say why they cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import SubjectError, UnavailableError
from rtbench.processes.proxy import ProxyProcess
from rtbench.subjects import Requirement
from rtbench.subjects.proxies import Proxy

ANSWERS = """
import signal, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
print("up", file=sys.stderr, flush=True)
while True:
    connection, _ = listener.accept()
    if connection.recv(65536):
        connection.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
    connection.close()
"""


def proxy(script: str, *words: str, requires: tuple[Requirement, ...] = ()) -> Proxy:
    def command(before: Any) -> list[str]:
        where = [str(before.host), str(before.port), str(before.upstream_host), str(before.upstream_port)]
        return [sys.executable, "-c", script, *where, *words]

    return Proxy("mine", "mine", "a proxy of ours", command, requires, ("echo", "mine 3"))


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Any]:
    running: list[ProxyProcess] = []

    def begin(one: Proxy, upstream: str = "http://127.0.0.1:8123", **where: Any) -> ProxyProcess:
        running.append(ProxyProcess(one, upstream, 10, tmp_path, (), tmp_path / "proxy.log", **where))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def test_a_proxy_listens_beside_its_server(before: Any) -> None:
    process = before(proxy(ANSWERS))
    assert process.ready() == process.url
    assert process.url.startswith("http://127.0.0.1:")
    assert not process.url.endswith(":8123")
    assert process.uses == {"proxy": "mine", "version": "mine 3"}


def test_a_proxy_that_does_not_come_up(before: Any) -> None:
    with pytest.raises(SubjectError, match=r"the proxy ended early .*: bad configuration \(proxy\.log\)"):
        before(proxy("import sys; sys.exit('bad configuration')")).ready()
    with pytest.raises(SubjectError, match=r"the proxy did not listen within 0\.1 s"):
        before(proxy("import time; time.sleep(60)")).ready(0.1)


def test_a_proxy_that_is_not_installed_says_what_to_do(before: Any) -> None:
    lacking = Requirement("the program squid", lambda: False, "apt-get install squid")
    with pytest.raises(UnavailableError, match="the proxy mine needs the program squid: apt-get install squid"):
        before(proxy("pass", requires=(lacking,)))
