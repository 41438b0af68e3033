"""Past campaigns: what each folder comes to, and a line for what is damaged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from rtbench.records import past

GOLDEN = Path(__file__).parents[1] / "golden/results"


@pytest.fixture
def holder(tmp_path: Path) -> Path:
    """Two campaigns, of which the older one lies in the later name."""
    for name, started in (("a", 2e9), ("b", 1e9)):
        (tmp_path / name / "report").mkdir(parents=True)
        document = json.loads((GOLDEN / "campaign.json").read_text())
        (tmp_path / name / "campaign.json").write_text(
            json.dumps({**document, "started_unix": started, "environment": {"cpu": "A CPU", "cores": 2}})
        )
    (tmp_path / "a/report/report.md").write_text("## ci\n\n1. **SSE** 3 &lt; 4 a\\|b.\n2. More.\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").write_text("")
    return tmp_path


def test_newest_first_with_what_there_is_to_know(holder: Path) -> None:
    a, b = past.campaigns(holder)
    document = json.loads((GOLDEN / "campaign.json").read_text())
    statuses = [trial["status"] for trial in document["trials"]]
    assert (a.folder, b.folder) == (holder / "a", holder / "b")
    assert (a.scenario, a.started) == (document["scenario"]["name"], "2033-05-18 03:33 UTC")
    assert (a.valid, a.trials, a.exit) == (statuses.count("ok"), len(statuses), document.get("exit"))
    assert a.machine == "A CPU, 2 cores"
    assert (a.answer, b.answer) == ("SSE 3 < 4 a|b.", "")
    assert (a.fault, b.fault) == ("", "")
    assert a.row() == {
        "result": str(holder / "a"), "scenario": a.scenario, "started_unix": 2e9, "machine": a.machine,
        "valid": a.valid, "trials": a.trials, "exit": a.exit, "answer": a.answer, "fault": "",
    }  # fmt: skip


def test_a_missing_folder_is_not_a_campaign(tmp_path: Path) -> None:
    assert past.campaigns(tmp_path / "none") == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"null",
        b'{"schema": 99}',
        b'{"schema": 1, "trials": 5}',
        b'{"schema": 1, "exit": ""}',
    ],
)
def test_a_damaged_campaign_is_one_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/campaign.json").write_bytes(text)
    (row,) = past.campaigns(tmp_path)
    assert row.fault.startswith("campaign.json: ") and "\n" not in row.fault
    assert row.state == row.fault


def test_a_missing_file_and_one_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MOST_BYTES", 10)
    for name in ("folder", "pipe", "long", "gone"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder/campaign.json").mkdir()
    os.mkfifo(tmp_path / "pipe/campaign.json")
    (tmp_path / "long/campaign.json").write_text(" " * 11)
    (tmp_path / "gone/trials").mkdir()
    assert {row.folder.name: row.fault for row in past.campaigns(tmp_path)} == {
        "folder": "campaign.json is not a file",
        "pipe": "campaign.json is not a file",
        "long": "campaign.json has more than 10 bytes",
        "gone": "campaign.json: is missing",
    }


def test_an_empty_campaign_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/campaign.json").write_text('{"schema": 1, "started_unix": 1e299}')
    (row,) = past.campaigns(tmp_path)
    assert (row.started, row.state) == ("", "0 of 0 trials valid, not finished")


def test_only_the_head_of_a_report_is_read(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "HEAD_BYTES", 6)
    assert past.campaigns(holder)[0].answer == ""
    shutil.rmtree(holder / "a/report")
    os.mkfifo(holder / "a/report")
    assert past.campaigns(holder)[0].answer == ""


def test_only_so_many_folders_are_read(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MOST_FOLDERS", 1)
    os.utime(holder / "b", (3e9, 3e9))
    assert [row.folder.name for row in past.campaigns(holder)] == ["b"]
