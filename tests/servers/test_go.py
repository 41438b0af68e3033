"""The Go stack (`make go`): what is its own. (Its subjects are in tests/conformance as all are.)

Its unit tests are Go's: `go test ./...` in servers/go. One test here runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import asdict

from rtbench.messages.server import Bounds
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ServerTable
from rtbench.servers.stacks import go
from rtbench.subjects.registry import find

BOUNDS = asdict(Bounds.of(ServerTable()))
FOLDER = Path(__file__).parents[2] / "servers" / "go"
USUAL = "/usr/local/go/bin"


def built() -> str:
    """The program. Skips the test when it is not built."""
    if not go.BINARY.exists():
        pytest.skip("the Go stack is not built: make go")
    return str(go.BINARY)


@pytest.mark.slow
def test_its_source_is_formatted_vetted_and_passes_its_own_tests():
    path = os.environ["PATH"] + os.pathsep + USUAL
    compiler, formatter = (shutil.which(name, path=path) for name in ("go", "gofmt"))
    if compiler is None or formatter is None:
        pytest.skip("go is missing: apt-get install golang-go, or https://go.dev/dl")
    unformatted = subprocess.run([formatter, "-l", FOLDER], capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""
    # Nothing is fetched, and with the same flags little is compiled: `make go` did, where it was run as this user.
    flags = {"GOFLAGS": "-mod=readonly -trimpath", "CGO_ENABLED": "0"}
    offline = os.environ | flags | {"GOPROXY": "off", "GOTOOLCHAIN": "local"}
    for command in (["vet", "./..."], ["test", "./..."]):
        done = subprocess.run(
            [compiler, *command], cwd=FOLDER, env=offline, capture_output=True, text=True, timeout=300, check=False
        )
        if "GOPROXY=off" in done.stderr:
            pytest.skip("the modules of servers/go are not there: make go")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "stack", "technique"),
    [("websocket", "coder/websocket v1.", "per-connection"), ("long-poll", "net/http of go1.", "encode-once")],
)
def test_it_says_what_it_uses(transport: str, stack: str, technique: str, tmp_path: Path):
    built()
    subject, scenario = find(f"{transport}-go"), Scenario()
    with (
        PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher,
        server_of(subject, scenario, publisher.socket_path, tmp_path, (), tmp_path / "server.log") as server,
    ):
        publisher.ready()
        server.ready()
        uses = server.uses
    assert uses["stack"].startswith(stack)
    assert uses["go"].startswith("go1.")
    assert uses["technique"] == subject.technique == technique
    assert uses["gomaxprocs"] == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "the options are wrong (unexpected end of JSON input)"),
        ('{"transport":"pigeon"}', 'the options are wrong (unknown transport "pigeon")'),
        ('{"transport":"sse"}', "the options are wrong (host or ingest is missing)"),
        (
            json.dumps({"transport": "sse", "host": "h", "ingest": "i", "limits": {"heartbeat_s": 0}}),
            "limits.heartbeat_s must be from 0.01 to 86400, not 0",
        ),
        (
            json.dumps(
                {
                    "transport": "sse",
                    "host": "192.0.2.1",
                    "ingest": "i",
                    "limits": {"heartbeat_s": 15},
                    "bounds": BOUNDS,
                }
            ),
            "cannot listen on 192.0.2.1:0 (cannot assign requested address): free that port or take --port 0",
        ),
    ],
)
def test_what_the_user_can_correct_is_one_line(argument: str, message: str):
    done = subprocess.run([built(), argument], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"rtbench: {message}\n")
