"""Links inside a results folder that lead out of it are neither read nor written through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.history import index
from rtbench.analysis.report.report import build
from rtbench.campaign.journal import Journal
from rtbench.errors import ResultsError
from rtbench.records import campaign, past
from rtbench.records.inside import inside, own, own_all

GOLDEN = Path(__file__).parents[1] / "golden/results"
LEADS = "is a link that leads out of the results folder, to "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder, and a file outside it that is nobody's business."""
    (tmp_path / "secret").write_text("root:x:0:0\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/mine.svg").write_text("precious")
    return Path(shutil.copytree(GOLDEN, tmp_path / "results" / "a"))


def test_inside_and_outside(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "a/out").symlink_to(tmp_path / "ab")
    (tmp_path / "a/in").symlink_to("b")
    (tmp_path / "a/loop").symlink_to("loop")
    (tmp_path / "named").symlink_to("a")
    a = tmp_path / "a"
    assert (
        inside(a, a) and inside(a, a / "b") and inside(a, a / "in") and inside(a, a / "gone") and inside(a, a / "loop")
    )
    assert inside(tmp_path / "named", tmp_path / "named/b"), "the folder itself may be a link"
    assert not inside(a, tmp_path / "ab") and not inside(a, a / "out") and not inside(a, a / "out/x")
    assert not inside(a, a / "../ab") and inside(Path("/"), Path("/etc"))
    own_all(a, a / "gone")
    with pytest.raises(ResultsError, match=LEADS):
        own_all(a, a)
    with pytest.raises(ResultsError, match=LEADS):
        own(a, a / "out")


def link(path: Path, to: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(to)


@pytest.mark.parametrize(
    "name", ["campaign.json", "trials", "trials/001-*", "trials/001-*/ticks.parquet", "trials/001-*/manifest.json"]
)
def test_what_is_read_lies_inside(folder: Path, name: str) -> None:
    (path,) = folder.glob(name)
    link(path, folder.parents[1] / ("secret" if path.is_file() else "outside"))
    with pytest.raises(ResultsError, match=LEADS) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["report", "report/figures", "report/report.html", "report/figures/cpu.svg"])
def test_what_is_written_lies_inside(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    link(path, folder.parents[1] / ("secret" if path.suffix else "outside"))
    with pytest.raises(ResultsError, match=LEADS):
        build([folder])
    assert (folder.parents[1] / "secret").read_text() == "root:x:0:0\n"
    assert (folder.parents[1] / "outside/mine.svg").read_text() == "precious"


def test_a_resumed_campaign_writes_inside(folder: Path) -> None:
    record = campaign.load(folder)
    link(folder / "verification", folder.parents[1] / "outside")
    with pytest.raises(ResultsError, match=LEADS):
        Journal(folder, record)


def test_the_list_of_campaigns_shows_nothing_from_outside(folder: Path) -> None:
    (folder / "report").mkdir()
    link(folder / "report/report.md", folder.parents[1] / "secret")
    (row,) = past.campaigns(folder.parent)
    assert row.answer == "" and not row.fault
    page = index.rebuild(folder.parent)
    assert page is not None and "root:x" not in page.read_text() and "report.md" not in page.read_text()
    link(folder / "campaign.json", folder.parents[1] / "secret")
    (row,) = past.campaigns(folder.parent)
    assert LEADS in row.fault


def test_names_in_campaign_json_lead_nowhere_else(folder: Path) -> None:
    document = json.loads((folder / "campaign.json").read_text())
    for name in ("../../outside", "/etc", "..", "trials/../../outside"):
        document["trials"][0]["directory"] = name
        (folder / "campaign.json").write_text(json.dumps(document))
        assert inside(folder, load(folder)[1].directory)
