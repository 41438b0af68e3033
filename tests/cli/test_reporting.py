"""`rtbench report`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rtbench.campaign import calibrate
from rtbench.scenario.loading import load

from .conftest import Call, Pretended, document, refused


def test_report_of_a_folder_that_is_not_there(call: Call, tmp_path: Path) -> None:
    assert str(tmp_path / "nothing") in refused(call("report", str(tmp_path / "nothing")))


def test_report_of_several_folders(call: Call, pretended: Pretended) -> None:
    pretended.report_code = 1
    assert call("report", "a", "b", "--out", "c").code == 1
    assert pretended.built == [([Path("a"), Path("b")], Path("c"))]


def test_claims_are_shown_where_they_are_asked_for(call: Call, pretended: Pretended) -> None:
    call("report", "a")
    call("report", "a", "--claims")
    call("run", "smoke", "--out", "there", "--claims")
    assert pretended.claimed == [False, True, True]


def test_the_page_of_past_campaigns_follows_each_report(call: Call, pretended: Pretended, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert call("report", "results/ONE", "elsewhere/b").err == ""
    assert (tmp_path / "results/index.html").exists() and not (tmp_path / "elsewhere").exists()
    (tmp_path / "results/index.html").unlink()
    (tmp_path / "results/index.html").mkdir()
    ran = call("report", "results/ONE")
    assert ran.code == 0
    assert ran.err == f"rtbench: warning: {tmp_path}/results/index.html cannot be written (Is a directory)\n"


GOLDEN = Path(__file__).parents[1] / "golden/results"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "code", "says"),
    [
        ({"sse-aiohttp.lost": {"max": 2}, "sse-aiohttp.latency_kernel_p50_ns": {"max": 1e9}}, 0, None),
        ({"sse-aiohttp.latency_kernel_p50_ns": {"max": 1e6}}, 1, " ms, above the limit of 1.00 ms"),
        ({"sse-aiohttp.delivered_hz": {"min": 1e9}}, 1, "/s, below the limit of 1,000,000,000 /s"),
        ({"sse-aiohttp.no_such_metric": {"max": 1}}, 1, "has a limit but no value"),
        ({"who.lost": {"max": 1}}, 1, "has a limit but no value"),
    ],
)
def test_a_threshold_from_its_scenario_to_the_exit_code(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], code: int, says: str | None
) -> None:
    """What `[thresholds]` of a scenario file says is judged, named on the terminal and in every report."""
    from rtbench.analysis import figures

    monkeypatch.setattr(figures, "catalogue", lambda: ())
    rows = "\n".join(f'"{key}" = {{{side} = {value}}}' for key, row in limits.items() for side, value in row.items())
    (tmp_path / "gate.toml").write_text(f'name = "gate"\n[thresholds]\n{rows}\n')
    table = load(str(tmp_path / "gate.toml")).as_dict()["thresholds"]
    assert table == limits
    folder = tmp_path / "results"
    shutil.copytree(GOLDEN, folder)
    value = document(folder)
    value["scenario"]["thresholds"] = table
    (folder / "campaign.json").write_text(json.dumps(value))
    ran = call("report", str(folder))
    assert ran.code == code and ran.err == ""
    key = next(iter(limits))
    for text in (ran.out, *((folder / "report" / name).read_text() for name in ("report.md", "report.html"))):
        assert (says is None) or (key in text and says in text)
    found = [w for w in json.loads((folder / "report/report.json").read_text())["warnings"] if w["kind"] == "threshold"]
    assert bool(found) == (says is not None)


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_a_report_is_a_function_of_its_folder(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two state directories, one of them with a calibration of the campaign's machine: the same bytes (R22)."""
    machine = document(GOLDEN)["environment"]["machine"]
    known = {"environment": {"machine": machine}, "noise": {"metrics": {"lost": {"sd": 9, "blocks": 9}}}, "checks": []}
    made: list[dict[str, bytes]] = []
    said = []
    for name in ("empty", "calibrated"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))
        here = calibrate.home()
        here.mkdir(parents=True)
        monkeypatch.setattr("rtbench.machine.fingerprint.machine", lambda: machine["name"])
        if name == "calibrated":
            (here / f"{machine['name']}.json").write_text(json.dumps(known | {"measured_unix": 5}))
        out = tmp_path / f"report-{name}"
        assert call("report", str(GOLDEN), "--out", str(out)).code == 0
        made.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
        said.append(call("compare", str(GOLDEN), str(GOLDEN)) + call("advise", str(GOLDEN)))
    assert made[0].keys() > {"report.json", "report.md", "report.html", "metrics.csv"}
    assert made[0] == made[1] and said[0] == said[1]
    out = tmp_path / "named"
    assert call("report", str(GOLDEN), "--out", str(out), "--calibration", str(here / "golden.json")).code == 0
    assert "golden.json, named by --calibration" in (out / "report.md").read_text()
