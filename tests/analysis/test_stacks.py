"""A campaign of three stacks: what the report, its files, claims and advice say of a transport, and what of a stack.

make.py's servers have known costs: a long poll takes twice SSE's CPU on one stack, 0.375 times on another, 6 times on
the third; WebSocket 2.5 times on each.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import rtbench.analysis
from rtbench.analysis import claims, figures
from rtbench.analysis.advice.advice import advise, of_folder
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.evidence.stacks import over
from rtbench.analysis.report import answer, caveats, findings, stacks
from rtbench.analysis.report.report import build
from rtbench.cli import cli
from rtbench.errors import UserError

pytestmark = pytest.mark.slow

CPU = "server_cpu_ns_per_message"
STACKS = ("nchan", "go", "node")
RATIOS = {"websocket": (2.5, 2.5, 2.5), "long-poll": (2.0, 0.375, 6.0)}


@pytest.fixture(scope="module")
def folder(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"{transport}-{stack}" for stack in STACKS for transport in ("sse", "websocket", "long-poll")]
    plan = make.Plan(subjects=(*names, "sse-nchan-simple"), blocks=4, subscribers=2, window_s=0.5)
    return Path(make.write(tmp_path_factory.mktemp("stacks") / "a", plan))


@pytest.fixture(scope="module")
def three(folder: Path) -> Evidence:
    return gather(load(folder))


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stacks-report")
    only = tuple(figure for figure in figures.catalogue() if figure.name in ("decision", "forest"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "catalogue", lambda: only)
        build([folder], out, with_claims=True)
    return out


def test_each_stack_has_its_known_ratio_and_the_plain_subjects_count_alone(three: Evidence) -> None:
    rows = {(row.metric, row.transport): row for row in three.matrix}
    for transport, verdict in (("websocket", "on every stack"), ("long-poll", "depends on the stack")):
        row = rows[CPU, transport]
        assert (row.verdict, row.relative_to, [stack for stack, _ in row.stacks]) == (verdict, "sse", list(STACKS))
        for (stack, found), ratio in zip(row.stacks, RATIOS[transport], strict=True):
            assert found == three.comparison(CPU, f"{transport}-{stack}", f"sse-{stack}")
            assert found.ratio == pytest.approx(ratio, rel=0.3)
    assert rows[CPU, "websocket"].direction == "higher"
    turned = over(three, CPU, "sse", "websocket")
    assert turned is not None and turned.direction == "lower"


def test_one_stack_says_nothing_of_others(evidence: Evidence, three: Evidence) -> None:
    """The golden campaign has four transports on aiohttp alone."""
    assert evidence.matrix == ()
    first = caveats.collect(evidence)[0]
    assert (first.kind, first.grave) == ("one-stack", True)
    assert first.message.startswith("one stack (aiohttp): says nothing of others")
    assert "one-stack" not in {one.kind for one in caveats.collect(three)}
    assert all(" on aiohttp" in line.text for line in answer.sentences(evidence) if "against" in line.text)


def test_the_answer_names_a_transport_only_with_what_holds_over_stacks(three: Evidence) -> None:
    found = findings.findings(three)
    assert [one.transport for one in found if isinstance(one, findings.Across)] == ["websocket", "long-poll"]
    socket, poll, _ = (line.text for line in answer.sentences(three))
    assert socket.startswith("WebSocket against SSE on 3 stacks: latency ") and socket.endswith("(on every stack)")
    low, high = next(row.range for row in three.matrix if (row.metric, row.transport) == (CPU, "long-poll"))
    assert poll.endswith(f"CPU {answer._times(low)} to {answer._times(high)} (depends on the stack)")
    assert max(map(len, (socket, poll))) <= answer.LONGEST


def test_a_row_without_one_of_the_tables_stacks_does_not_say_every_stack(three: Evidence) -> None:
    row = next(row for row in three.matrix if (row.metric, row.transport) == (CPU, "websocket"))
    assert stacks.verdict(row, 3) == f"higher on every stack: {answer.spanned(row)}"
    assert stacks.verdict(row, 4) == f"higher on all 3 measured: {answer.spanned(row)}"


def test_the_report_has_the_matrix(report: Path, three: Evidence) -> None:
    document = json.loads((report / "report.json").read_text())
    assert document["matrix"] == json.loads(json.dumps([row.row() for row in three.matrix]))
    row = next(r for r in document["matrix"] if (r["metric"], r["transport"]) == (CPU, "long-poll"))
    assert {"metric", "transport", "relative_to", "stacks", "summary", "verdict"} <= set(row)
    assert set(row["summary"]) >= {"ratio", "low", "high", "predicted_low", "predicted_high", "tau"}
    assert row["summary"]["predicted_low"] < row["summary"]["low"] < row["summary"]["high"]
    shown = stacks.table(three)
    assert shown.stacks == ("Nchan", "Go", "Node")
    assert len(shown.rows) == len(three.matrix) and shown.predicted == (3,)
    for name in ("report.md", "report.html"):
        text = (report / name).read_text()
        assert text.count("Over stacks") >= 1
        assert all(row.verdict in text for row in shown.rows)
    page = (report / "report.html").read_text()
    assert page.count('<figure id="forest">') == 1 and page.count('<section id="stacks"') == 1


def test_the_forest_has_a_row_a_stack_a_diamond_and_a_bar(report: Path) -> None:
    svg = (report / "figures/forest.svg").read_text()
    for stack in STACKS:
        assert svg.count(f"<title>long-poll-{stack}, Server CPU: ") == 2  # dot and interval
    assert svg.count("<title>long-poll over 3 stacks: the next stack is expected at ") == 4  # one a panel
    assert svg.count("<title>long-poll over 3 stacks: ") == 8


def test_claims_judge_over_stacks_and_name_them(three: Evidence, evidence: Evidence) -> None:
    polling, sse = claims.judge([three])[:2]
    assert polling.outcome == "depends on the stack" and polling.text.startswith(
        "Measured on 3 stacks (Nchan, Go, Node). "
    )
    assert sse.outcome == "supported"
    alone = claims.judge([evidence])[0]
    assert alone.outcome == "supported" and alone.text.startswith("Measured on aiohttp. ")


def test_advice_prefers_the_readers_own_stack(folder: Path, three: Evidence) -> None:
    found = advise(three, Needs(stack="nchan"))
    assert {r.option.subject.stack for r in found.ranking} == {"nchan"}
    assert advise(three, Needs()).ranking[0].option.name == "long-poll-go"
    other = advise(three, Needs(stack="deno"))
    assert all(r.option.asks[-1].startswith("was not measured on deno: this is its cost on ") for r in other.ranking)
    poll = next(r for r in other.ranking if r.option.subject.transport == "long-poll")
    assert "another stack is expected at " in poll.option.asks[-1]
    result = CliRunner().invoke(cli, ["advise", str(folder), "--stack", "nchan", "--json"])
    table: dict[str, Any] = json.loads(result.output)
    with pytest.raises(UserError, match=r"--stack deno: nothing was measured on it in .*choose one of nchan, go, node"):
        of_folder(folder, Needs(stack="deno"))
    assert table["needs"]["stack"] == "nchan" and {row["stack"] for row in table["ranking"]} == {"nchan"}


def test_the_frame_of_notebooks(folder: Path, three: Evidence) -> None:
    table = rtbench.analysis.load(folder).matrix
    assert len(table) == sum(len(row.stacks) for row in three.matrix)
    mine = table[(table["metric"] == CPU) & (table["transport"] == "long-poll")].set_index("stack")
    assert list(mine.index) == list(STACKS) and set(mine["over_stacks"]) == {"depends on the stack"}
    assert mine["predicted_low"].nunique() == 1 and mine.loc["nchan", "ratio"] == pytest.approx(2, rel=0.3)
