"""docs/tutorial/your-own-server.md, followed to the letter with examples/tornado."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rtbench.scenario.loading import load

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "tornado"
GUIDE = (ROOT / "docs/tutorial/your-own-server.md").read_text(encoding="utf-8")
EASY = (
    "client_cpu_share=1.0", "run_delay_share=1.0", "steal_share=1.0", "publisher_late_s=60", "hub_lag_s=60",
    "server_run_delay_share=1.0", "drift_share=100", "retransmit_share=1.0", "stamped_share=0.0", "edge_share=1.0",
    "moved_share=1000",
)  # fmt: skip


def block(language: str, which: int = 0) -> str:
    """One of the guide's blocks of code in this language: by default the first."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)[which]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Step 1: a copy of the example, in a folder of its own."""
    if importlib.util.find_spec("tornado") is None:
        pytest.skip("the example needs the package tornado: pip install tornado")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))


def rtbench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the guide, run in that folder; `python3` is the one that has tornado."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "rtbench.cli", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=600, check=False
    )


def test_the_guide_s_table_is_the_example_s() -> None:
    shown, shipped = tomllib.loads(block("toml")), tomllib.loads((EXAMPLE / "subject.toml").read_text())
    for row in shipped["subject"]:
        del row["capabilities"], row["version"]
    assert shown == {name: value for name, value in shipped.items() if name not in ("name", "description")}


def test_the_folder_of_a_subject_is_beside_its_table(mine: Path) -> None:
    assert Path(load(str(mine / "subject.toml")).subject[0].cwd) == mine


@pytest.mark.slow
def test_it_is_verified_from_its_table(mine: Path) -> None:
    done = rtbench(mine, "verify", "subject.toml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)
    assert found["target"] == "sse-tornado"
    passed = {case["name"] for case in found["cases"] if case["status"] == "passed"}
    assert {"bytes", "order", "churn", "shutdown", "no-compression", "quiet-log"} <= passed


@pytest.mark.slow
def test_it_is_verified_from_the_guide_s_python_file(mine: Path) -> None:
    code = block("python")
    assert '"/where/it/is"' in code
    (mine / "mine.py").write_text(code.replace("/where/it/is", str(mine)))
    done = rtbench(mine, "verify", "mine.py", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)[0]["target"] == "sse-mine"


@pytest.mark.slow
def test_the_guide_s_server_on_our_hub_keeps_the_whole_contract(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(block("python", 1))
    done = rtbench(tmp_path, "verify", "mine.py", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)
    others = {case["name"] for case in found["cases"] if case["status"] != "passed"}
    # It declares no coding and is asked over HTTP/1.1 in cleartext; only root can make a socket vanish.
    unasked = {
        "compression-deflate",
        "compression-gzip",
        "compression-zstd",
        "tls",
        "http2-limit",
        "http2-stopped-reader",
    }
    assert others == unasked | (set() if os.geteuid() == 0 else {"dead-peer"})


@pytest.mark.slow
def test_it_is_compared(mine: Path) -> None:
    quick = [
        "subscribers=10",
        "blocks=1",
        "window_s=1",
        "warmup_s=0.3",
        "warmup_messages=5",
        "grace_s=0.5",
        *(f"validity.{one}" for one in EASY),
    ]
    words = [word for setting in quick for word in ("--set", setting)]
    done = rtbench(mine, "run", "subject.toml", "--out", "results", *words)
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: too busy a machine to conclude
    report = json.loads((mine / "results" / "report" / "report.json").read_text())
    assert [warning for warning in report["warnings"] if warning["kind"] == "publishing"] == []
    assert {trial["subject"] for trial in report["trials"]} == {"sse-tornado", "sse-aiohttp"}
    for trial in report["trials"]:
        assert trial["status"] in ("ok", "invalid"), trial["reasons"]
        assert trial["metrics"]["delivered"] == trial["metrics"]["expected"] > 0
        assert trial["metrics"]["latency_app_p50_ns"] > 0


def test_a_table_without_a_subject_cannot_be_verified(tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text('subjects = ["sse-aiohttp"]\n')
    done = rtbench(tmp_path, "verify", "none.toml")
    assert done.returncode == 2
    assert (
        done.stderr == "rtbench: none.toml: defines no subject: add a [[subject]] table; see README, Your own server\n"
    )
