"""The pages before a server that is not ours, or was taken over: what it says is text, and nothing of it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rtbench.servers.kit.pages import ABOUT, find

pytestmark = pytest.mark.slow

Browser = Any
"""See conftest."""

PLACES = {
    "/": ("#about, #streams", 4),
    "/pages/list.html": ("#list, #log, #stream", 3),
    "/pages/dashboard.html": ("main", 1),
    "/pages/race.html": ("main", 1),
}
"""Each page, the elements that show what the server says, and how often they do so at least."""


@pytest.fixture
def hostile(evil: str) -> Iterator[str]:
    """A server with our pages that says EVIL wherever it says something."""
    over = threading.Event()
    streams = [{"name": name, "description": evil, "finite": False} for name in ("stocks", "metrics", "fanout", evil)]
    about = {"subject": evil, "stack": evil, "transports": ["sse"], "streams": streams, "demo": False, "now_ns": 0}
    fields = {"from": evil, "to": evil, "reason": evil, "error": evil, "after_ms": evil, "count": evil}
    events = [f"id: 1\ndata: {evil}", f"id: {evil}\ndata: {json.dumps({'title': evil, 'cpu': evil, 'items': [evil]})}"]
    events += [f"event: {kind}\ndata: {json.dumps(fields)}" for kind in ("gap", "retry", "failure")]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = find(self.path)
            body, headers = (page.body, page.headers) if page else (json.dumps(about).encode(), {})
            self.send_response(200 if page or self.path in (ABOUT,) or "/sse/" in self.path else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            if "/sse/" not in self.path:
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write("".join(f"{event}\n\n" for event in events).encode())
            self.wfile.flush()
            over.wait()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", PLACES)
def test_nothing_that_a_server_says_becomes_part_of_the_page(
    browser: Browser, hostile: str, evil: str, path: str
) -> None:
    selector, least = PLACES[path]
    browser.open(hostile + path)
    title = browser.js("document.title")
    texts = "[...document.querySelectorAll(arguments[0])].map((one) => one.textContent).join(' ')"
    shown = f"{texts}.split(arguments[1]).length - 1"
    if path in ("/", "/pages/list.html"):
        browser.until(lambda: browser.js(shown, selector, evil) >= least, "what the server says")
    else:
        browser.until(lambda: browser.js("document.readyState") == "complete", "the page")
    assert browser.js("document.title") == title != "broken"
    assert browser.js("document.querySelectorAll('img, body script, [onerror]').length") == 0
    refused = [line for line in browser.console() if "Content Security Policy" in line]
    assert refused == []
