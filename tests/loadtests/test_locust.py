"""What Locust sees: every message and poll counted once, and users that a Locust user expects.

Importing locust patches the process, so everything here runs in one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOCUSTFILE = str(Path(__file__).parent.parent.parent / "loadtests" / "locustfile.py")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "LOCUST_SKIP_UPDATE_CHECK": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(script: str, *arguments: str) -> Any:
    """The JSON that a script prints."""
    done = run("-c", script, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


COUNTED = """
import json, sys
from locust.env import Environment
from rtbench.loadtests.load import Load
from rtbench.loadtests.locust_stats import Statistics
from rtbench.loadtests.subscriber import Endpoint
from rtbench.messages.load import LoadSettings

load = Load(LoadSettings())
load.transport, load.name = "sse", "/sse/fanout"
environment = Environment()
statistics = Statistics([load], environment, keep=sys.argv[1] == "keep")
seq = 0

def arrive(count):
    global seq
    for _ in range(count):
        seq += 1
        load.recorder.deliveries.append((0, 0, 0, seq, -1, 5_000_000, 10, 0))
        load.recorder.request(0, 1_000_000, 1_000_000, 3_000_000, 200, 100)

def plans():  # waits for a server, and while it does, more arrives
    arrive(3)
    statistics._without_plan.add(load.origin)

statistics._plans = plans
for count in (5, 0, 7):
    arrive(count)
    statistics.update()
statistics._plans = lambda: None
statistics.update()
entries = environment.stats.entries
print(json.dumps({
    "messages": entries["message /sse/fanout", "SSE"].num_requests,
    "bytes": entries["message /sse/fanout", "SSE"].total_content_length,
    "polls": entries["poll /sse/fanout", "GET"].num_requests,
    "poll_ms": entries["poll /sse/fanout", "GET"].avg_response_time,
    "total": environment.stats.total.num_requests,
    "kept": len(load.recorder.deliveries),
}))
"""


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_rows_are_counted_once_whenever_they_come(keep: str) -> None:
    count = 5 + 0 + 7 + 3 * 3
    assert said(COUNTED, keep) == {
        "messages": count,
        "bytes": 10 * count,
        "polls": count,
        "poll_ms": 2.0,
        "total": 2 * count,
        "kept": count if keep == "keep" else 0,
    }


LATENCY = """
import json, time
from locust.env import Environment
from rtbench.loadtests.load import Load
from rtbench.loadtests.locust_stats import Statistics
from rtbench.messages.load import LoadSettings

load = Load(LoadSettings())
load.transport, load.name = "websocket", "/ws/fanout"
environment = Environment()
statistics = Statistics([load], environment, keep=False)
statistics._plans = lambda: None
now = time.monotonic_ns()
due = time.time_ns() - 250_000_000
statistics._due_ns[0] = {1: due, 2: due}
for seq in (1, 2, 3):  # the third has no due time yet: it waits
    load.recorder.deliveries.append((0, 0, 0, seq, -1, now, 10, 0))
statistics.update()
entry = environment.stats.entries["message /ws/fanout", "WS"]
print(json.dumps([entry.num_requests, round(entry.avg_response_time / 10), len(statistics._waiting)]))
"""


def test_latency_is_charged_from_the_plan() -> None:
    assert said(LATENCY) == [2, 25, 1]


ENDLESS = """
import json, sys
from locust.env import Environment
from rtbench.loadtests import locust_stats
from rtbench.loadtests.load import Load
from rtbench.loadtests.subscriber import Endpoint
from rtbench.messages.load import LoadSettings

load = Load(LoadSettings())
load.transport, load.target = "sse", Endpoint.of(sys.argv[1])
locust_stats._PLAN_S = 0.2
statistics = locust_stats.Statistics([load], Environment(), keep=False)
load.recorder.deliveries.append((0, 0, 0, 1, -1, 5, 10, 0))
statistics.update()
print(json.dumps(load.origin in statistics._without_plan))
"""


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_a_plan_without_end_is_not_a_plan(endless: Callable[..., str], kind: str) -> None:
    assert said(ENDLESS, endless(kind, b" ")) is True


def test_shipped_locustfile_lists_its_users() -> None:
    listed = run("-m", "locust", "-f", LOCUSTFILE, "--list")
    assert listed.returncode == 0, listed.stderr
    users = {"SSEUser", "WebSocketUser", "ShortPollUser", "LongPollUser"}
    assert users <= set((listed.stdout + listed.stderr).split())


def test_shipped_locustfile_has_options_of_its_own() -> None:
    done = run("-m", "locust", "-f", LOCUSTFILE, "--headless", "--channels", "multicast", "SSEUser")
    assert done.returncode != 0
    assert "--channels" in done.stderr
    assert "unicast" in done.stderr


def test_an_unknown_stream_is_the_users_error() -> None:
    done = run("-m", "locust", "-f", LOCUSTFILE, "--headless", "--stream", "weather", "-t", "1", "SSEUser")
    assert done.returncode == 2
    assert "rtbench: stream: unknown stream 'weather': choose one of chat" in done.stderr


USERS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import locustfile
from locust import User
from rtbench.transports.catalogue import catalogue
users = {one.transport: name for name, one in vars(locustfile).items()
         if isinstance(one, type) and issubclass(one, User) and one.transport}
print(json.dumps([users, {one.name: one.user for one in catalogue().values()}]))
"""


def test_every_transport_has_a_user() -> None:
    users, transports = said(USERS, str(Path(LOCUSTFILE).parent))
    assert users == transports
    assert users["sse"] == "SSEUser"
    assert users["tcp"] == "TCPUser"


SHAPED = """
import json
from types import SimpleNamespace
from rtbench.loadtests.churn import Churn
from rtbench.scenario.visits import there, visits

options = SimpleNamespace(stay=30, churn_rate=20.0, churn_stay=2.0, churn_time=10.0, churn_seed=4)
shape = Churn()
shape.runner = SimpleNamespace(environment=SimpleNamespace(parsed_options=options))
at_s, found = [0.0, 1.5, 3.0, 9.9, 10.0], []
for now in at_s:
    shape.get_run_time = lambda now=now: now
    found.append(shape.tick())
plan = visits(4, 20.0, 2.0, 10.0, 0.0)
print(json.dumps({"found": found, "there": [there(plan, int(now * 1e9)) for now in at_s]}))
"""


def test_a_shape_has_as_many_users_as_the_plan_of_churn() -> None:
    result = said(SHAPED)
    assert result["found"] == [*([30 + count, 1000.0] for count in result["there"][:-1]), None]
    assert len(set(result["there"])) > 2


def test_a_locustfile_with_churn_runs() -> None:
    command = ["-m", "locust", "-f", LOCUSTFILE.replace("locustfile", "churn"), "--headless", "--only-summary"]
    command += ["--host", "http://127.0.0.1:9", "--stay", "2", "--churn-time", "0.5", "--exit-code-on-error", "0"]
    done = run(*command, "SSEUser")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "connect /sse/fanout" in done.stdout + done.stderr
