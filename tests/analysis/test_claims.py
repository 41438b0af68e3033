"""The article's claims on campaigns whose truth is known: drawn by tests/golden/make.py, or changed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.claims import Finding, Judged, hypotheses, judge
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.report.report import build
from rtbench.analysis.report.several import several
from rtbench.analysis.sweep.cells import at, cells, scenario, with_settings
from rtbench.errors import ResultsError
from rtbench.records.tables import read_table, write_table

pytestmark = pytest.mark.slow

FOUR = ("sse-aiohttp", "websocket-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp")


@pytest.fixture
def campaign(tmp_path: Path, make: ModuleType) -> Callable[..., Path]:
    """`campaign(name, **plan)`: a small one of four transports."""

    def write(name: str = "a", **plan: Any) -> Path:
        base = {"subjects": FOUR, "blocks": 3, "subscribers": 4, "window_s": 2.0, "campaign": name}
        return Path(make.write(tmp_path / name, make.Plan(**(base | plan))))

    return write


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


def manifests(folder: Path, subject: str = "*") -> list[Path]:
    return sorted(folder.glob(f"trials/*-{subject}/manifest.json"))


def evidence_of(folder: Path) -> Evidence:
    return gather(load(folder))


def one(number: int, *folders: Path) -> Judged:
    return next(j for j in judge([evidence_of(f) for f in folders]) if j.hypothesis.number == number)


def cost(folder: Path, subject: str, factor: float) -> None:
    """Make this subject's server so many times as expensive."""

    def change(manifest: dict[str, Any]) -> None:
        server = manifest["processes"]["server"]
        spent = server["cpu_ns_at_end"] - server["cpu_ns_at_start"]
        server["cpu_ns_at_end"] = server["cpu_ns_at_start"] + round(spent * factor)

    for file in manifests(folder, subject):
        edit(file, change)


def test_the_eight_are_there_each_with_its_test_and_the_command_that_tests_it() -> None:
    found = hypotheses()
    assert [h.number for h in found] == list(range(1, 9))
    for h in found:
        assert h.claim and h.hypothesis and h.test and h.scenario.startswith(("rtbench run ", "pytest "))


def test_the_scenarios_that_claims_name_can_be_run() -> None:
    from rtbench.scenario import loading as scenarios

    named = {h.scenario.split()[2] for h in hypotheses() if h.scenario.startswith("rtbench run")}
    assert named - set(scenarios.names()) <= {"chat"}  # comes with issue 5


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Measured on aiohttp. "),
        (
            {"tls": True, "http2": {"streams_per_connection": 10}},
            "with TLS 1.3, 10 subscribers a connection of HTTP/2. ",
        ),
        (
            {"compression": "zstd", "network": {"delay_ms": 25.0, "loss": 0.01}},
            "with compression zstd, 25 ms of delay each way, loss of 0.01. ",
        ),
        (
            {"network": {"delay_ms": 25.0, "up_delay_ms": 50.0}},
            "with 25 ms of delay to the clients and 50 ms of delay to the server. ",
        ),
    ],
)
def test_a_finding_names_the_way_to_the_subscribers(
    campaign: Callable[..., Path], asked: dict[str, Any], words: str
) -> None:
    folder = campaign(subjects=FOUR[:2])
    edit(folder / "campaign.json", lambda document: document["scenario"].update(asked))
    assert words in one(2, folder).text


# Claim 1


