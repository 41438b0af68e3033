"""results/index.html: where it is written, and that a folder's text stays text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rtbench.analysis.history import index

GOLDEN = Path(__file__).parents[1] / "golden/results"


def campaign(folder: Path, **changed: object) -> None:
    (folder / "report").mkdir(parents=True)
    document = json.loads((GOLDEN / "campaign.json").read_text())
    (folder / "campaign.json").write_text(json.dumps({**document, **changed}))
    (folder / "report/report.md").write_text("## ci\n\n1. The answer &lt;i&gt;.\n")


def test_a_folder_of_results_gets_a_page(tmp_path: Path) -> None:
    holder = tmp_path / "results"
    campaign(holder / 'a "<b>"', scenario={"name": "<script>"})
    (holder / "bad").mkdir()
    (holder / "bad/campaign.json").write_text("{")
    assert index.rebuild(holder) == holder / "index.html"
    page = (holder / "index.html").read_text()
    assert "&lt;script&gt;" in page and "<script" not in page and "The answer &lt;i&gt;." in page
    assert 'href="a%20%22%3Cb%3E%22/report/report.md"' in page and "report/report.html" not in page
    assert "campaign.json: cannot be read" in page
    shutil.rmtree(holder / "bad")
    index.rebuild(holder)
    assert "cannot be read" not in (holder / "index.html").read_text()


def test_other_folders_get_none_and_a_strangers_page_stays(tmp_path: Path) -> None:
    holder = tmp_path / "results"
    campaign(holder / "a")
    assert index.rebuild(tmp_path) is None and not (tmp_path / "index.html").exists()
    (holder / "index.html").write_text("mine")
    assert index.rebuild(holder) is None
    assert (holder / "index.html").read_text() == "mine"


def test_a_page_of_ours_is_kept_up_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(index.MARK)
    assert index.rebuild(tmp_path) == tmp_path / "index.html"
    assert "There are no campaigns here." in (tmp_path / "index.html").read_text()


def test_a_page_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "results/index.html").mkdir(parents=True)
    with pytest.raises(OSError):
        index.rebuild(tmp_path / "results")
