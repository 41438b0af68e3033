"""The reference results: what a folder keeps, and how one is replaced."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from rtbench.analysis.figures._style import DARK as DARK_OF
from rtbench.analysis.figures._style import to_dark

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return importlib.import_module("benchmarks.reference")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A results folder with everything that a report has."""
    folder = tmp_path / "results"
    for name in ("campaign.json", "trials/1/ticks.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for name in ("report.html", "report.md", "report.json", "metrics.csv", "figures/decision.svg", "figures/cpu.svg"):
        (folder / "report" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "report" / name).write_text(name)
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


KEPT = {"report.md", "campaign.json", "metrics.csv"}
DARK = "figures/decision-dark.svg"


@pytest.mark.parametrize(("name", "more"), [("ci", {"report.html", DARK}), ("smoke", set())])
def test_a_reference_is_replaced(script: ModuleType, measured: Path, tmp_path: Path, name: str, more: set[str]) -> None:
    reference = tmp_path / "reference"
    (reference / name).mkdir(parents=True)
    (reference / name / "old").write_text("")
    assert script.keep(measured, name, reference) == reference / name
    assert files(reference) == {f"{name}/{file}" for file in KEPT | {"figures/decision.svg"} | more}


def test_of_a_sweep_the_curves_are_kept(script: ModuleType, measured: Path, tmp_path: Path) -> None:
    (measured / "report/figures/decision.svg").rename(measured / "report/figures/sweep.svg")
    assert files(script.keep(measured, "sweep-poll", tmp_path / "reference")) == KEPT | {"figures/sweep.svg"}


@pytest.mark.parametrize("name", ["", ".", "..", "../ci", "/tmp"])
def test_a_name_that_is_a_path_is_refused(script: ModuleType, measured: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="expected the name of a folder"):
        script.keep(measured, name, tmp_path / "reference")


def test_an_incomplete_report_replaces_nothing(script: ModuleType, measured: Path, tmp_path: Path) -> None:
    (tmp_path / "reference/ci").mkdir(parents=True)
    (measured / "report/metrics.csv").unlink()
    with pytest.raises(SystemExit, match=r"metrics\.csv: missing; run `rtbench report"):
        script.keep(measured, "ci", tmp_path / "reference")
    assert (tmp_path / "reference/ci").is_dir()


def test_what_is_in_git_is_what_is_kept(script: ModuleType) -> None:
    folders = [path.parent for path in script.REFERENCE.glob("*/campaign.json")]
    assert len(folders) >= 10
    for folder in folders:
        found = files(folder)
        dark = {file for file in found if file.endswith("-dark.svg")}
        figures = {file for file in found if file.startswith("figures/")} - dark
        assert len(dark) == (folder.name in script.SHOWN)
        assert len(figures) == 1 and figures < {f"figures/{name}" for name in script.FIGURES}
        assert found - figures == KEPT | dark | ({"report.html"} if folder.name == script.WHOLE else set()), folder


def test_the_references_stay_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "results/reference").rglob("*") if path.is_file()]
    assert sum(sizes) < 4 * 2**20


def test_dark_figures_have_the_dark_colours_of_the_report() -> None:
    css = (ROOT / "analysis/report/templates/report.css").read_text()
    (dark,) = set(re.findall(r"--paper: #161614;[^}]*", css))
    assert [colour for colour in DARK_OF.values() if colour not in dark] == []
    svg = (ROOT / "results/reference/ci/figures/decision.svg").read_text()
    assert to_dark(svg) == (ROOT / "results/reference/ci" / DARK).read_text()
    assert [colour for colour in DARK_OF if colour in to_dark(svg)] == []
