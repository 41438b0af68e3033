"""What all tests share: a browser, where there is one, and Hypothesis, which draws the same examples each time
(`--hypothesis-profile=explore` draws others).
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from rtbench import programs

PATIENCE_S = 60

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting the tests made stays to the end: no collection of garbage has to look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: quick ones fill up what workers have left, and no long one ends alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `root` for an ordinary user."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: make test ARGS='-m root', as root")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of this test alone, with a path short enough for sockets (`tmp_path` may not be)."""
    with tempfile.TemporaryDirectory(prefix="test.", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def figures_named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`figures_named(name, ...)`: reports draw no others. Most of a small report's time is drawing."""
    from rtbench.analysis import figures  # costs seconds, which tests without reports need not pay

    def keep(*names: str) -> None:
        kept = [one for one in figures.catalogue() if one.name in names]
        assert len(kept) == len(names)
        monkeypatch.setattr(figures, "catalogue", lambda: kept)

    return keep


@pytest.fixture
def few_figures(figures_named: Callable[..., None]) -> None:
    """For tests of words: the decision figure alone."""
    figures_named("decision")


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where network namespaces cannot be made. For tests marked `root`."""
    if programs.find("ip") is None:
        pytest.skip("network namespaces need the program ip: apt-get install iproute2")
    holder = [sys.executable, "-m", "rtbench.processes._namespace"]
    tried = subprocess.run(holder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine makes no network namespace: {tried.stderr.strip()}")


def _pass_on(client: socket.socket, address: tuple[str, int], over: threading.Event) -> None:
    """Bytes both ways until one end closes; waits for a server that is away."""
    with client:
        while not over.is_set():
            try:
                upstream = socket.create_connection(address)
            except ConnectionRefusedError:
                over.wait(0.02)
                continue
            with upstream, contextlib.suppress(OSError):
                other = {client: upstream, upstream: client}
                while True:
                    for end in select.select(other, [], [])[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        other[end].sendall(data)
            return


@pytest.fixture
def relay() -> Iterator[Callable[[str], str]]:
    """`relay(url)`: another URL of a server. While the server is away connections wait there, where they would be
    refused: Node 20's EventSource gives up on that, browsers ask again (WHATWG 9.2.3).
    """
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def make(url: str) -> str:
            parts = urlsplit(url)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listener.shutdown, socket.SHUT_RDWR)  # wakes up who accepts

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        place = (parts.hostname or "", parts.port or 0)
                        threading.Thread(target=_pass_on, args=(client, place, over), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            return parts._replace(netloc=f"127.0.0.1:{listener.getsockname()[1]}").geturl()

        yield make
        over.set()


@pytest.fixture(scope="session")
def chromium_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], AbstractContextManager[Any]]:
    """`with chromium_with(arguments) as driver`: a Chromium of one's own. Skips where it is missing."""

    @contextmanager
    def run(arguments: Sequence[str]) -> Iterator[Any]:
        webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
        from selenium.webdriver.chrome.service import Service

        browser, driver = programs.find("chromium"), programs.find("chromedriver")
        if browser is None or driver is None:
            pytest.skip("needs a browser and its driver: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in (*arguments, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        running = webdriver.Chrome(options, Service(driver))
        running.set_page_load_timeout(PATIENCE_S)
        running.set_script_timeout(5 * PATIENCE_S)  # axe reads the whole page in one script
        try:
            yield running
        finally:
            running.quit()

    return run


@pytest.fixture
def endless() -> Iterator[Callable[..., str]]:
    """`endless(kind, piece, pause_s)`: the URL of a server that answers every path with `piece`, again and again."""
    over = Event()
    servers: list[ThreadingHTTPServer] = []

    def begin(kind: str = "text/event-stream", piece: bytes = b": more\n\n", pause_s: float = 0.001) -> str:
        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

        class Endless(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", kind)
                    self.end_headers()
                    while not over.wait(pause_s):
                        self.wfile.write(piece)
                except OSError:
                    """The client has had enough."""

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        server = Server(("127.0.0.1", 0), Endless)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield begin
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()
