"""The report's tables of a storm and of churn: they are there where a trial has them, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence.gathering import gather
from rtbench.analysis.report import crowds
from rtbench.records.tables import TABLES, read_table, write_table

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(make: ModuleType, tmp_path: Path) -> Path:
    plan = make.Plan(subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=1, subscribers=4, window_s=2.0)
    return Path(make.write(tmp_path / "campaign", plan))


def test_without_a_storm_and_visitors_there_are_no_rows(folder: Path) -> None:
    evidence = gather(load(folder))
    assert crowds.storm(evidence) == crowds.churn(evidence) == ([], [])
    (drawn,) = (figure.draw(evidence) for figure in figures.catalogue() if figure.name == "storm")
    assert drawn is None


def test_a_storm_has_a_row_for_each_subject_that_had_one(folder: Path) -> None:
    (trial,) = folder.glob("trials/*-sse-aiohttp")
    manifest = json.loads((trial / "manifest.json").read_text())
    began_ns = manifest["window"]["start_ns"] + 10**9
    manifest["events"] = [
        {"do": "cut", "what": "connections", "began_ns": began_ns, "ended_ns": began_ns + 1, "count": 3}
    ]
    (trial / "manifest.json").write_text(json.dumps(manifest))
    table = read_table(trial / "connections.parquet", "connections")
    table["outcome"] = np.where(table["subscriber"] < 3, "cut", table["outcome"]).astype(object)
    write_table(trial / "connections.parquet", "connections", table)
    evidence = gather(load(folder))
    headings, rows = crowds.storm(evidence)
    assert [name for name, _ in rows] == ["sse-aiohttp"]
    cells = dict(zip(headings, rows[0][1], strict=True))
    assert (cells["cut"], cells["failed attempts"], cells["missed for good"]) == ("3", "0", "0")
    assert cells["latest before"].endswith("ms")
    (drawn,) = (figure.draw(evidence) for figure in figures.catalogue() if figure.name == "storm")
    assert drawn is not None
    assert drawn.values == (("storm_uncut_max_ns", "Latest message, not cut"),)  # none of them returned


def test_visitors_have_a_row_with_their_audit(folder: Path) -> None:
    (trial,) = folder.glob("trials/*-websocket-aiohttp")
    manifest = json.loads((trial / "manifest.json").read_text())
    start_ns = manifest["window"]["start_ns"]
    table = read_table(trial / "connections.parquet", "connections")
    added = {name: np.full(1, -1) for name in TABLES["connections"]}
    added |= {"subscriber": np.array([4]), "outcome": np.array(["closed by the subscriber"], dtype=object)}
    for name, after_ms in (("started_ns", 100), ("response_ns", 130), ("closed_ns", 900)):
        added[name] = np.array([start_ns + after_ms * 10**6])
    both = {name: np.concatenate([table[name], added[name]]) for name in TABLES["connections"]}
    write_table(trial / "connections.parquet", "connections", both)
    visit = {"subscriber": [4], "planned_ns": [start_ns + 90 * 10**6], "leaves_ns": [start_ns + 900 * 10**6]}
    write_table(trial / "visits.parquet", "visits", {**visit, "had_until_ns": [start_ns + 650 * 10**6]})
    nothing = {name: np.zeros(0, dtype=np.int64) for name in TABLES["visit_deliveries"]}
    write_table(trial / "visit_deliveries.parquet", "visit_deliveries", nothing)
    headings, rows = crowds.churn(gather(load(folder)))
    assert [name for name, _ in rows] == ["websocket-aiohttp"]
    cells = dict(zip(headings, rows[0][1], strict=True))
    assert (cells["visits"], cells["failed"], cells["subscribed, median"]) == ("1", "0", "40.0 ms")
    # Ten messages a second: those due at 200 to 600 ms never came, those at 700 and 800 may have been on their way.
    assert (cells["expected"], cells["lost"], cells["undecided"]) == ("5", "5", "2")
    assert "first message, median" not in cells  # it had none
