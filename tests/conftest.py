"""What all tests share: a browser, where there is one; Hypothesis, which draws the same examples each time
(`--hypothesis-profile=explore` draws others); and a second chance for what depends on when the machine runs whom.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import settings

PATIENCE_S = 60

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")

CHANCES = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole programs in real time fail where a shared machine stops for seconds: those tests are run again, and
    pytest's closing line counts the reruns. Everything else must pass at once.
    """
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.flaky(reruns=CHANCES, reruns_delay=1))


@pytest.fixture(scope="session")
def chromium_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], AbstractContextManager[Any]]:
    """`with chromium_with(arguments) as driver`: a Chromium of one's own. Skips where it is missing."""

    @contextmanager
    def run(arguments: Sequence[str]) -> Iterator[Any]:
        webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
        from selenium.webdriver.chrome.service import Service

        browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if browser is None or driver is None:
            pytest.skip("needs a browser and its driver: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in (*arguments, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        running = webdriver.Chrome(options, Service(driver))
        running.set_page_load_timeout(PATIENCE_S)
        running.set_script_timeout(PATIENCE_S)
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
