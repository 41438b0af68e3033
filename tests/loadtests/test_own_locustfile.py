"""Our users in a locustfile of somebody's own: several classes and servers in one process, hooks, mistakes, the web UI.

Each test runs Locust as its user would, against a server that counts what it sends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.processes.program import free_port

pytestmark = pytest.mark.slow

PATIENCE_S = 60

SERVER = """
import asyncio, json, sys
from aiohttp import web

SENT = {"events": 0, "socket": 0}

async def events(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(1, 11):
        text = json.dumps({"of": request.query.get("of", ""), "token": request.headers.get("Token", "")})
        await response.write(f"id: {number}\\ndata: {text}\\n\\n".encode())
        SENT["events"] += 1
        await asyncio.sleep(0.01)
    await asyncio.sleep(60)

async def socket(request):
    response = web.WebSocketResponse()
    await response.prepare(request)
    for number in range(1, 11):
        await response.send_str(json.dumps({"n": number}))
        SENT["socket"] += 1
        await asyncio.sleep(0.01)
    await asyncio.sleep(60)

async def sent(_):
    return web.json_response(SENT)

async def slow(_):
    await asyncio.sleep(0.05)
    return web.Response(text="page")

app = web.Application()
app.add_routes([web.get("/events", events), web.get("/socket", socket), web.get("/sent", sent), web.get("/slow", slow)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""

HEAD = """
import gevent, json
from locust.runners import WorkerRunner
from locust import HttpUser, between, constant, events, task
from rtbench.loadtests.users import LongPollUser, SSEUser, WebSocketUser

HOST = "http://127.0.0.1:{port}"
AWAITED = {}

@events.test_start.add_listener
def end_when_all_is_there(environment, **_):
    def look():
        counts = {}
        while any(counts.get(name, 0) < count for name, count in AWAITED.items()):
            gevent.sleep(0.1)
            counts = {name: entry.num_requests for (name, _), entry in environment.stats.entries.items()}
        environment.runner.quit()
    if AWAITED and not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(look)
"""


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def until(what: Callable[[], Any]) -> Any:
    """What it returns, once that is something."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server that sends ten events to each subscriber."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    try:
        until(lambda: get(f"http://127.0.0.1:{port}/sent"))
        yield port
    finally:
        process.kill()
        process.wait()


class Run:
    """A locustfile, and how Locust ended."""

    def __init__(self, folder: Path, port: int, text: str, *options: str, expect: int = 0) -> None:
        file = folder / "locustfile.py"
        file.write_text(HEAD.replace("{port}", str(port)) + text)
        environment = {**os.environ, "LOCUST_SKIP_UPDATE_CHECK": "1"}
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--skip-log-setup"]
        done = subprocess.run(
            [*command, *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=folder,
        )
        assert done.returncode == expect, done.stderr + done.stdout
        self.errors = done.stderr
        self.printed = done.stdout
        found = json.loads(done.stdout[done.stdout.index("[\n") :]) if expect != 2 else []
        self.entries = {one["name"]: one for one in found}

    def count(self, name: str) -> int:
        return int(self.entries[name]["num_requests"])


MIXED = """
AWAITED = {"message reader": 30, "message /socket": 20, "/slow": 3}

class Reader(SSEUser):
    host = HOST
    path = "/events?of={subscriber}"
    name = "reader"
    fixed_count = 3
    headers = {"Token": "of the class"}
    def on_event(self, event):
        seen.append((self.subscriber.index, event.id, json.loads(event.payload)))

class Watcher(WebSocketUser):
    host = HOST
    path = "/socket"
    carries_id = "json:n"
    fixed_count = 2

class Visitor(HttpUser):
    host = HOST
    wait_time = constant(0.05)
    fixed_count = 1
    @task
    def page(self):
        self.client.get("/slow")

seen = []

@events.quitting.add_listener
def show(**_):
    print("SEEN", json.dumps(seen), flush=True)
"""


def test_classes_of_several_transports_share_a_process_and_all_is_counted(server: int, tmp_path: Path) -> None:
    """What the server sent is what Locust counted and what the hook saw, in order, under each user's own number."""
    run = Run(tmp_path, server, MIXED, "-u", "6", "-r", "6")
    sent = get(f"http://127.0.0.1:{server}/sent")
    assert sent == {"events": 30, "socket": 20}
    assert (run.count("message reader"), run.count("message /socket")) == (30, 20)
    assert (run.count("connect reader"), run.count("connect /socket")) == (3, 2)
    assert run.count("/slow") >= 3
    line = next(one for one in run.printed.splitlines() if one.startswith("SEEN "))
    seen = json.loads(line.removeprefix("SEEN "))
    by_user: dict[int, list[int]] = {}
    for user, number, payload in seen:
        by_user.setdefault(user, []).append(number)
        assert payload == {"of": str(user), "token": "of the class"}
    assert by_user == {user: list(range(1, 11)) for user in (0, 1, 2)}


OWN_TASK = """
class Reader(SSEUser):
    host = HOST
    path = "/events"
    wait_time = constant(0)
    done = 0
    def on_start(self):
        self.headers = {"Token": f"mine {id(self)}"}
    def on_event(self, event):
        token = json.loads(event.payload)["token"]
        assert token == f"mine {id(self)}", token
    @task
    def visit(self):
        if Reader.done >= 3:
            self.environment.runner.quit()
            return
        self.subscribe()
        assert self.is_subscribed
        self.until_closed(1)
        assert not self.is_subscribed
        Reader.done += 1
"""


def test_a_task_of_ones_own_subscribes_and_closes_with_a_header_of_its_own(server: int, tmp_path: Path) -> None:
    """The default task is gone; each visit is one connection with ten messages; no exception was reported."""
    run = Run(tmp_path, server, OWN_TASK, "-u", "1")
    assert (run.count("connect /events"), run.count("message /events")) == (3, 30)
    assert "Traceback" not in run.errors, run.errors


REFUSED = """
class Reader(SSEUser):
    host = HOST
    path = "/nowhere"
    wait_time = constant(60)
    @task
    def visit(self):
        try:
            self.subscribe()
        except ConnectionError as error:
            print("REFUSED", error, flush=True)
            self.environment.process_exit_code = 0
            self.environment.runner.quit()

class Raises(SSEUser):
    host = HOST
    path = "/events"
    def on_event(self, event):
        raise ValueError("not mine")
"""


def test_a_refused_subscription_and_a_hook_that_raises_are_reported_as_locust_does(server: int, tmp_path: Path) -> None:
    run = Run(tmp_path, server, REFUSED, "-u", "1", "Reader")
    assert "REFUSED error (status 404)" in run.printed
    run = Run(tmp_path, server, 'AWAITED = {"message /events": 10}' + REFUSED, "-u", "1", "Raises", expect=1)
    assert "ValueError: not mine" in run.errors + run.printed
    assert run.count("message /events") == 10


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ('host = "127.0.0.1"', "rtbench: --host '127.0.0.1' is not a server's address: write http://HOST:PORT"),
        ('host = HOST; stream = "weather"', "rtbench: stream: unknown stream 'weather': choose one of chat"),
        ('host = HOST; codec = "morse"', "rtbench: unknown codec 'morse': choose one of"),
        ('host = HOST; channels = "many"', "rtbench: channels of Reader: 'many': choose one of broadcast, unicast"),
    ],
)
def test_a_wrong_attribute_is_one_line(server: int, tmp_path: Path, attribute: str, line: str) -> None:
    run = Run(tmp_path, server, f"class Reader(SSEUser):\n    {attribute}\n", "-u", "1", "-t", "1s", expect=2)
    assert line in run.errors
    assert "Traceback" not in run.errors


def test_an_imported_class_is_a_user_itself_only_where_none_is_derived_from_ours(server: int, tmp_path: Path) -> None:
    """`from … import SSEUser` alone runs SSEUser; with a class derived from it, only that one runs."""
    options = ("--host", f"http://127.0.0.1:{server}", "--exit-code-on-error", "0", "-u", "1", "SSEUser")
    run = Run(tmp_path, server, "AWAITED = {'connect /sse/fanout': 1}", *options)
    assert "connect /ws/fanout" not in run.entries
    derived = "AWAITED = {'connect /events': 2}\nclass Mine(SSEUser):\n    host, path = HOST, '/events'\n"
    run = Run(tmp_path, server, derived, "-u", "2", "-r", "2")
    assert run.count("connect /events") == 2
    assert "connect /sse/fanout" not in run.entries


def test_the_web_ui_has_a_tab_with_the_subscriptions(server: int, tmp_path: Path) -> None:
    file, port = tmp_path / "locustfile.py", free_port("127.0.0.1")
    file.write_text(HEAD.replace("{port}", str(server)) + MIXED + "AWAITED.clear()\n")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--web-host", "127.0.0.1", "--web-port", str(port)]
    command += ["--autostart", "-u", "6", "-r", "6", "--skip-log-setup"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"

        def rows() -> list[dict[str, Any]] | None:
            (found,) = [one["data"] for one in get(f"{url}/stats/requests")["extended_stats"] if one["key"] == "push"]
            counted = {row["name"]: row["messages"] for row in found}
            return found if counted == {"reader": 30, "/socket": 20} else None

        found = {row["name"]: row for row in until(rows)}
        assert {name: row["subscribed"] for name, row in found.items()} == {"reader": 3, "/socket": 2}
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as page:
            text = page.read().decode()
        assert '"key": "push"' in text or "&#34;push&#34;" in text
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


WORKERS = """
AWAITED = {"message /events?of={subscriber}": 60}

class Reader(SSEUser):
    host = HOST
    path = "/events?of={subscriber}"
    def on_event(self, event):
        print("USER", json.loads(event.payload)["of"], flush=True)
"""


def test_workers_number_their_users_without_a_gap(server: int, tmp_path: Path) -> None:
    """Two processes of Locust's own: the users 0 to 5, each once, and all messages counted by the master."""
    run = Run(tmp_path, server, WORKERS, "-u", "6", "-r", "6", "--processes", "2")
    users = {line.split()[1] for line in run.printed.splitlines() if line.startswith("USER ")}
    assert users == {str(number) for number in range(6)}
    assert run.count("message /events?of={subscriber}") == 60
