"""`examples/locust`: every message came in order (the users check it themselves), and was counted under its name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.processes.program import free_port

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "locust"
PATIENCE_S = 60


@pytest.fixture
def host() -> Iterator[str]:
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "server.py"), "--port", str(port)], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("file", "options"),
    [("locustfile.py", ["-u", "8", "-r", "8", "-t", "4s"]), ("steps.py", [])],
    ids=["login", "steps"],
)
def test_the_example_runs(file: str, options: list[str], host: str) -> None:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(EXAMPLE / file),
        "--host",
        host,
        "--headless",
        "--json",
        *options,
    ]
    environment = {**os.environ, "LOCUST_SKIP_UPDATE_CHECK": "1", "STEP_S": "2"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=EXAMPLE
    )
    assert done.returncode == 0, done.stderr
    entries = {one["name"]: one for one in json.loads(done.stdout[done.stdout.index("[\n") :])}
    logins, connects = (entries[name]["num_requests"] for name in ("/login", "connect /events"))
    assert 0 < connects + entries["connect /socket"]["num_requests"] <= logins
    assert logins > 20 if file == "steps.py" else logins == 8
    for name in ("message /events", "message /socket"):
        assert entries[name]["num_requests"] > 0
        assert entries[name]["num_none_requests"] == 0, "each message has the time of its event"
    assert not any(one["num_failures"] for one in entries.values())
