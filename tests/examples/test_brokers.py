"""examples/centrifugo, mercure and pushpin: brokers that are subjects by their TOML alone, each message audited.

With stand-ins (tests/examples/stand_in.py), which take and send exactly what the broker does, everywhere; and with the
brokers themselves where they are installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtbench import programs
from rtbench.records.tables import read_table

ROOT = Path(__file__).parent.parent.parent
STAND_IN = Path(__file__).parent / "stand_in.py"
INSTALL = {
    "centrifugo": "go install github.com/centrifugal/centrifugo/v6@latest, with ~/go/bin on PATH",
    "mercure": "see examples/mercure/README.md",
    "pushpin": "apt-get install pushpin",
}
SUBJECTS = {
    "centrifugo": ["sse-centrifugo", "websocket-centrifugo"],
    "mercure": ["sse-mercure"],
    "pushpin": ["sse-pushpin"],
}
QUICK = (
    "subscribers=8", "blocks=1", "window_s=1", "warmup_s=0.3", "warmup_messages=3", "grace_s=0.5",
    "workload.rate_hz=20", "validity.reruns=0", "validity.moved_share=1000", "validity.client_cpu_share=1",
    "validity.hub_lag_s=60", "validity.publisher_late_s=60",
)  # fmt: skip


def rtbench(folder: Path, path: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtbench.cli", *words],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def stand_ins(tmp_path: Path) -> str:
    """A PATH with a stand-in for each broker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in INSTALL:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" {name} "$@"\n')
        script.chmod(0o755)
    return os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))


def audited(folder: Path, subjects: list[str]) -> None:
    """Each subject was measured, and every message came once, in order, byte for byte."""
    report = json.loads((folder / "report" / "report.json").read_text())
    trials = {trial["subject"]: trial for trial in report["trials"]}
    assert sorted(trials) == sorted(subjects)
    for trial in trials.values():
        assert trial["status"] in ("ok", "invalid"), trial["reasons"]
        assert not [one for one in trial["reasons"] if one["kind"] in ("publishing", "protocol fault")], trial[
            "reasons"
        ]
        metrics = trial["metrics"]
        assert metrics["delivered"] == metrics["expected"] >= 8 * 20
        assert [metrics[name] for name in ("lost", "duplicated", "reordered", "corrupted")] == [0, 0, 0, 0]
        assert metrics["payload_bytes_per_message"] == 150
    for directory in (folder / "trials").iterdir():
        rows, ticks = (read_table(directory / f"{name}.parquet", name) for name in ("deliveries", "ticks"))
        digests = dict(zip(ticks["seq"].tolist(), ticks["digest"].tolist(), strict=True))
        assert all(
            digests[seq] == digest for seq, digest in zip(rows["seq"].tolist(), rows["digest"].tolist(), strict=True)
        )


def compared(folder: Path, path: str, file: str) -> None:
    words = [word for setting in QUICK for word in ("--set", setting)]
    done = rtbench(folder, path, "run", file, "--out", "results", "--quiet", *words)
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: too busy a machine to conclude


@pytest.mark.slow
def test_the_examples_as_they_stand_with_stand_ins(tmp_path: Path, stand_ins: str) -> None:
    """One campaign of the three files: bodies, forms, headers, ports and paths are checked by who gets them."""
    tables: list[str] = []
    names: list[str] = []
    for name, subjects in SUBJECTS.items():
        text = (ROOT / "examples" / name / "subject.toml").read_text()
        table = text[text.index("[[subject]]") :]
        assert re.findall(r'(?m)^name = "(.*)"$', table) == subjects
        folder = shutil.copytree(ROOT / "examples" / name, tmp_path / name)
        tables.append(table.replace('cwd = "."', f"cwd = {json.dumps(str(folder))}"))
        names += subjects
    (tmp_path / "all.toml").write_text(f"subjects = {json.dumps(names)}\n" + "\n".join(tables))
    compared(tmp_path, stand_ins, "all.toml")
    audited(tmp_path / "results", names)


@pytest.mark.slow
def test_what_cannot_be_read_is_named_by_verify_and_is_no_crash(tmp_path: Path, stand_ins: str) -> None:
    folder = shutil.copytree(ROOT / "examples/centrifugo", tmp_path / "mine")
    done = rtbench(folder, stand_ins, "verify", "subject.toml", "--json", STAND_IN_BREAKS="5")
    assert done.returncode == 1, done.stdout + done.stderr
    for found in json.loads(done.stdout):
        problems = {case["name"]: " ".join(case["problems"]) for case in found["cases"] if case["status"] == "failed"}
        assert 'nothing to take at pub.data of b\'{"channel":"fanout-0","pub":{}}\' (no data)' in problems["bytes"]
        assert 'nothing to take at pub.data of b\'{"channel":"fanout-0","pub":{"data":{"i' in problems["bytes"]


@pytest.mark.slow
def test_a_body_that_the_broker_does_not_take_is_named_by_verify(tmp_path: Path, stand_ins: str) -> None:
    folder = shutil.copytree(ROOT / "examples/centrifugo", tmp_path / "mine")
    text = (folder / "subject.toml").read_text()
    text = text[: text.rindex("[[subject]]")].replace('"data": {message}', '"data": {message}, "x": {id}')
    (folder / "subject.toml").write_text(text.replace('"websocket-centrifugo", ', ""))
    done = rtbench(folder, stand_ins, "verify", "subject.toml", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    problems = [problem for found in json.loads(done.stdout) for case in found["cases"] for problem in case["problems"]]
    assert any(problem.startswith("publishing is refused: POST http://127.0.0.1:") for problem in problems), problems


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALL)
def test_the_broker_itself(tmp_path: Path, name: str) -> None:
    if programs.find(name) is None:
        pytest.skip(f"the example needs the program {name}: {INSTALL[name]}")
    folder = shutil.copytree(ROOT / "examples" / name, tmp_path / "mine")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = rtbench(folder, path, "verify", "subject.toml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    for found in json.loads(done.stdout):
        passed = {case["name"] for case in found["cases"] if case["status"] == "passed"}
        assert {"bytes", "order", "churn", "no-compression"} <= passed
    compared(folder, path, "subject.toml")
    audited(folder / "results", [*SUBJECTS[name], "sse-aiohttp"])
