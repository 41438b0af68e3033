"""A user's own servers from end to end: a Python file, a [[subject]], a URL and an installed package, in one campaign.

The scenario is `smoke` with a handful of subscribers; what is looked at is the report and the raw files.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtbench.records.tables import read_table
from rtbench.scenario.loading import FOLDER

pytestmark = pytest.mark.slow

SUBSCRIBERS, PER_SECOND, WINDOW_S = 4, 20, 1

OURS = """
from rtbench.servers.sse_aiohttp import serve
from rtbench.subjects import Subject

SUBJECT = Subject(name="{name}", transport="sse", stack="aiohttp", serve=serve, description="somebody's own")
"""

PROGRAM = '''
"""An SSE server of somebody's own: POST /in/STREAM is sent to everybody at /out/STREAM."""
import asyncio, sys

clients = []

async def handle(reader, writer):
    mine = None
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = head.split(b"\\r\\n")
            method, path, _ = lines[0].split()
            if method == b"POST":
                size = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
                body = await reader.readexactly(size)
                for stream, one in clients:
                    if path == b"/in/" + stream:
                        one.write(b"data: " + body + b"\\n\\n")
                writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
            elif path == b"/health":
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
            else:
                mine = path.removeprefix(b"/out/"), writer
                clients.append(mine)
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        if mine:
            clients.remove(mine)
        writer.close()

async def main():
    server = await asyncio.start_server(handle, sys.argv[1], int(sys.argv[2]))
    await server.serve_forever()

asyncio.run(main())
'''

TABLE = """
[[subject]]
name = "sse-table"
transport = "sse"
command = [{python}, {script}, "{{host}}", "{{port}}"]
ready = "/health"
version = ["echo", "somebody's server 7"]
post_path = "/in/{{stream}}"
path = "/out/{{stream}}"
"""


class Campaign:
    """What a campaign left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = json.loads((folder / "report" / "report.json").read_text())
        self.trials = {row["subject"]: row for row in self.report["trials"]}
        rows = json.loads((folder / "campaign.json").read_text())["trials"]
        self.directories = {row["subject"]: folder / row["directory"] for row in rows}

    def manifest(self, subject: str) -> Any:
        return json.loads((self.directories[subject] / "manifest.json").read_text())


def rtbench(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtbench.cli", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with a distribution that adds a subject."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "somebodys_package.py").write_text(OURS.format(name="sse-installed"))
    info = folder / "somebodys_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rtbench.subjects]\nsse-installed = somebodys_package:SUBJECT\n")
    return folder


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Campaign:
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(OURS.format(name="sse-mine"))
    (folder / "server.py").write_text(PROGRAM)
    serve = [sys.executable, "-m", "rtbench.cli", "serve", "sse-aiohttp", "--set", f"workload.rate_hz={PER_SECOND}"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as remote:
        try:
            assert remote.stdout is not None
            url = remote.stdout.readline().split()[-1] + "/sse/fanout"
            names = ["mine.py", "sse-table", "sse-installed", url]
            text = (FOLDER / "smoke.toml").read_text()
            text = re.sub(r"(?m)^subjects = .*$", f"subjects = {json.dumps(names)}", text)
            table = TABLE.format(python=json.dumps(sys.executable), script=json.dumps(str(folder / "server.py")))
            (folder / "own.toml").write_text(text + table)
            settings = [f"subscribers={SUBSCRIBERS}", "blocks=1", f"window_s={WINDOW_S}"]
            words = [word for setting in settings for word in ("--set", setting)]
            done = rtbench(
                "run", "own.toml", "--out", "out", "--quiet", *words, folder=folder, PYTHONPATH=str(installed)
            )
        finally:
            remote.terminate()
    assert done.returncode in (0, 3), done.stderr + done.stdout
    return Campaign(folder / "out")


OWN = ["sse-mine", "sse-table", "sse-installed"]


def test_all_of_them_were_measured(campaign: Campaign) -> None:
    assert len(campaign.trials) == 4
    assert {row["status"] for row in campaign.trials.values()} <= {"ok", "invalid"}, [
        row["reasons"] for row in campaign.trials.values()
    ]


@pytest.mark.parametrize("subject", OWN)
def test_every_message_of_the_window_came_once_in_order_and_unchanged(campaign: Campaign, subject: str) -> None:
    metrics = campaign.trials[subject]["metrics"]
    expected = SUBSCRIBERS * PER_SECOND * WINDOW_S
    audited = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")
    assert [metrics[name] for name in audited] == [expected, expected, 0, 0, 0, 0]
    assert metrics["latency_app_p50_ns"] > 0
    assert metrics["server_cpu_ns_per_message"] > 0


def test_what_each_is_stands_in_its_manifest(campaign: Campaign) -> None:
    mine, table, installed = (campaign.manifest(name) for name in OWN)
    assert mine["fairness"]["stack"].startswith("aiohttp ")
    assert installed["fairness"]["stack"].startswith("aiohttp ")
    assert table["fairness"]["stack"] == "sse-table (somebody's server 7)"
    assert (table["carries_id"], mine["carries_id"]) == ("payload", "protocol")
    assert {one["due"] for one in (mine, table, installed)} == {"publisher"}
    assert (campaign.directories["sse-table"] / "server.log").exists()


def test_a_server_at_a_url_is_charged_from_its_own_plan(campaign: Campaign) -> None:
    (url,) = [name for name in campaign.trials if name.startswith("http://")]
    manifest, metrics = campaign.manifest(url), campaign.trials[url]["metrics"]
    assert (manifest["due"], manifest["arm"]) == ("plan", "remote")
    assert metrics["lost"] == metrics["duplicated"] == metrics["reordered"] == metrics["corrupted"] == 0
    assert metrics["delivered"] == metrics["expected"] > 0
    assert 0 < metrics["latency_app_p50_ns"] < 60 * 10**9  # on one clock with the plan
    assert metrics["server_cpu_ns_per_message"] is None
    assert metrics["due_to_sent_p50_ns"] is None  # nobody knows when it was ready to send
    ticks = read_table(campaign.directories[url] / "ticks.parquet", "ticks")
    assert set(ticks["payload_bytes"].tolist()) == {150}


def test_verify_and_list_know_them_too(installed: Path, tmp_path: Path) -> None:
    listed = rtbench("list", "subjects", "--json", folder=tmp_path, PYTHONPATH=str(installed))
    assert "sse-installed" in [row["subject"] for row in json.loads(listed.stdout)]
    (tmp_path / "mine.py").write_text(OURS.format(name="sse-mine"))
    done = rtbench("verify", "mine.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("sse-mine: passes\n")


def test_a_package_that_cannot_be_imported_is_named_in_one_line(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    info = broken / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rtbench.subjects]\nx = no_such_module:SUBJECT\n")
    done = rtbench("list", "subjects", folder=tmp_path, PYTHONPATH=str(broken))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("rtbench: the entry point x (no_such_module:SUBJECT) cannot be loaded")
