"""The report of a search for capacities: brackets first, a figure of the probes, and no comparison of single probes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.figures import _style
from rtbench.analysis.report import capacity
from rtbench.analysis.report.report import build
from rtbench.records.capacity import CapacityRecord, SubjectCapacity
from rtbench.records.record import typed

SUBJECTS = ("sse-aiohttp", "websocket-aiohttp")


def probe(value: float, share: float | None, verdict: str, window_s: float = 1.0) -> dict[str, Any]:
    return {
        "value": value, "late_or_lost": share, "status": "ok" if share is not None else "failed", "trial": 1,
        "verdict": verdict, "window_s": window_s, "limited_by": "" if verdict == "holds" else "server core",
    }  # fmt: skip


def record(**second: Any) -> dict[str, Any]:
    """Two subjects: one closed, one that the harness limited."""
    probes = [probe(4, 0.0, "holds"), probe(4, 0.004, "holds", 3.0), probe(8, 0.7, "fails"), probe(8, None, "fails")]
    closed = {
        "subject": SUBJECTS[0], "low": 4, "high": 8, "closed": True, "out_of_time": False, "held": 4,
        "limited_by": "server core", "harness_limited": False, "probes": probes,
    }  # fmt: skip
    other = {
        **closed, "subject": SUBJECTS[1], "high": None, "closed": False, "harness_limited": True,
        "limited_by": "load generator", "probes": [*probes[:2], probe(8, 0.5, "unclear")], **second,
    }  # fmt: skip
    slo = {"latency_ms": 50, "quantile": 0.99, "lost": 0, "set_up_s": 10}
    top = {"schema": 2, "by": "subscribers", "first": 4, "most": 100, "width": 0.5, "slo": slo}
    return {**top, "subjects": [closed, other]}


@pytest.fixture(scope="module")
def folder(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = make.Plan(
        subjects=SUBJECTS, blocks=1, window_s=1.0, warmup_s=0.2, cells=({"subscribers": 4}, {"subscribers": 8}),
        extra={"command": "rtbench capacity ci --out here --seed 1"},
    )  # fmt: skip
    folder = Path(make.write(tmp_path_factory.mktemp("capacity") / "campaign", plan))
    (folder / "capacity.json").write_text(json.dumps(record()))
    return folder


@pytest.fixture(scope="module")
def searched(folder: Path) -> Evidence:
    return gather(load(folder))


def found(**second: Any) -> CapacityRecord:
    return typed(CapacityRecord, record(**second))


def test_the_answer_is_a_bracket_for_each_subject(searched: Evidence) -> None:
    assert capacity.sentences(searched, 120) == [
        "SSE on aiohttp: holds 4 subscribers, fails at 8, limited by server core (99 % within 50 ms)",
        "WebSocket on aiohttp: holds 4 subscribers or more, limited by the harness: load generator (99 % within 50 ms)",
    ]
    assert capacity.sentences(searched, 80)[1].endswith("load generator")


def test_the_table_has_a_row_a_subject(searched: Evidence) -> None:
    (table,) = capacity.tables(searched)
    assert table.rows == (
        ("SSE on aiohttp", ("4", "8", "server core", "4")),
        ("WebSocket on aiohttp", ("4 or more", "–", "the harness: load generator", "3")),
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"low": None, "high": 3}, "fails at 3 subscribers, limited by the harness: load generator"),
        ({"low": None, "limited_by": ""}, "no load at which it holds was found"),
        ({"harness_limited": False, "limited_by": "--to"}, "holds 4 subscribers or more, limited by --to"),
        ({"out_of_time": True, "limited_by": ""}, "holds 4 subscribers or more, limited by the time"),
    ],
)
def test_brackets_without_an_end(changes: dict[str, Any], text: str) -> None:
    record = found(**changes)
    one: SubjectCapacity = record.subjects[1]
    assert capacity.sentence(record, one) == text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"closed": True}, "`rtbench run ci --set subscribers=4` compares latency"),
        ({"out_of_time": True}, "`rtbench capacity ci --out out --resume --minutes M`"),
        ({}, "the harness was the limit"),
        ({"harness_limited": False, "limited_by": "--to"}, "--to N"),
    ],
)
def test_the_next_step_is_a_command(changes: dict[str, Any], says: str) -> None:
    assert says in capacity.next_step(found(**changes), "rtbench capacity ci", "out")


@pytest.mark.parametrize("limit", ["--minutes 11", "--minutes=11"])
def test_a_search_that_goes_on_gets_another_limit_of_time(limit: str) -> None:
    step = capacity.next_step(found(out_of_time=True), f"rtbench capacity ci {limit} --seed 7", "out")
    assert "`rtbench capacity ci --seed 7 --out out --resume --minutes M`" in step


def test_the_figure_has_a_panel_a_subject_and_the_bracket(searched: Evidence, evidence: Evidence) -> None:
    drawn = next(one for one in figures.catalogue() if one.name == "capacity")
    assert drawn.draw(evidence) is None  # no search
    with _style.style():
        drawing = drawn.draw(searched)
    assert drawing is not None
    assert [axes.get_title("left") for axes in drawing.canvas.axes] == ["SSE on aiohttp", "WebSocket on aiohttp"]
    first, second = drawing.canvas.axes
    assert len(first.patches) == len(second.patches) == 1
    assert "the limit, 1 %" in drawing.caption


@pytest.mark.slow
def test_the_report_says_so_and_exits_with_3(folder: Path, tmp_path: Path) -> None:
    made = build([folder], tmp_path / "report")
    assert made.exit_code == 3
    assert made.headlines[0].startswith("SSE on aiohttp: holds 4 subscribers, fails at 8")
    assert "too-few" not in str(made.caveats) and not any("nothing is concluded" in one for one in made.caveats)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| SSE on aiohttp | 4 | 8 | server core | 4 |" in text
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.index("<caption>Capacity by subscribers") < page.index('id="results"')
    assert (tmp_path / "report" / "figures" / "capacity.svg").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_all_closed_is_exit_0(folder: Path, tmp_path: Path) -> None:
    (folder / "capacity.json").write_text(json.dumps(record(closed=True, high=8, harness_limited=False)))
    assert build([folder], tmp_path / "report").exit_code == 0
