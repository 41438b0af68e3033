"""`rtbench list`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtbench import streams as stream_catalogue
from rtbench.analysis import metrics
from rtbench.scenario.loading import load, names
from rtbench.subjects import registry as subject_catalogue

from .conftest import Call


def rows(call: Call, what: str) -> list[dict[str, Any]]:
    """The rows as JSON; every one is in the table too, in that order."""
    ran = call("list", what, "--json")
    assert (ran.code, ran.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(ran.out)
    lines = call("list", what).out.splitlines()
    key = what.removesuffix("s")
    assert [line.split()[0] for line in lines] == [row[key] for row in found]
    for line, row in zip(lines, found, strict=True):
        assert row["description"] in line
    return found


def test_list_subjects(call: Call) -> None:
    found = rows(call, "subjects")
    assert {row["subject"] for row in found} == set(subject_catalogue.catalogue())
    for row in found:
        assert row.items() >= subject_catalogue.find(row["subject"]).describe().items()
    ours = [row for row in found if row["stack"] in ("aiohttp", "websockets", "asyncio")]
    assert len(ours) >= 8
    for row in ours:
        assert (row["available"], row["missing"], row["remedy"], row["here"]) == (True, "", "", "yes")


def test_list_subjects_says_what_cannot_run_here_and_what_would_change_that(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rtbench.programs.SBIN", ())
    found = {row["subject"]: row for row in rows(call, "subjects")}
    row = found["sse-nchan"]
    assert (row["available"], row["missing"]) == (False, "the program nginx")
    assert row["remedy"] == "apt-get install nginx libnginx-mod-nchan"
    lines = {line.split()[0]: line for line in call("list", "subjects").out.splitlines()}
    assert lines["sse-nchan"].endswith("no: apt-get install nginx libnginx-mod-nchan")
    assert lines["sse-aiohttp"].endswith("yes")


def test_list_streams(call: Call) -> None:
    assert rows(call, "streams") == [
        {"stream": stream.name, "finite": stream.finite, "description": stream.description}
        for stream in stream_catalogue.catalogue().values()
    ]


def test_list_scenarios(call: Call) -> None:
    found = {row["scenario"]: row for row in rows(call, "scenarios")}
    assert list(found) == names()
    ci = load("ci")
    assert found["ci"] == {
        "scenario": "ci",
        "subjects": list(ci.subjects),
        "subscribers": 1000,
        "blocks": ci.blocks,
        "description": ci.description,
    }


def test_list_metrics(call: Call) -> None:
    found = rows(call, "metrics")
    assert [row["metric"] for row in found] == [metric.name for metric in metrics.catalogue()]
    assert found[0].keys() == {"metric", "unit", "better", "description"}


def test_list_results(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("list", "results") == (
        0,
        "",
        "rtbench: no campaigns in results: measure one with `rtbench run smoke`\n",
    )
    assert json.loads(call("list", "results", "--json").out) == []
    folder = tmp_path / "mine" / "a"
    folder.mkdir(parents=True)
    (folder / "campaign.json").write_text('{"schema": 1, "scenario": {"name": "ci"}, "exit": 3}')
    (row,) = json.loads(call("list", "results", "--in", "mine", "--json").out)
    assert row.items() >= {"result": "mine/a", "scenario": "ci", "exit": 3, "answer": "", "fault": ""}.items()
    (line,) = call("list", "results", "--in", "mine").out.splitlines()
    assert line.split() == ["mine/a", "ci", *["0", "of", "0", "trials", "valid,", "exit", "code", "3"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "not_needed"),
    [
        (("--help",), ("rtbench.scenario", "rtbench.subjects", "rtbench.streams", "asyncio", "numpy")),
        (("list", "streams"), ("rtbench.scenario", "rtbench.subjects", "asyncio", "numpy")),
        (
            ("list", "subjects"),
            (
                "rtbench.scenario.model",
                "rtbench.scenario.loading",
                "rtbench.analysis",
                "numpy",
                "aiohttp",
                "websockets",
                "uvicorn",
                "starlette",
                "picows",
                "uvloop",
            ),
        ),
        (("list", "scenarios"), ("rtbench.analysis", "pandas", "matplotlib")),
        (("list", "metrics"), ("matplotlib", "jinja2")),
        (("list", "results"), ("rtbench.scenario", "rtbench.subjects", "rtbench.analysis", "pandas")),
    ],
)
def test_a_list_imports_only_what_it_lists(words: tuple[str, ...], not_needed: tuple[str, ...]) -> None:
    """What answers in a moment does so because of what it leaves alone."""
    command = [sys.executable, "-X", "importtime", "-m", "rtbench.cli", *words]
    err = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "rtbench.cli" in imported
    assert imported.isdisjoint(not_needed)
