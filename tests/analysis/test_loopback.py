"""Who pays on loopback: the formula, and what a report makes of a calibrated share (R23)."""

from __future__ import annotations

import html
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import gather
from rtbench.analysis.evidence import loopback as paying
from rtbench.analysis.evidence.loopback import Flow
from rtbench.analysis.report.report import build
from rtbench.errors import ResultsError
from rtbench.records.loopback import Interval, Loopback, LoopbackPace
from rtbench.records.record import plain

WHY = "receive packet steering needs root"


def around(value: float, half: float = 0) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def share(sustained: float | None, sparse: float | None, half: float = 0, why_not: str = "") -> Loopback:
    """A calibration's share at both paces; an acknowledgement is 1,000 ns."""
    paces = [
        LoopbackPace(gap_s=gap_s, rounds=10, share_ns=None if value is None else around(value, half), states={})
        for gap_s, value in ((0.05, sustained), (0.25, sparse))
    ]
    return Loopback(
        message_bytes=170, connections=250, sustained=paces[0], sparse=paces[1], at_least_ns=around(1500),
        acknowledged_ns=None if sustained is None else around(1000), why_not=why_not,
    )  # fmt: skip


def push(cost: float, *paces: str) -> Flow:
    return Flow(cost, 1.0, 0.0, paces or ("sustained",))


# The formula


@pytest.mark.parametrize(
    ("gap_s", "poisson", "expected"),
    [
        (0.01, False, ("sustained",)),
        (0.2, False, ("sustained",)),
        (0.21, False, ("sparse",)),
        (5.0, False, ("sparse",)),
        (0.01, True, ("sustained",)),
        (0.1, True, ("sustained", "sparse")),
    ],
)
def test_a_connection_that_was_silent_for_a_retransmission_timeout_is_sparse(
    gap_s: float, poisson: bool, expected: tuple[str, ...]
) -> None:
    assert paying.paces(gap_s, poisson) == expected


def test_a_push_loses_the_share_and_gains_at_most_an_acknowledgement() -> None:
    corner = {"sustained": 2000.0, "sparse": 5000.0, "asked": 2000.0, "acknowledged": 0.0}
    assert paying.moved(push(7000), "sustained", corner) == 5000
    assert paying.moved(push(7000), "sparse", corner) == 2000
    assert paying.moved(push(7000), "sustained", corner | {"acknowledged": 1000.0}) == 6000


def test_a_poll_gains_its_request_for_what_its_answer_loses() -> None:
    corner = {"sustained": 2000.0, "sparse": 5000.0, "asked": 2000.0, "acknowledged": 1000.0}
    assert paying.moved(Flow(40_000, 0.2, 0.2, ("sustained",)), "sustained", corner) == 40_000 + 0.2 * 1000


def test_pushes_move_away_from_1_and_not_far() -> None:
    """7,200 : 6,800 is (7,200 − 2,000) : (6,800 − 2,000), or with acknowledgements 1,000 more for both."""
    found = paying.sensitivity(share(2000, 5000), 7200 / 6800, push(7200), push(6800))
    assert found == pytest.approx((6200 / 5800, 5200 / 4800))


def test_polls_move_away_from_push() -> None:
    """A request a message: it costs between the sustained and the sparse share, its answer the sustained one."""
    poll = Flow(60_000, 1.0, 1.0, ("sustained",))
    found = paying.sensitivity(share(2000, 5000), 60_000 / 6800, poll, push(6800))
    assert found == pytest.approx((61_000 / 5800, 63_000 / 4800))


def test_it_is_the_ratio_that_moves_not_the_quotient_of_two_medians() -> None:
    found = paying.sensitivity(share(2000, 5000), 2.0, push(7200), push(6800))
    assert found == pytest.approx((2 * (6200 / 7200) / (5800 / 6800), 2 * (5200 / 7200) / (4800 / 6800)))


def test_the_range_is_over_the_shares_interval_and_over_both_paces() -> None:
    point = paying.sensitivity(share(2000, 3000), 2.0, push(12_000), push(6000))
    wider = paying.sensitivity(share(2000, 3000, half=500), 2.0, push(12_000), push(6000))
    both = paying.sensitivity(share(2000, 3000), 2.0, push(12_000), push(6000, "sustained", "sparse"))
    assert point is not None and wider is not None and both is not None
    assert (wider[0] < point[0], wider[1] > point[1], both[1] > point[1]) == (True, True, True)
    assert paying.receive_path(share(2000, 3000, half=500), push(6000)) == (1500, 2500)
    assert paying.receive_path(share(2000, 3000), push(6000, "sustained", "sparse")) == (2000, 3000)
    assert paying.receive_path(share(2000, 3000), Flow(40_000, 0.2, 0.2, ("sparse",))) == (600, 600)


@pytest.mark.parametrize(
    ("found", "a"),
    [
        (None, push(7200)),
        (share(None, None), push(7200)),
        (share(2000, 5000), None),
        (share(2000, 5000), push(1900)),
    ],
    ids=["not calibrated", "no share", "no server of ours", "a share above the cost"],
)
def test_what_is_not_known_has_no_range(found: Loopback | None, a: Flow | None) -> None:
    assert paying.sensitivity(found, 1.1, a, push(6800)) is None


# What a report makes of it


