"""Calibration: which campaigns in which order, what is stored for which machine, and how it is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rtbench.analysis.calibration import Check
from rtbench.campaign import calibrate
from rtbench.campaign.schedule import estimate
from rtbench.errors import ResultsError, UserError
from rtbench.machine.placement import Place
from rtbench.records import tables
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.names import is_faulty
from rtbench.subjects.registry import find

PLACE = Place((0,), (1,), (1,))


# The campaigns


def test_the_campaigns_are_the_files_and_all_load() -> None:
    tables = calibrate.scenarios()
    assert [table.name for table in tables] == sorted(path.stem for path in calibrate.FOLDER.iterdir())
    assert {table.name for table in tables} == {
        *("aa-short", "delay", "faults", "publisher-stop", "rested", "server-stop", "starved-long", "starved-short"),
        *("network-delay", "network-jitter", "network-loss", "network-rate", "network-thousand"),
    }
    assert all(table.description for table in tables)


def test_its_trials_take_five_minutes_at_most_without_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tables, why = calibrate.possible(calibrate.scenarios())
    assert why == "[network] needs root, for network namespaces"
    assert not any(table.name.startswith("network") for table in tables)
    takes = [estimate(table) for table in tables]
    assert sum(take.seconds - 15 for take in takes) <= 300  # 15: what a campaign of its own takes besides


def test_only_calibration_injects_faults_and_stops_processes() -> None:
    tables = {table.name: table for table in calibrate.scenarios()}
    assert all(is_faulty(name) for kind in ("delay", "faults") for name in tables[kind].subjects)
    assert [row.what for row in tables["server-stop"].faults.stop] == ["server"]
    assert [row.what for row in tables["publisher-stop"].faults.stop] == ["publisher"]
    assert tables["aa-short"].subjects[2:] == tuple(f"{name}@2" for name in tables["aa-short"].subjects[:2])


class Told:
    """Listens, verifies, and stands in for campaigns: everything that happens, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def trial(self, *_: Any) -> None: ...
    def stage(self, _: str) -> None: ...
    def done(self, *_: Any) -> None: ...

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def verify(self, subject: Subject, logs: Path) -> list[str]:
        self.events.append(("verify", subject.name))
        return [f"{subject.name}: wrong"]


class FakeCampaign:
    """Asks for every subject's problems, and is done."""

    told: Told

    def __init__(self, scenario: Scenario, folder: Path, command: str) -> None:
        self.scenario, self.folder = scenario, folder
        self.told.events.append(("begin", scenario.name, folder, command))

    def run(self, place: Place, progress: Any, verify: Any) -> None:
        assert place == PLACE
        assert progress is self.told
        for name in self.scenario.subjects:
            problems = verify(find(name), self.folder / name)
            self.told.events.append(("run", self.scenario.name, problems))

    def verdict(self) -> int:
        return 3

    def save(self, code: int) -> None:
        self.told.events.append(("save", code))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(FakeCampaign, "told", told, raising=False)
    monkeypatch.setattr(calibrate, "Campaign", FakeCampaign)
    return told


def table(name: str, *subjects: str, **more: Any) -> Scenario:
    return build({"name": name, "description": f"about {name}", "subjects": list(subjects), **more}, "here")


def test_each_campaign_has_its_folder_and_a_subject_is_verified_once(told: Told, tmp_path: Path) -> None:
    tables = [table("one", "sse-aiohttp", "sse-aiohttp@2"), table("two", "sse-aiohttp")]
    calibrate.measure(tables, tmp_path, "rtbench calibrate", PLACE, told, told.verify)
    first, again = ["sse-aiohttp: wrong"], ["sse-aiohttp@2: wrong"]
    assert told.events == [
        ("begin", "one", tmp_path / "one", "rtbench calibrate"),
        ("note", "one: about one"),
        ("verify", "sse-aiohttp"),
        ("run", "one", first),
        ("verify", "sse-aiohttp@2"),
        ("run", "one", again),
        ("save", 3),
        ("begin", "two", tmp_path / "two", "rtbench calibrate"),
        ("note", "two: about two"),
        ("run", "two", first),
        ("save", 3),
    ]


def test_nothing_is_run_when_one_campaign_cannot_be(told: Told, tmp_path: Path) -> None:
    tables = [table("one", "sse-aiohttp"), table("two", "sse-somebodys")]
    with pytest.raises(UserError, match="unknown subject 'sse-somebodys'"):
        calibrate.measure(tables, tmp_path, "", PLACE, told, told.verify)
    assert told.events == []


# What they show


GOOD = Check("delay of 5 ms, sse", 5.0, 5.1, "ms", "± 0.3 ms", True)
BAD = Check("lost, sse", 8, 9, "messages", "the same messages, named", False)