def test_polling_is_dearer_and_gets_cheaper_where_arithmetic_says(campaign: Callable[..., Path]) -> None:
    """make.py's costs a message are 7,000, 9,000, 60,000 and 40,000 ns; polls come every 0.5 s, messages at 10 Hz."""
    found = one(1, campaign())
    assert found.outcome == "supported"
    ratios = {(p.a, p.b): p for p in found.points}
    assert len(ratios) == 4
    for (a, b), truth in {
        ("short-poll-aiohttp", "sse-aiohttp"): 60 / 7,
        ("short-poll-aiohttp", "websocket-aiohttp"): 60 / 9,
        ("long-poll-aiohttp", "sse-aiohttp"): 40 / 7,
        ("long-poll-aiohttp", "websocket-aiohttp"): 40 / 9,
    }.items():
        point = ratios[a, b]
        assert point.value == pytest.approx(truth, rel=0.08)
        assert point.low is not None and point.high is not None and point.low < point.value < point.high
    ratio = ratios["short-poll-aiohttp", "sse-aiohttp"].value
    assert f"from a poll interval of {ratio * 0.5:.2f} s [" in found.flips and "at the earliest" in found.flips
    assert f"{ratio * 10:.1f} messages a second" in found.flips
    assert found.flips.count("no interval changes that") == 1  # a long poll's text is not said for each pair


def test_polling_that_is_cheaper_contradicts(campaign: Callable[..., Path]) -> None:
    folder = campaign()
    cost(folder, "short-poll-aiohttp", 0.05)
    found = one(1, folder)
    assert found.outcome == "contradicted" and "at the latest" in found.flips


def test_polling_that_costs_the_same_is_not_a_difference(campaign: Callable[..., Path]) -> None:
    folder = campaign(subjects=("sse-aiohttp", "short-poll-aiohttp"))
    for number, subject in enumerate(("sse-aiohttp", "short-poll-aiohttp")):
        for file in manifests(folder, subject):

            def change(manifest: dict[str, Any], sign: int = 1 if number else -1) -> None:
                server = manifest["processes"]["server"]
                wobble = sign * (1 if manifest["block"] % 2 else -1)
                server["cpu_ns_at_end"] = server["cpu_ns_at_start"] + 10_000_000 + wobble * 1_000_000

            edit(file, change)
    assert one(1, folder).outcome == "not resolved"


def test_one_block_or_one_transport_tests_nothing(campaign: Callable[..., Path]) -> None:
    for found in (one(1, campaign(blocks=1)), one(1, campaign("b", subjects=("sse-aiohttp",)))):
        assert found.outcome == "not tested by this campaign" and found.points == () and found.flips == ""
        assert found.text == "Not tested by this campaign; `rtbench run matrix` tests it."


# Claim 2


def test_sse_against_websocket(campaign: Callable[..., Path]) -> None:
    folder = campaign()
    found = one(2, folder)
    assert found.outcome == "supported"  # 7,000 against 9,000 ns
    assert {p.metric for p in found.points} >= {"server_cpu_ns_per_message", "tcp_down_bytes_per_message"}
    cost(folder, "sse-aiohttp", 2)
    assert one(2, folder).outcome == "contradicted"
    cost(folder, "sse-aiohttp", 9 / 14)
    same = one(2, folder)
    assert same.outcome == "not resolved" and "CPU could still differ by up to " in same.flips


def test_stacks_are_not_compared_as_transports(campaign: Callable[..., Path]) -> None:
    assert one(2, campaign(subjects=("sse-aiohttp", "websocket-websockets"))).outcome == "not tested by this campaign"


def test_where_the_bytes_cross_is_arithmetic() -> None:
    from rtbench.analysis.claims.sse_efficiency import bytes_by_specification
    from rtbench.analysis.samples.framing import sse_bytes, websocket_bytes

    text = bytes_by_specification()
    assert sse_bytes(1000, 106) - websocket_bytes(1000, 106) == 2 and "from 1 B 2 more" in text
    assert sse_bytes(1000, 107) == websocket_bytes(1000, 107) and "from 107 B as many bytes" in text
    assert sse_bytes(1000, 65_519) - websocket_bytes(1000, 65_519) == -3 and "from 65,519 B 3 fewer" in text


# Claim 3

BEHIND = {"sse-aiohttp+nginx": "nginx", "sse-aiohttp+nginx-tuned": "nginx-tuned"}


