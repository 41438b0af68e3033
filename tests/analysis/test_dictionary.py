"""docs/data.md is what the definitions say, and nothing that is on disk is without a text."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rtbench.analysis import dictionary
from rtbench.records.described import Key, keys, records
from rtbench.records.manifest import Manifest
from rtbench.records.record import Maybe, Record
from rtbench.records.tables import COLUMNS, TABLES, Column

ROOT = Path(__file__).parent.parent.parent


def test_the_committed_dictionary_is_current() -> None:
    """`python -m rtbench.manual` writes it."""
    assert (ROOT / "docs" / "data.md").read_text(encoding="utf-8") == dictionary.text()


def test_every_column_key_and_metric_has_a_text_and_its_unit() -> None:
    assert dictionary.undescribed() == []


class Bad(Record, frozen=True, kw_only=True):
    """As nobody should write one."""

    silent: int
    late_ns: int
    """number: of nanoseconds."""
    size: Maybe[int] = None
    """bytes: of a file,
    in two lines."""


def test_what_is_without_a_text_or_a_unit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "FILES", {"bad.json": (Bad, "bad")})
    worse = {**COLUMNS["ticks"][1], "due_ns": Column(TABLES["ticks"]["due_ns"], "count", "when")}
    monkeypatch.setattr(dictionary, "COLUMNS", {"ticks": ("a tick", worse)})
    assert dictionary.undescribed() == ["ticks.due_ns", "Bad.silent", "Bad.late_ns"]
    assert keys(Bad)[2] == Key("size", "Maybe[int]", "bytes", "of a file, in two lines.")


def test_every_record_inside_a_record_is_in_it() -> None:
    names = [one.__name__ for one in records(Manifest)]
    assert names[0] == "Manifest" and len(set(names)) == len(names)
    assert {"Window", "Counts", "Process", "Reason", "Ladder", "Rung", "Cell", "File"} <= set(names)


def _unlisted(value: Any, where: str, known: Mapping[str, Any]) -> list[str]:
    return [f"{where}.{key}" for key in value if key not in known]


def test_every_key_of_the_golden_files_is_listed(golden: Path) -> None:
    """Free keys are allowed; what rtbench itself writes at the top of a file is listed all the same."""
    report = json.loads((golden.parent / "report.json").read_text())
    campaign = json.loads((golden / "campaign.json").read_text())
    manifests = [json.loads(file.read_text()) for file in sorted(golden.glob("trials/*/manifest.json"))]
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    known = {word.strip("`") for line in text.splitlines() if line.startswith("| `") for word in line.split(" | ")[:1]}
    known = {word.removeprefix("| `") for word in known}
    found = _unlisted(report, "report", known) + _unlisted(campaign, "campaign", known)
    for name in ("subjects", "trials", "summary", "comparisons", "multiplicity"):
        found += _unlisted(report[name][0], name, known)
    for manifest in manifests:
        found += _unlisted(manifest, "manifest", known)
    assert sorted(set(found)) == []


def test_the_columns_of_metrics_csv_are_listed(make: Any, tmp_path: Path) -> None:
    from rtbench.analysis.campaigns.load import load
    from rtbench.analysis.evidence import gather
    from rtbench.analysis.report.report import CSV, as_csv

    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, window_s=1.0))
    assert next(csv.reader(as_csv(gather(load(folder))).splitlines())) == list(CSV)