@pytest.mark.parametrize(
    ("checks", "met"), [([GOOD], True), ([GOOD, BAD], False), ([], False)], ids=["all", "not all", "none was made"]
)
@pytest.mark.parametrize("aa", [False, True])
def test_met_is_when_there_are_checks_and_all_are(checks: list[Check], met: bool, aa: bool) -> None:
    found = calibrate.result([check.row() for check in checks], {"m": {"sd": 0.1, "blocks": 6}}, aa)
    assert found["met"] is met
    assert found["checks"] == [check.row() for check in checks]
    assert found["noise"] == {"source": "aa" if aa else "calibrate", "metrics": {"m": {"sd": 0.1, "blocks": 6}}}
    assert found["schema"] == tables.SCHEMA
    assert found["environment"]["machine"]
    json.dumps(found, allow_nan=False)


# Stored by machine


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "rtbench" / "calibration"


def result(source: str, mark: str, machine: str = "abc") -> dict[str, Any]:
    return {
        "environment": {"machine": machine},
        "met": True,
        "measured_unix": float(len(mark)),
        "checks": [{"name": mark}],
        "noise": {"source": source, "metrics": {"m": mark}},
    }


def test_without_xdg_it_is_below_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert calibrate.home() == Path("/home/me/.local/state/rtbench/calibration")


def test_a_calibration_is_stored_by_its_machine(home: Path) -> None:
    one, other = result("calibrate", "one"), result("calibrate", "other", "def")
    assert calibrate.store(one) == home / "abc.json"
    assert calibrate.store(other) == home / "def.json"
    assert (calibrate.newest("abc"), calibrate.newest("def"), calibrate.newest("ghi")) == (one, other, None)
    newer = result("calibrate", "newer")
    calibrate.store(newer)
    assert calibrate.newest("abc") == newer


def stored(*results: dict[str, Any]) -> tuple[str, str, str | None]:
    """Whose checks, whose noise and whose A/A are kept."""
    for one in results:
        calibrate.store(one)
    kept = calibrate.newest("abc")
    assert kept is not None
    (check,) = kept["checks"]
    assert kept["measured_unix"] == len(check["name"])
    aa = kept.get("aa")
    return check["name"], kept["noise"]["metrics"]["m"], aa and aa["checks"][0]["name"]


def test_a_long_aa_gives_the_noise_whatever_is_calibrated_after_it() -> None:
    first, aa, second = result("calibrate", "first"), result("aa", "the aa"), result("calibrate", "2nd")
    assert stored(first, aa) == ("first", "the aa", "the aa")
    assert stored(second) == ("2nd", "the aa", "the aa")
    assert stored(result("aa", "another")) == ("2nd", "another", "another")


def test_an_aa_alone_is_all_there_is_until_something_is_calibrated() -> None:
    assert stored(result("aa", "1")) == ("1", "1", "1")
    assert stored(result("aa", "22")) == ("22", "22", "22")
    assert stored(result("calibrate", "333")) == ("333", "22", "22")


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_one_that_cannot_be_read_is_none_and_is_written_anew(home: Path, content: str) -> None:
    home.mkdir(parents=True)
    (home / "abc.json").write_text(content, encoding="latin-1")
    assert calibrate.newest("abc") is None
    assert stored(result("calibrate", "new")) == ("new", "new", None)


def test_an_unwritable_state_folder_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ResultsError, match=r"cannot write .*abc\.json \(Not a directory\): set XDG_STATE_HOME"):
        calibrate.store(result("calibrate", "one"))


# Shown


def test_the_table_says_expected_measured_deviation_and_whether_it_is_met() -> None:
    exact = Check("TCP bytes of the window, sse", 1_234_567, 1_234_567, "bytes", "exact", True)
    assert calibrate.table([GOOD.row(), BAD.row(), exact.row()]) == [
        "         check                         expected         measured   deviation  allowed",
        "ok       delay of 5 ms, sse            5 ms             5.1        +0.1       ± 0.3 ms",
        "NOT MET  lost, sse                     8 messages       9          +1         the same messages, named",
        "ok       TCP bytes of the window, sse  1,234,567 bytes  1,234,567  0          exact",
    ]


def test_a_table_of_nothing_is_its_head() -> None:
    assert calibrate.table([]) == ["  check  expected  measured  deviation  allowed"]


def test_a_check_without_a_unit_and_one_that_is_less() -> None:
    assert calibrate.table([Check("share", 0.5, 0.25, "", "± 0.1", False).row()])[1] == (
        "NOT MET  share  0.5       0.25      -0.25      ± 0.1"
    )
