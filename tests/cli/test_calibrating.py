"""`rtbench calibrate` and `rtbench aa`, with campaigns that only pretend."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from rtbench.analysis import calibration as truths
from rtbench.analysis.calibration import Check
from rtbench.campaign import calibrate
from rtbench.campaign import loopback as bench
from rtbench.cli import running
from rtbench.errors import SubjectError
from rtbench.machine.placement import Place
from rtbench.records.loopback import Loopback, LoopbackPace
from rtbench.scenario.model import Scenario

from .conftest import Call, refused


class Calibrating:
    """What a calibration measures, judges and stores."""

    def __init__(self) -> None:
        self.met = True
        self.broken = False
        self.measured: list[tuple[list[str], Path, str, Place]] = []
        self.judged: list[tuple[Path, bool]] = []
        self.stored: list[dict[str, Any]] = []
        self.cores: set[int] = set()

    def measure(
        self, tables: list[Scenario], folder: Path, command: str, place: Place, progress: Any, verify: Any
    ) -> None:
        assert verify is running.check_quickly
        self.cores = os.sched_getaffinity(0)
        self.measured.append(([table.name for table in tables], folder, command, place))
        progress.note("a note")

    def checks(self, folder: Path, aa: bool) -> list[Check]:
        self.judged.append((folder, aa))
        return [Check(name, 5, 5, "ms", "exact", met) for name, met in (("one", True), ("two", self.met))]

    def loopback(self, answers: tuple[str, str]) -> Loopback:
        assert answers == ("both", "paces")
        if self.broken:
            raise SubjectError("the loopback bench ended early (SIGKILL)")
        none = LoopbackPace(gap_s=0.05, rounds=10, share_ns=None, states={})
        return Loopback(
            message_bytes=170, connections=250, sustained=none, sparse=none, acknowledged_ns=None, at_least_ns=None,
            why_not="it takes root",
        )  # fmt: skip

    def store(self, result: dict[str, Any]) -> Path:
        self.stored.append(result)
        return Path("/state/abc.json")


@pytest.fixture
def calibrating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calibrating:
    calibrating = Calibrating()
    monkeypatch.chdir(tmp_path)
    for name in ("measure", "store"):
        monkeypatch.setattr(calibrate, name, getattr(calibrating, name))
    monkeypatch.setattr(truths, "judge", lambda folder: calibrating.checks(folder, False))
    monkeypatch.setattr(truths, "judge_aa", lambda folder: calibrating.checks(folder, True))
    monkeypatch.setattr(bench, "measure", lambda place, folder: ("both", "paces"))
    monkeypatch.setattr(truths, "loopback", lambda *answers: calibrating.loopback(answers))
    monkeypatch.setattr(truths, "noise_of", lambda folder: {"latency": {"floor": 1.1}})
    return calibrating


def test_calibrate_measures_judges_stores_and_shows(call: Call, calibrating: Calibrating) -> None:
    here = Place.here()
    ran = call("calibrate", "--out", "there")
    assert (ran.code, ran.err) == (0, "a note\n")
    names = [table.name for table in calibrate.possible(calibrate.scenarios())[0]]
    assert calibrating.measured == [(names, Path("there"), "rtbench calibrate --out there", here)]
    assert calibrating.judged == [(Path("there"), False)]
    (stored,) = calibrating.stored
    assert (stored["met"], [row["name"] for row in stored["checks"]]) == (True, ["one", "two"])
    assert stored["noise"] == {"source": "calibrate", "metrics": {"latency": {"floor": 1.1}}}
    head, one, two, loopback, *_, last = ran.out.splitlines()
    assert head.split() == ["check", "expected", "measured", "deviation", "allowed"]
    assert (one.split()[:2], two.split()[:2]) == (["ok", "one"], ["ok", "two"])
    assert loopback.startswith("loopback, what a sender pays for its receiver was not measured: it takes root; run")
    assert stored["loopback"]["why_not"] == "it takes root"
    assert last == "2 of 2 met; stored as /state/abc.json, raw files in there"


def test_a_broken_bench_is_reported_and_the_truths_are_judged(call: Call, calibrating: Calibrating) -> None:
    calibrating.broken = True
    ran = call("calibrate")
    assert (ran.code, ran.err) == (0, "loopback: not measured: the loopback bench ended early (SIGKILL)\na note\n")
    assert "loopback" not in calibrating.stored[0]
    assert ran.out.splitlines()[-1].startswith("2 of 2 met")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is nothing to keep off")
def test_calibrate_keeps_off_the_servers_core_and_knows_it(call: Call, calibrating: Calibrating) -> None:
    """Chosen before the command left the server's core: afterwards that core would be nobody's."""
    here = Place.here()
    call("calibrate")
    assert calibrating.measured[0][3] == here
    assert calibrating.cores == set(here.load) | set(here.publisher)
    assert not calibrating.cores & set(here.server)


def test_a_truth_that_is_not_met_is_a_finding(call: Call, calibrating: Calibrating) -> None:
    calibrating.met = False
    ran = call("calibrate", "--out", "there", "--quiet")
    assert ran.code == 1
    assert "NOT MET" in ran.out
    assert ran.out.splitlines()[-1].startswith("1 of 2 met")
    assert len(calibrating.stored) == 1  # it is what this machine is


def test_calibrate_as_json(call: Call, calibrating: Calibrating) -> None:
    ran = call("calibrate", "--json")
    assert json.loads(ran.out) == calibrating.stored[0]
    assert re.fullmatch(r"results/\d{8}-\d{6}-calibration", str(calibrating.judged[0][0]))


def test_aa_is_one_campaign_that_can_be_set(call: Call, calibrating: Calibrating) -> None:
    ran = call("aa", "--set", "blocks=3", "--set", "subscribers=20")
    assert ran.code == 0
    assert "loopback" not in calibrating.stored[0]
    ((names, folder, _, _),) = calibrating.measured
    assert names == ["aa"]
    assert re.fullmatch(r"results/\d{8}-\d{6}-aa", str(folder))
    assert calibrating.judged == [(folder / "aa", True)]
    assert "unknown key rounds: choose one of name, description, subjects" in refused(call("aa", "--set", "rounds=3"))


@pytest.mark.parametrize("command", ["calibrate", "aa"])
def test_an_interrupted_calibration_stores_nothing(
    call: Call, calibrating: Calibrating, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def measure(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrate, "measure", measure)
    assert call(command).code == 130
    assert calibrating.stored == []