@pytest.fixture
def proxied(campaign: Callable[..., Path], make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`proxied(held_ms, …)`: SSE directly, and behind a proxy as shipped that holds messages back, and a tuned one."""

    def write(held_ms: float, name: str = "p", **plan: Any) -> Path:
        for subject, proxy in BEHIND.items():
            delay = 2.0 if proxy.endswith("tuned") else held_ms
            monkeypatch.setitem(make.SUBJECTS, subject, make.SUBJECTS["sse-aiohttp"] | {"delay": delay})
        folder = campaign(name, subjects=("sse-aiohttp", *BEHIND), **plan)

        def change(document: dict[str, Any]) -> None:
            for row in document["subjects"]:
                row["proxy"] = BEHIND.get(row["subject"], "")

        edit(folder / "campaign.json", change)
        return folder

    return write


def test_a_proxy_that_lets_through_supports(proxied: Callable[..., Path]) -> None:
    found = one(3, proxied(3.0))
    assert found.outcome == "supported" and "1 proxies as shipped held nothing back" in found.text


def test_a_proxy_that_holds_back_contradicts_and_a_tuned_one_is_the_way_out(proxied: Callable[..., Path]) -> None:
    found = one(3, proxied(250.0))  # a message every 100 ms
    assert found.outcome == "contradicted" and "held back: median latency" in found.text
    assert found.flips == "Configured for streams it works: SSE behind nginx-tuned on aiohttp."


def test_a_proxy_that_loses_or_does_not_work_contradicts(proxied: Callable[..., Path]) -> None:
    folder = proxied(3.0, faults=dict.fromkeys(range(1, 10), ("lose",)))
    assert "2 lost" in one(3, folder).text or "6 lost" in one(3, folder).text
    broken = proxied(3.0, "q", failed=tuple(range(1, 10)))
    assert one(3, broken).outcome == "not tested by this campaign"  # nothing at all was measured
    some = proxied(3.0, "r")
    directory = manifests(some, "sse-aiohttp+nginx")[0]

    def fail(manifest: dict[str, Any]) -> None:
        manifest |= {"status": "failed", "reasons": [{"kind": "x", "message": "502", "remedy": ""}], "window": None}

    edit(directory, fail)
    found = one(3, some)
    assert found.outcome == "contradicted" and "1 of 3 trials failed (502)" in found.text


# Claim 4


def kill(folder: Path, after_s: float = 1.0, back_s: float = 0.5) -> None:
    """The server of every trial is killed so long after the window's start; all come back on a second connection."""
    for file in manifests(folder):
        manifest = json.loads(file.read_text())
        began = manifest["window"]["start_ns"] + int(after_s * 1e9)
        event = {"do": "kill", "what": "server", "planned_s": after_s, "began_ns": began, "ended_ns": began + 10**8}
        edit(file, lambda table, event=event: table.update(events=[event]))
        path = file.parent / "connections.parquet"
        table = read_table(path, "connections")
        again = {name: column.copy() for name, column in table.items()}
        again["connection"] = again["connection"] + 1000
        again["started_ns"] = np.full_like(again["started_ns"], began + int(back_s * 1e9))
        again["first_message_ns"] = again["started_ns"] + 10**6
        write_table(path, "connections", {n: np.concatenate([table[n], again[n]]) for n in table})


def test_everybody_came_back_with_everything(campaign: Callable[..., Path]) -> None:
    folder = campaign(blocks=2)
    assert one(4, folder).outcome == "not tested by this campaign"
    kill(folder)
    found = one(4, folder)
    assert found.outcome == "supported" and "2 trials of SSE in which the server was killed" in found.text
    recovery = {p.a: p for p in found.points if p.metric == "recovery_max_ns"}
    assert recovery["sse-aiohttp"].value == pytest.approx(501e6) and set(recovery) == set(FOUR)


def test_a_lost_message_or_subscriber_contradicts(campaign: Callable[..., Path]) -> None:
    lost = campaign("lost", subjects=("sse-aiohttp",), blocks=2, faults={1: ("lose",)}, scenario={
        "server": {"ring_messages": 50}})  # fmt: skip
    kill(lost)
    found = one(4, lost)
    assert found.outcome == "contradicted" and "sse-aiohttp, trial 1: 2 lost" in found.text
    assert "the ring: 50 messages, 5.00 s at 10.0 a second" in found.flips
    gone = campaign("gone", subjects=("sse-aiohttp",), blocks=2)
    kill(gone)
    path = manifests(gone)[0].parent / "connections.parquet"
    table = read_table(path, "connections")
    write_table(path, "connections", {name: column[:-1] for name, column in table.items()})
    assert "somebody did not come back" in one(4, gone).text


# Claim 5


def test_a_thousand_connections(campaign: Callable[..., Path]) -> None:
    assert one(5, campaign(subjects=("sse-aiohttp",), blocks=2)).outcome == "not tested by this campaign"
    folder = campaign("b", subjects=("sse-aiohttp",), blocks=2, subscribers=1000, window_s=1.0, warmup_s=0.1)
    found = one(5, folder)
    assert found.outcome == "supported"  # 7 µs × 10 Hz × 1,000 = 7 % of a core
    cpu = next(p for p in found.points if p.metric == "server_cpu_ns_per_message")
    assert f"half a core at some {0.5e9 / (cpu.value * 10):,.0f} connections" in found.flips
    assert "extrapolated from 1,000" in found.flips
    cost(folder, "sse-aiohttp", 10)
    for file in manifests(folder):
        memory = {"server_bytes_per_connection": 60_000.0, "kernel_bytes_per_connection": 10_000.0}
        edit(file, lambda manifest, memory=memory: manifest.update(memory=memory))
    found = one(5, folder)
    assert found.outcome == "contradicted"
    assert (
        "% of a core at 1,000 connections" in found.text and "of memory a connection, the limit is 64 KiB" in found.text
    )


def test_a_refused_connection_contradicts(campaign: Callable[..., Path]) -> None:
    folder = campaign(subjects=("sse-aiohttp",), blocks=2, subscribers=1000, window_s=1.0, warmup_s=0.1)
    path = manifests(folder)[0].parent / "connections.parquet"
    table = read_table(path, "connections")
    outcome = table["outcome"].astype(object)
    outcome[0] = "refused"
    write_table(path, "connections", table | {"outcome": list(outcome)})
    assert "1 connections failed" in one(5, folder).text


# Claim 6


def stop(folder: Path, for_s: float, outcome: str | None, heartbeat_s: float = 0.2) -> None:
    """The server of every trial is stopped 0.5 s into the window; its connections end with `outcome` after 0.45 s."""
    edit(folder / "campaign.json", lambda d: d["scenario"]["server"].update(heartbeat_s=heartbeat_s))
    for file in manifests(folder):
        manifest = json.loads(file.read_text())
        began = manifest["window"]["start_ns"] + 5 * 10**8
        event = {"do": "stop", "what": "server", "began_ns": began, "ended_ns": began + int(for_s * 1e9)}
        edit(file, lambda table, event=event: table.update(events=[event]))
        if outcome is not None:
            path = file.parent / "connections.parquet"
            table = read_table(path, "connections")
            closed = np.full_like(table["closed_ns"], began + 45 * 10**7)
            write_table(path, "connections", table | {"closed_ns": closed, "outcome": [outcome] * closed.size})


@pytest.mark.parametrize(
    ("for_s", "outcome", "said"),
    [
        (1.0, "silent for two heartbeats", "supported"),
        (1.0, "reset", "contradicted"),
        (1.0, None, "not resolved"),  # longer than two heartbeats, and nobody noticed in any way
        (0.3, None, "not tested by this campaign"),  # shorter: there was nothing to notice
    ],
)
def test_heartbeats_are_needed(campaign: Callable[..., Path], for_s: float, outcome: str | None, said: str) -> None:
    folder = campaign(subjects=("sse-aiohttp", "short-poll-aiohttp"), blocks=2)
    stop(folder, for_s, outcome)
    found = one(6, folder)
    assert found.outcome == said
    if said == "supported":
        assert "Of 8 connections to a server that was stopped, 8 were given up" in found.text
        assert "given up 450 ms after the stop, median" in found.text
        assert "FIN or RST" in found.flips


# Claim 8


def test_chat(campaign: Callable[..., Path]) -> None:
    assert one(8, campaign("no", blocks=2)).outcome == "not tested by this campaign"
    folder = campaign("chat", scenario={"chat": {"senders": 2, "rate_hz": 1.0}}, subjects=FOUR[1:3])
    found = one(8, folder)
    assert found.outcome == "supported" and "2 of 4 send" in found.flips
    cost(folder, "websocket-aiohttp", 20)
    assert one(8, folder).outcome == "contradicted"


# Sweeps and several folders


def swept(folder: Path) -> Path:
    """Blocks 3 and 4 become the second cell of blocks 1 and 2: there polls come every 5 s and cost a tenth."""
    listed: dict[int, int] = {}
    for file in manifests(folder):
        manifest = json.loads(file.read_text())
        second = manifest["block"] > 2
        settings = {"poll.interval_s": 5.0 if second else 0.5}
        listed[manifest["trial"]] = (manifest["block"] - 1) % 2 + 1
        block = listed[manifest["trial"]]
        edit(file, lambda m, settings=settings, block=block: m.update(cell=settings, block=block))
        if second and manifest["subject"].startswith("short-poll"):

            def change(manifest: dict[str, Any]) -> None:
                server = manifest["processes"]["server"]
                spent = server["cpu_ns_at_end"] - server["cpu_ns_at_start"]
                server["cpu_ns_at_end"] = server["cpu_ns_at_start"] + spent // 20

            edit(file, change)

    def list_them(document: dict[str, Any]) -> None:
        document["cells"] = [{"poll.interval_s": 0.5}, {"poll.interval_s": 5.0}]
        for row in document["trials"]:
            cell = document["cells"][row["block"] > 2]
            row |= {"block": listed[row["trial"]], "cell": cell}

    edit(folder / "campaign.json", list_them)
    return folder


def test_cells_of_a_sweep_are_never_mixed(campaign: Callable[..., Path]) -> None:
    folder = swept(campaign(subjects=("sse-aiohttp", "short-poll-aiohttp"), blocks=4))
    first, second = cells(evidence_of(folder))
    assert {first.name, second.name} == {"poll.interval_s = 0.5", "poll.interval_s = 5.0"}
    by = {at(cell.scenario, "poll.interval_s"): cell for cell in (first, second)}
    ratios = {
        interval: next(
            c for c in cell.evidence.comparisons if c.metric == "server_cpu_ns_per_message"
        ) for interval, cell in by.items()
    }  # fmt: skip
    assert ratios[0.5].blocks == ratios[5.0].blocks == 2
    assert ratios[0.5].ratio == pytest.approx(7 / 60, rel=0.1) and ratios[5.0].ratio == pytest.approx(7 / 3, rel=0.1)
    assert all(s.trials == s.usable == 2 for cell in by.values() for s in cell.evidence.subjects)


def test_a_flip_of_the_order_in_a_sweep_is_reported(campaign: Callable[..., Path]) -> None:
    folder = swept(campaign(subjects=("sse-aiohttp", "short-poll-aiohttp"), blocks=4))
    found = one(1, folder)
    assert {f.outcome for f in found.findings} == {"supported", "contradicted"}
    assert "Measured over the sweep: " in found.flips
    assert "poll.interval_s = 0.5: supported" in found.flips and "poll.interval_s = 5.0: contradicted" in found.flips
    assert found.text.startswith("At poll.interval_s = ")


def test_settings_are_laid_over_a_scenario(campaign: Callable[..., Path]) -> None:
    table = {"poll": {"interval_s": 1.0, "long_timeout_s": 25}, "subscribers": 3}
    laid = with_settings(table, {"poll.interval_s": 2.0, "subscribers": 9, "chat.senders": 1})
    assert laid == {"poll": {"interval_s": 2.0, "long_timeout_s": 25}, "subscribers": 9, "chat": {"senders": 1}}
    assert table["subscribers"] == 3 and at(laid, "chat.senders") == 1 and at(laid, "chat.senders.x") is None
    evidence = evidence_of(campaign(blocks=1, subjects=("sse-aiohttp",)))
    assert scenario(evidence) == evidence.campaign.document["scenario"]


def test_campaigns_that_disagree_are_both_shown(campaign: Callable[..., Path]) -> None:
    here, there = campaign("here"), campaign("there")
    cost(there, "sse-aiohttp", 5)
    found = one(2, here, there)
    assert [f.campaign for f in found.findings] == ["here", "there"] and found.outcome == "supported"
    assert found.text.endswith("Another campaign says otherwise (there: contradicted).")
    row = found.row()
    assert row["text"].startswith("SSE is more efficient") and [f["outcome"] for f in row["findings"]] == [
        "supported",
        "contradicted",
    ]


def test_a_folder_of_another_scenario_stands_beside(
    campaign: Callable[..., Path], few_figures: None, tmp_path: Path
) -> None:
    here = campaign("here", blocks=2)
    again = campaign("again", blocks=2, seed=2)
    chat = campaign(
        "chat",
        scenario={"name": "chat", "chat": {"senders": 2}},
        scenario_hash="feed",
        environment={"kernel": "other"},
        subjects=FOUR[1:3],
    )
    found = several([here, chat, again])
    assert [str(p) for p in found.campaign.paths] == [str(here), str(again)] and len(found.beside) == 1
    report = build([here, chat, again], tmp_path / "report")
    table = json.loads((tmp_path / "report/report.json").read_text())
    assert {s["trials"] for s in table["summary"] if s["metric"] == "lost"} == {4}  # of here and again
    claim = next(c for c in table["claims"] if c.get("number") == 8)
    assert claim["outcome"] == "supported" and claim["findings"][0]["campaign"] == "chat"
    (caveat,) = [w for w in table["warnings"] if w["kind"] == "beside"]
    assert "another environment (environment.kernel: '6.1.0-golden', there 'other')" in caveat["message"]
    assert any("another environment" in line for line in report.caveats)
    elsewhere = campaign("elsewhere", environment={"kernel": "other"})
    with pytest.raises(ResultsError, match=r"environment\.kernel differs"):
        build([here, elsewhere])


@pytest.mark.usefixtures("few_figures")
def test_rows_of_claims_keep_what_they_had(campaign: Callable[..., Path], tmp_path: Path) -> None:
    """report.json's claims[]: the answer first; every row has a text and a metric, as before."""
    report = build([campaign()], tmp_path / "report", with_claims=True)
    rows = json.loads((tmp_path / "report/report.json").read_text())["claims"]
    lines = len(report.headlines)
    assert 1 <= lines <= 4 and len(rows) == lines + 8 and all(row["text"] and row["metric"] for row in rows)
    assert [row["text"] for row in rows[:lines]] == list(report.headlines)
    assert [row.get("number") for row in rows] == [None] * lines + list(range(1, 9))
    allowed = {"supported", "contradicted", "not resolved", "not tested by this campaign"}
    assert {row["outcome"] for row in rows[lines:]} <= allowed
    page = (tmp_path / "report/report.html").read_text()
    for row in rows[lines:]:
        assert row["claim"].split(".")[0] in page
    assert 'id="claims"' in page and 'id="advice"' in page
    assert isinstance(Finding("supported", "x").row(), dict)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "asked", "shown"),
    [("gate", False, False), ("gate", True, True), ("ci", False, True), ("article", False, True)],
)
def test_the_claims_stand_where_they_are_asked_for(
    campaign: Callable[..., Path],
    tmp_path: Path,
    scenario: str,
    asked: bool,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rtbench.analysis import figures

    monkeypatch.setattr(figures, "catalogue", lambda: ())
    build([campaign(scenario={"name": scenario}, blocks=1)], tmp_path / "report", with_claims=asked)
    for name, text in (("report.html", 'id="claims"'), ("report.md", "The article's claims")):
        assert (text in (tmp_path / "report" / name).read_text()) is shown
    rows = json.loads((tmp_path / "report/report.json").read_text())["claims"]
    assert [row["number"] for row in rows if "number" in row] == list(range(1, 9))