def campaign(make: ModuleType, path: Path, loopback: Loopback | None, **plan: Any) -> Path:
    """Three subjects, two blocks, ten messages a second, with a calibration that has `loopback`."""
    calibration: dict[str, Any] = {"environment": {}, "measured_unix": 1_795_490_100, "met": True, "checks": []}
    if loopback is not None:
        calibration["loopback"] = plain(loopback)
    base = {"subjects": SUBJECTS, "blocks": 2, "subscribers": 3, "window_s": 1.0, "extra": {"calibration": calibration}}
    return Path(make.write(path, make.Plan(**(base | plan))))


SUBJECTS = ("sse-aiohttp", "websocket-aiohttp", "short-poll-aiohttp")


def reported(folder: Path) -> tuple[dict[str, Any], str, str]:
    """report.json, the page and the Markdown."""
    out = build([folder]).path.parent
    texts = [(out / f"report.{kind}").read_text() for kind in ("html", "md")]
    return json.loads((out / "report.json").read_text()), html.unescape(texts[0]), html.unescape(texts[1])


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that this is not about is not drawn."""
    wanted = [figure for figure in figures.catalogue() if figure.name == "cpu"]
    monkeypatch.setattr(figures, "catalogue", lambda: wanted)


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_each_ratio_of_server_cpu_has_its_range_and_no_other_row_has(make: ModuleType, tmp_path: Path) -> None:
    folder = campaign(make, tmp_path / "a", share(500, 900, half=50))
    report, page, markdown = reported(folder)
    evidence = gather(load(folder))
    flows = paying.flows(evidence)
    assert {name: (flow.requests > 0, flow.paces) for name, flow in flows.items()} == {
        "sse-aiohttp": (False, ("sustained",)),
        "websocket-aiohttp": (False, ("sustained",)),
        "short-poll-aiohttp": (True, ("sparse",)),
    }
    rows = [row for row in report["comparisons"] if "sensitivity" in row]
    assert [row["metric"] for row in rows] == ["server_cpu_ns_per_message"] * 3
    for row in rows:
        expected = paying.sensitivity(share(500, 900, half=50), row["ratio"], flows[row["a"]], flows[row["b"]])
        assert (row["sensitivity"]["low"], row["sensitivity"]["high"]) == expected
    (told,) = [row for row in report["warnings"] if row["kind"] == "loopback-share"]
    cost = f"{flows['sse-aiohttp'].cost / 1000:.2f} µs"
    assert told["message"] == (
        f"of sse-aiohttp's {cost} a message some 450 to 550 ns are the client's receive path, which loopback bills to "
        "the server; each ratio of CPU has the range without it"
    )
    for text in (page, markdown):
        assert "Who pays on loopback" in text
        assert told["message"] in text
    low, high = next(row["sensitivity"].values() for row in rows if row["a"] == "sse-aiohttp")
    ends = f"| {1 / high:.2f}× to {1 / low:.2f}× |"
    mine = [line for line in markdown.splitlines() if line.startswith("| WebSocket on aiohttp | ")]
    assert any(line.endswith(ends) for line in mine)
    assert f"| {cost} | 450 to 550 ns | – | – | – |" in markdown


UNKNOWN = "server CPU contains the clients' receive path: an unknown share, which pulls ratios of it towards 1"
AT_LEAST = "; of a message that comes alone it is at least 1.50 µs"


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize(
    ("loopback", "plan", "told"),
    [
        (None, {}, UNKNOWN),
        (
            share(None, None, why_not=WHY),
            {},
            f"{UNKNOWN} ({WHY}){AT_LEAST}",
        ),
        (
            share(500, 900),
            {"scenario": {"netns": True}},
            f"{UNKNOWN}{AT_LEAST}",
        ),
    ],
    ids=["not calibrated", "as an ordinary user", "not on lo"],
)
def test_without_a_share_nothing_is_taken_out_and_the_report_says_so(
    make: ModuleType, tmp_path: Path, loopback: Loopback | None, plan: dict[str, Any], told: str
) -> None:
    report, page, markdown = reported(campaign(make, tmp_path / "a", loopback, **plan))
    assert [row["message"] for row in report["warnings"] if row["kind"] == "loopback-share-unknown"] == [told]
    rows = [row for row in report["comparisons"] if row["metric"] == "server_cpu_ns_per_message"]
    assert [row["sensitivity"] for row in rows] == [None] * 3
    assert told in page
    assert "Who pays on loopback" not in page + markdown


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_a_share_above_the_cost_is_not_taken_out(make: ModuleType, tmp_path: Path) -> None:
    report, _, markdown = reported(campaign(make, tmp_path / "a", share(90_000, 90_000)))
    (told,) = [row for row in report["warnings"] if row["kind"] == "loopback-share"]
    assert told["message"].endswith("which loopback bills to the server: too much to be taken out")
    assert told["remedy"] == "run `rtbench calibrate` on the machine as it is during campaigns"
    assert all(row["sensitivity"] is None for row in report["comparisons"] if "sensitivity" in row)
    (line,) = [
        line for line in markdown.splitlines() if line.startswith("| WebSocket on aiohttp | ") and "90.0 µs" in line
    ]
    assert line.endswith("| – |")


def test_a_damaged_share_names_its_key(make: ModuleType, tmp_path: Path) -> None:
    folder = campaign(make, tmp_path / "a", share(500, 900))
    file = folder / "campaign.json"
    document = json.loads(file.read_text())
    document["calibration"]["loopback"]["sparse"]["share_ns"]["low"] = "little"
    file.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=r"calibration\.loopback\.sparse\.share_ns\.low is \"little\", not a"):
        load(folder)
