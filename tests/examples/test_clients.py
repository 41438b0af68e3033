"""examples/clients, each against a server that is killed and started again in the middle: what "correct" means there.

The stream is a trace that ends. A client must have every message once and in order, and then end by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"
PATIENCE_S = 60
BEFORE = 20
"""Messages that a client has when its server is killed."""
TRANSPORTS = ("sse", "websocket", "short-poll", "long-poll")

Serve = Callable[[str], Any]


IN_NODE = {
    # Node does not wait for an EventSource that is to come back.
    "EventSource": """
const Real = EventSource;
globalThis.EventSource = class extends Real {
  constructor(...words) {
    super(...words);
    const stay = setInterval(() => this.readyState === Real.CLOSED && clearInterval(stay), 20);
  }
};""",
    # Node 20 does not say `close` of a connection that was refused; browsers do (WHATWG WebSockets 4).
    "WebSocket": """
const Real = WebSocket;
globalThis.WebSocket = class extends Real {
  constructor(...words) {
    super(...words);
    let said = false;
    this.addEventListener("close", () => said = true);
    this.addEventListener("error", () => setTimeout(() => said || this.onclose({ code: 1006 }), 20));
  }
};""",
}


def command(file: str, url: str) -> list[str]:
    """How the client is run. Skips where Node, or what the script needs of it, is missing."""
    path = CLIENTS / file
    if path.suffix == ".py":
        return [sys.executable, str(path), url]
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (apt-get install nodejs)")
    needs = {"sse.js": "EventSource", "websocket.js": "WebSocket"}.get(file, "fetch")
    as_in_a_page = IN_NODE.get(needs, "")
    flags = [f"--experimental-{needs.lower()}"] if needs != "fetch" else []
    has = subprocess.run(
        [node, *flags, "-p", f"typeof {needs}"], capture_output=True, text=True, timeout=30, check=False
    )
    if has.stdout.strip() != "function":
        pytest.skip(f"this node has no {needs}")
    script = f"""{as_in_a_page}
const text = require("fs").readFileSync({json.dumps(str(path))}, "utf8").replace("export ", "");
new Function("hear", "url", text + "; listen(url, hear)")(
  (id, data) => console.log(JSON.stringify([id, data])), {json.dumps(url)});
"""
    return [node, "--no-warnings", *flags, "-e", script]


@pytest.mark.parametrize("language", ["py", "js"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nothing_is_lost_or_twice_over_a_restart(
    transport: str,
    language: str,
    serve: Serve,
    wanted: list[Any],
    stack: contextlib.ExitStack,
    relay: Callable[[str], str],
) -> None:
    server = serve(transport)
    file = f"{transport}.{language}"
    words = command(file, relay(server.url) if file == "sse.js" else server.url)
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    client = stack.enter_context(
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    )
    stack.callback(client.kill)
    assert client.stdout is not None and client.stderr is not None
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=lambda out: [lines.put(line) for line in out], args=(client.stdout,))
    reader.start()
    server.play()
    found = [json.loads(lines.get(timeout=PATIENCE_S)) for _ in range(BEFORE)]
    server.restart()
    reader.join(PATIENCE_S)  # to the end of its output: it ended by itself
    assert client.wait(PATIENCE_S) == 0, client.stderr.read()
    found += [json.loads(lines.get_nowait()) for _ in range(lines.qsize())]
    assert found == wanted
    assert client.stderr.read() == ""


IN_A_PAGE = """
window.found = [];
window.opened = 0;  // connections and requests, counted from outside the client
for (const name of ["EventSource", "WebSocket"]) {
  const real = window[name];
  window[name] = class extends real {
    constructor(...words) { super(...words); window.opened += 1; window.last = this; }
  };
}
const asked = window.fetch;
window.fetch = (...words) => { window.opened += 1; return asked(...words); };
new Function("hear", "url", arguments[0].replace("export ", "") + "; listen(url, hear)")(
  (id, data) => window.found.push([id, data]), arguments[1]);
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_in_a_browser(transport: str, serve: Serve, wanted: list[Any], chromium: Any) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    server = serve(transport)
    wait = WebDriverWait(chromium, PATIENCE_S, poll_frequency=0.05)
    chromium.get(server.home)
    chromium.execute_script(IN_A_PAGE, (CLIENTS / f"{transport}.js").read_text(encoding="utf-8"), server.url)
    server.play()
    wait.until(lambda driver: driver.execute_script("return found.length") >= BEFORE)
    server.restart()
    wait.until(lambda driver: driver.execute_script("return found.length") >= len(wanted))
    # It has ended: its connection is closed, or its next request would have come by now.
    over = "return window.last ? last.readyState === last.constructor.CLOSED : true"
    wait.until(lambda driver: driver.execute_script(over))
    # (Nothing tells that no request will come but a time within which it would have: 1 s, 1.5 s after a failure.)
    opened = chromium.execute_script("return opened")
    later = "const [wait, done] = arguments; setTimeout(() => done(opened), wait)"
    assert chromium.execute_async_script(later, 2500) == opened
    assert chromium.execute_script("return found") == wanted
    chromium.get("about:blank")
