"""`rtbench capacity`, with trials that only pretend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbench.campaign import campaign as campaigns
from rtbench.capacity import probing
from rtbench.capacity.judging import Judged
from rtbench.cli import capacity
from rtbench.machine.placement import Place
from rtbench.records import tables
from rtbench.records.capacity import ProbeRow
from rtbench.records.manifest import Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import plain
from rtbench.scenario.model import Scenario
from rtbench.trial import Spec

from .conftest import Call, document, refused

pytestmark = pytest.mark.slow
WORDS = ("capacity", "smoke", "--subjects", "sse-aiohttp", "--from", "100", "--out", "out", "--seed", "7")


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the pretended server holds; `stop`: the trial in which Ctrl-C is pressed."""
    monkeypatch.chdir(tmp_path)
    held = {"most": 250.0, "stop": 0.0}

    def run(spec: Spec, folder: Path, place: Place, stage: Callable[[str], None]) -> Manifest:
        if spec.number == held["stop"]:
            raise KeyboardInterrupt
        (folder / spec.directory).mkdir(parents=True)
        made = Manifest(schema=2, status="ok", reasons=[])
        tables.write_json(folder / spec.directory / "manifest.json", plain(made))
        return made

    def judge(directory: Path, number: int, value: float, table: Scenario) -> Judged:
        holds = value <= held["most"]
        row = ProbeRow(
            value=value, late_or_lost=0.0 if holds else 0.5, status="ok", trial=number,
            window_s=3 * table.window_s, verdict="holds" if holds else "fails",
            limited_by="" if holds else "server core",
        )  # fmt: skip
        return Judged(row, 0.4)

    monkeypatch.setattr(campaigns.trial, "run", run)
    monkeypatch.setattr(campaigns, "inventory", lambda: Reason("inventory"))
    monkeypatch.setattr(campaigns, "fingerprint", dict)
    monkeypatch.setattr(campaigns, "stay_on", lambda _: None)
    monkeypatch.setattr(probing, "judge", judge)
    monkeypatch.setattr(capacity, "build", lambda folders: None)
    monkeypatch.setattr(capacity, "check_quickly", lambda subject, logs: [])
    return held


def test_a_closed_bracket_is_a_table_and_exit_0(call: Call, held: dict[str, float]) -> None:
    code, out, err = call(*WORDS)
    title, heads, row, step, report = out.splitlines()
    assert code == document(Path("out"))["exit"] == 0
    assert title.startswith("Capacity by subscribers: 99 % of the deliveries within 50 ms, at most 0 % lost")
    assert heads.split("  ")[0] == "subject"
    found = json.loads(Path("out/capacity.json").read_text())["subjects"][0]
    assert found["low"] <= 250 < found["high"]
    assert row.split() == [
        "sse-aiohttp", f"{found['low']:g}", f"{found['high']:g}", "server", "core", str(len(found["probes"])),
    ]  # fmt: skip
    assert step.startswith(f"Next: `rtbench run smoke --set subscribers={found['low']:g}`")
    assert report == "report: out/report/report.html"
    first = next(line for line in err.splitlines() if line.startswith("sse-aiohttp"))
    assert first.startswith("sse-aiohttp subscribers=100: holds (0 % late or lost, ")
    assert first.endswith("; 100 or more")


def test_json_is_capacity_json(call: Call, held: dict[str, float]) -> None:
    ran = call(*WORDS, "--json", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == json.loads(Path("out/capacity.json").read_text())


def test_an_open_bracket_is_exit_3(call: Call, held: dict[str, float]) -> None:
    code, out, _ = call(*WORDS, "--to", "200")
    assert code == document(Path("out"))["exit"] == 3
    assert "200 or more" in out and "--to" in out


def test_ctrl_c_keeps_the_probes_and_resume_goes_on(call: Call, held: dict[str, float]) -> None:
    held["stop"] = 3
    code, out, err = call(*WORDS)
    assert code == document(Path("out"))["exit"] == 130
    assert "2 probes are kept in out; continue with: rtbench capacity smoke" in err
    assert "100 or more" in out or "200 or more" in out
    held["stop"] = 0
    assert "by subscribers, not workload.rate_hz" in refused(call(*WORDS, "--resume", "--by", "workload.rate_hz"))
    assert call(*WORDS, "--resume").code == 0
    assert len(document(Path("out"))["trials"]) == len(
        json.loads(Path("out/capacity.json").read_text())["subjects"][0]["probes"]
    )
