"""examples/ci: the gate that an engineer copies works as it stands, and closes on a server that loses messages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "examples/ci"
QUICK = (
    "subscribers=5", "blocks=1", "warmup_s=0.3", "warmup_messages=5", "window_s=1", "grace_s=0.5",
    "validity.reruns=0", "validity.moved_share=1000",
    "validity.hub_lag_s=60", "validity.publisher_late_s=60", "validity.client_cpu_share=1",
)  # fmt: skip


def rtbench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "rtbench.cli", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    """What the workflow has: the base and the head of a repository, side by side."""
    for side in ("base", "head"):
        shutil.copytree(HERE, tmp_path / side)
    return tmp_path


@pytest.mark.slow
def test_the_gate_measures_base_and_head_and_compares_them(checkouts: Path) -> None:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    ran = rtbench(checkouts, "run", "head/gate.toml", "--out", "results/gate", "--quiet", *settings)
    assert ran.returncode in (0, 1, 3), ran.stderr  # 1, 3: a busy machine may be too slow for its thresholds
    trials = json.loads((checkouts / "results/gate/campaign.json").read_text())["trials"]
    assert len(trials) == 2 and {row["status"] for row in trials} <= {"ok", "invalid"}
    told = rtbench(checkouts, "compare", "results/gate", "--subjects", "base,head", "--format", "json")
    changes = {row["metric"]: row for row in json.loads(told.stdout)["changes"]}
    assert (changes["lost"]["before"], changes["lost"]["now"]) == (0, 0)
    assert changes["tcp_down_bytes_per_message"]["before"] > 150


@pytest.mark.slow
def test_the_gate_closes_on_a_server_that_loses_messages(checkouts: Path) -> None:
    server = checkouts / "head/server.py"
    sent = server.read_text()
    assert "await response.write(event)" in sent
    losing = "if b'5,\"data\":' not in event:\n                await response.write(event)"
    server.write_text(sent.replace("await response.write(event)", losing))
    settings = [word for setting in QUICK for word in ("--set", setting)]
    ran = rtbench(checkouts, "run", "head/gate.toml", "--out", "results/gate", "--quiet", *settings)
    # verification refuses it before it is measured (R12): failed, never fast, and its thresholds have no value
    assert ran.returncode == 1
    assert re.search(r"caveat: head\.lost.* a limit but no value", ran.stdout), ran.stdout
    told = rtbench(checkouts, "compare", "results/gate", "--subjects", "base,head")
    assert told.returncode == 3 and "too few trials: head has 0 valid trials now" in told.stdout


def test_the_workflow_uses_what_there_is() -> None:
    workflow = (HERE / "benchmark.yml").read_text()
    used = re.findall(r"rtbench (run|compare) (\S+)", workflow)
    assert ("run", "head/gate.toml") in used and ("compare", "results/gate") in used
    assert "--subjects base,head" in workflow and "upload-artifact" in workflow
    assert re.search(r'pip install .*"rtbench @ git\+https://', workflow)  # it is on no index
