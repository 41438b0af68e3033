"""Advice from campaigns with known costs: the ranking, the flip point, what is extrapolated, and what does not matter.

make.py's servers take 7,000 (sse), 9,000 (websocket), 40,000 (long-poll), 60,000 (short-poll) ns a message, at 10
messages a second for each subscriber and a poll every 0.5 s, so 300,000 ns a poll.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from rtbench.analysis.advice.advice import Advice, Ranked, advise, of_folder
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.advice.options import _floor
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.cli import cli
from rtbench.errors import ResultsError, UserError

pytestmark = pytest.mark.slow

FOUR = ("sse-aiohttp", "websocket-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp")
MANY = 1000
PLAN: dict[str, Any] = {"subjects": FOUR, "blocks": 4, "subscribers": 4, "window_s": 2.0}


def written(make: ModuleType, folder: Path, **plan: Any) -> Path:
    return Path(make.write(folder, make.Plan(**(PLAN | plan))))


@pytest.fixture(scope="module")
def folder(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(make, tmp_path_factory.mktemp("advice") / "a")


@pytest.fixture(scope="module")
def four(folder: Path) -> Evidence:
    return gather(load(folder))


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


def cost(folder: Path, subject: str, factor: float) -> None:
    for file in folder.glob(f"trials/*-{subject}/manifest.json"):

        def change(manifest: dict[str, Any]) -> None:
            server = manifest["processes"]["server"]
            spent = server["cpu_ns_at_end"] - server["cpu_ns_at_start"]
            server["cpu_ns_at_end"] = server["cpu_ns_at_start"] + round(spent * factor)

        edit(file, change)


def places(found: Advice) -> list[tuple[int, str]]:
    return [(r.rank, r.option.name) for r in found.ranking]


def of(found: Advice, transport: str) -> Ranked:
    return next(r for r in found.ranking if r.option.subject.transport == transport)


def test_the_known_ranking_and_costs(four: Evidence) -> None:
    found = advise(four, Needs(subscribers=MANY))
    assert places(found) == [
        (1, "sse-aiohttp"), (2, "websocket-aiohttp"), (3, "long-poll-aiohttp"), (4, "short-poll-aiohttp"),
    ]  # fmt: skip
    assert found.answer == "SSE on aiohttp."
    for ranked, cpu in zip(found.ranking, (7_000, 9_000, 40_000, 60_000), strict=True):
        option = ranked.option
        assert option.cores == pytest.approx(cpu * 10 * MANY / 1e9, rel=0.15)  # make.py draws a block effect of 10 %
        assert option.low is not None and option.high is not None and option.low < option.cores < option.high
        assert option.unmet == option.asks == ()
    for ranked, truth in zip(found.ranking[1:], (9 / 7, 40 / 7, 60 / 7), strict=True):
        assert ranked.ratio is not None and ranked.ratio.b == "sse-aiohttp"
        assert ranked.ratio.ratio == pytest.approx(truth, rel=0.08)
        assert "of SSE on aiohttp's" in ranked.note
    push, poll = of(found, "sse").option, of(found, "short-poll").option
    assert push.bytes_hz == pytest.approx(190 * 10 * MANY, rel=0.02)  # 150 of payload and 40 around it
    assert poll.interval_s == 0.5 and any("a poll × one every 0.500 s × 1,000" in r for r in poll.reasons)


def test_the_known_flip_point(four: Evidence) -> None:
    """A poll is 300,000 ns and pushing 10 a second 70,000: they meet at 4.29 s, or at 85.7 messages a second."""
    found = advise(four, Needs(subscribers=MANY))
    (line,) = [c for c in found.changes if c.startswith("Short polling on aiohttp costs less CPU than SSE on aiohttp")]
    ratio = of(found, "short-poll").ratio
    assert ratio is not None and ratio.low is not None and ratio.high is not None
    assert ratio.ratio * 0.5 == pytest.approx(60 / 14, rel=0.08)
    assert f"{ratio.ratio * 0.5:.2f} [{ratio.low * 0.5:.2f}, {ratio.high * 0.5:.2f}] s or longer" in line
    assert f"from {ratio.ratio * 10:.1f} [" in line and "(at the earliest)" in line
    # the same flip whatever is needed now: at a fifth of the rate polls meet push at five times the interval
    slow = advise(four, Needs(subscribers=MANY, rate_hz=2))
    ratio = of(slow, "short-poll").ratio
    assert ratio is not None and ratio.ratio * 0.5 == pytest.approx(5 * 60 / 14, rel=0.08)


def test_the_order_flips_at_the_reported_value(four: Evidence) -> None:
    """Below 85.7 messages a second push is cheaper, above it short polls are; and it says that it is a guess."""
    for rate, first in ((60, "sse"), (120, "short-poll")):
        found = advise(four, Needs(subscribers=100, rate_hz=rate))
        assert found.ranking[0].option.subject.transport == first
    poll = of(found, "short-poll").option
    assert any(
        "its cost is at least that: an answer would bring 60.0 messages, not 5.00" in e for e in poll.extrapolated
    )
    (line,) = [c for c in found.changes if "costs less CPU than" in c and "SSE" in c]
    assert "(at the latest)" in line


def test_what_was_not_measured_is_named(four: Evidence) -> None:
    as_measured = advise(four, Needs())
    assert not any(r.option.extrapolated for r in as_measured.ranking)
    found = advise(four, Needs(subscribers=400, rate_hz=5, payload_bytes=1500))
    for ranked in found.ranking:
        text = "; ".join(ranked.option.extrapolated)
        assert "400 subscribers, extrapolated: measured at 4" in text
        assert "messages a second, extrapolated: measured at 10.0" in text
        assert "1,500 bytes of payload, extrapolated: measured at 150" in text
        assert "the age of data is that with 4 subscribers" in text
    assert (
        "its cost is at most that: an answer would bring 2.50 messages, not 5.00"
        in of(found, "short-poll").option.extrapolated
    )
    close = advise(four, Needs(subscribers=4, rate_hz=10.05))
    assert not any(r.option.extrapolated for r in close.ranking)
    push = of(found, "sse").option
    assert push.bytes_hz == pytest.approx(400 * 5 * (1500 + 40), rel=0.02)


def test_cheap_is_cheap_enough(four: Evidence) -> None:
    """Four subscribers take nobody more than a quarter of a percent of a core."""
    found = advise(four, Needs())
    assert {rank for rank, _ in places(found)} == {1}
    assert found.answer.endswith(": it does not matter which.") and len(found.equal) == 1
    assert "each takes less than 5.00 % of a core" in found.equal[0]
    assert "old at the median" in found.equal[0]


def test_what_is_not_resolved_is_open(make: ModuleType, tmp_path: Path) -> None:
    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp", "websocket-aiohttp", "long-poll-aiohttp"))
    cost(folder, "websocket-aiohttp", 7 / 9)
    found = of_folder(folder, Needs(subscribers=MANY))
    assert [rank for rank, _ in places(found)] == [1, 1, 3]
    assert found.equal == () and "not resolved: " in found.open[0]
    assert found.answer.endswith(": nothing measured here tells them apart.")


def test_a_difference_within_the_noise_floor_does_not_matter(make: ModuleType, tmp_path: Path) -> None:
    names = ("sse-aiohttp", "sse-aiohttp@2", "websocket-aiohttp")
    folder = written(make, tmp_path / "a", subjects=names)
    cost(folder, "websocket-aiohttp", 2)
    assert [rank for rank, _ in places(of_folder(folder, Needs(subscribers=MANY)))] == [1, 2]
    cost(folder, "sse-aiohttp@2", 3)  # this machine tells nothing apart below that
    found = of_folder(folder, Needs(subscribers=MANY))
    assert [rank for rank, _ in places(found)] == [1, 1]
    assert ("sse-aiohttp@2", "a second label of another subject (A/A control)") in found.left


def test_freshness_asks_for_a_shorter_interval(four: Evidence) -> None:
    found = advise(four, Needs(subscribers=100, freshness_ms=200))
    poll = of(found, "short-poll")
    measured = next(
        r for r in advise(four, Needs(subscribers=100)).ranking if r.option.subject.transport == "short-poll"
    ).option
    option = poll.option
    assert measured.age_p90_ns is not None and option.age_p90_ns is not None and option.interval_s is not None
    assert option.unmet == () and option.age_p90_ns <= 200e6 and 0.19 <= option.interval_s <= 0.22
    assert option.name == f"short-poll-aiohttp every {option.interval_s:.3f} s"
    assert option.cores == pytest.approx(measured.cores * 0.5 / option.interval_s)
    assert any("seconds between polls, extrapolated: measured at 0.500" in e for e in option.extrapolated)
    assert any("its cost is at most that" in e for e in option.extrapolated)


def test_freshness_that_nothing_or_no_poll_can_meet(four: Evidence) -> None:
    found = advise(four, Needs(subscribers=MANY, freshness_ms=50))
    poll = of(found, "short-poll")
    assert poll.rank == 4
    # a poll every 50 ms is ten times 60 % of a core: too slow as measured, too dear otherwise
    assert any("of a core (extrapolated)" in r for r in poll.option.reasons)
    assert any("not 50 ms: it is asked for every 0.500 s" in u for u in poll.option.unmet)
    assert any("would be fresh enough if data" in c and "old were acceptable" in c for c in found.changes)
    none = advise(four, Needs(freshness_ms=0.001))
    assert none.answer.startswith("Nothing that was measured meets these needs; ")
    assert all(r.option.unmet for r in none.ranking)


def test_more_subscribers_may_make_it_too_old(four: Evidence) -> None:
    """SSE's p90 is some 3.4 ms with 4 subscribers; in proportion it is ten times that with 40."""
    found = advise(four, Needs(subscribers=40, freshness_ms=20))
    (ask,) = of(found, "sse").option.asks
    assert "was measured with 4 subscribers only; in proportion it would be" in ask
    assert of(advise(four, Needs(subscribers=8, freshness_ms=20)), "sse").option.asks == ()


def test_one_core_is_not_enough(four: Evidence) -> None:
    found = advise(four, Needs(subscribers=4000))
    assert [r.option.subject.transport for r in found.ranking][:2] == ["sse", "websocket"]
    assert any("cores, and one process has one" in u for u in of(found, "short-poll").option.unmet)
    cores = found.ranking[0].option.cores / 4000
    assert any(f"fills one core at some {int(1 / cores):,} subscribers, extrapolated" in c for c in found.changes)


def test_clients_that_send(four: Evidence) -> None:
    found = advise(four, Needs(subscribers=MANY, bidirectional=True))
    assert found.ranking[0].option.subject.transport == "websocket"
    assert "needs a POST for each message" in of(found, "sse").option.asks[0]
    assert not any("--bidirectional" in c for c in found.changes)
    assert any("--bidirectional" in c for c in advise(four, Needs()).changes)


def test_chat_that_was_measured_asks_for_nothing_more(make: ModuleType, tmp_path: Path) -> None:
    folder = written(make, tmp_path / "a", scenario={"chat": {"senders": 2, "rate_hz": 1}})
    assert all(not r.option.asks for r in of_folder(folder, Needs(bidirectional=True)).ranking)


def test_behind_a_proxy(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"sse-aiohttp+nginx": ("sse-aiohttp", 300.0), "websocket-aiohttp+nginx": ("websocket-aiohttp", 2.0)}
    for name, (base, delay) in names.items():
        monkeypatch.setitem(make.SUBJECTS, name, make.SUBJECTS[base] | {"delay": delay})
    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp", *names))

    def proxied(document: dict[str, Any]) -> None:
        for row in document["subjects"]:
            row["proxy"] = "nginx" if row["subject"] in names else ""

    edit(folder / "campaign.json", proxied)
    direct = of_folder(folder, Needs(subscribers=MANY))
    assert places(direct) == [(1, "sse-aiohttp")]
    assert ("sse-aiohttp+nginx", "measured behind a proxy, which the needs do not ask for") in direct.left
    found = of_folder(folder, Needs(subscribers=MANY, through_proxy=True), every=True)
    assert [name for _, name in places(found)] == ["websocket-aiohttp+nginx", "sse-aiohttp", "sse-aiohttp+nginx"]
    assert found.ranking[1].option.asks == ("was not measured behind a proxy",)
    assert any(u.startswith("held back: median latency") for u in found.ranking[2].option.unmet)


def test_the_best_of_each_transport_and_all(make: ModuleType, tmp_path: Path) -> None:
    folder = written(make, tmp_path / "a", subjects=("websocket-aiohttp", "websocket-websockets", "sse-aiohttp"))
    best = of_folder(folder, Needs(subscribers=MANY))
    assert [name for _, name in places(best)] == ["sse-aiohttp", "websocket-aiohttp"]
    every = of_folder(folder, Needs(subscribers=MANY), every=True)
    assert [name for _, name in places(every)] == ["sse-aiohttp", "websocket-aiohttp", "websocket-websockets"]
    assert "(stacks differ: websockets, aiohttp)" in every.ranking[2].note


def test_lost_messages_are_an_unmet_need(make: ModuleType, tmp_path: Path) -> None:
    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp",), faults={1: ("lose",)})
    (ranked,) = of_folder(folder, Needs()).ranking
    assert ranked.option.unmet == ("lost 2 messages when it was measured",)


def test_a_campaign_with_faults_says_so(make: ModuleType, tmp_path: Path) -> None:
    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp",))
    for file in folder.glob("trials/*/manifest.json"):
        event = {"do": "stop", "what": "server", "began_ns": 1, "ended_ns": 2}
        edit(file, lambda manifest, event=event: manifest.update(events=[event]))
    (ranked,) = of_folder(folder, Needs()).ranking
    assert ranked.option.extrapolated == ("measured with a stop of the server in the window",)


def test_no_verdict_is_possible(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(make, tmp_path / "a", blocks=1)
    with pytest.raises(ResultsError, match="1 usable trial: nothing is concluded"):
        of_folder(folder, Needs())
    with pytest.raises(ResultsError, match="it has no subjects"):
        of_folder(written(make, tmp_path / "b", interrupted_after=0, extra={"subjects": []}), Needs())
    assert advise(gather(load(folder)), Needs()).answer.startswith("Nothing can be advised")
    monkeypatch.setitem(make.SUBJECTS, "tcp-floor", make.SUBJECTS["sse-aiohttp"] | {"transport": "tcp"})
    found = of_folder(written(make, tmp_path / "c", subjects=("tcp-floor", "sse-aiohttp")), Needs())
    assert found.left == (("tcp-floor", "tcp is a floor, not a transport to choose"),)


def in_two_cells(folder: Path, key: str, values: tuple[Any, Any], change: Callable[[dict[str, Any]], None]) -> None:
    """Blocks 3 and 4 become blocks 1 and 2 of a second cell, in whose manifests `change` changes something."""
    blocks: dict[int, int] = {}
    for file in sorted(folder.glob("trials/*/manifest.json")):
        manifest = json.loads(file.read_text())
        second = manifest["block"] > 2
        manifest |= {"cell": {key: values[second]}, "block": (manifest["block"] - 1) % 2 + 1}
        blocks[manifest["trial"]] = manifest["block"]
        if second:
            change(manifest)
        file.write_text(json.dumps(manifest))

    def list_them(document: dict[str, Any]) -> None:
        document["cells"] = [{key: value} for value in values]
        for row in document["trials"]:
            row["cell"] = document["cells"][row["block"] > 2]
            row["block"] = blocks[row["trial"]]

    edit(folder / "campaign.json", list_them)


def test_cells_of_a_sweep_near_the_needs_are_used(make: ModuleType, tmp_path: Path) -> None:
    """A second cell with polls every 5 s that cost a twentieth a message."""

    def cheaper(manifest: dict[str, Any]) -> None:
        if manifest["subject"].startswith("short"):
            server = manifest["processes"]["server"]
            server["cpu_ns_at_end"] -= (server["cpu_ns_at_end"] - server["cpu_ns_at_start"]) * 19 // 20

    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp", "short-poll-aiohttp"))
    in_two_cells(folder, "poll.interval_s", (0.5, 5.0), cheaper)
    found = of_folder(folder, Needs(subscribers=MANY))
    assert [r.option.subject.transport for r in found.ranking] == ["short-poll", "sse"]
    poll = found.ranking[0].option
    assert poll.cell.settings == {"poll.interval_s": 5.0} and poll.interval_s == 5.0
    ratio = found.ranking[1].ratio
    assert ratio is not None and ratio.low is not None  # paired by block, over two cells where they are of two
    assert ratio.ratio == pytest.approx(7 / 3, rel=0.15)


def test_a_network_is_the_nearest_that_was_measured(make: ModuleType, tmp_path: Path) -> None:
    """Loopback, and round trips of 100 ms with a loss of 1 %."""

    def slow(manifest: dict[str, Any]) -> None:
        manifest["impairment"] = {"delay_ms": 50.0, "jitter_ms": 0.0, "loss": 0.01, "rate_mbit": 0.0, "queue_ms": 0.0}

    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp", "long-poll-aiohttp"))
    in_two_cells(folder, "network.delay_ms", (0, 50), slow)
    for needs, cell, texts in (
        (Needs(rtt_ms=100.0), 50, ()),
        (Needs(loss=0.01), 50, ()),
        (Needs(rtt_ms=0.0, loss=0.0), 0, ()),
        (Needs(rtt_ms=60.0), 50, ("a round trip of 60 ms, between measured cells: measured at 100 ms",)),
        (Needs(rtt_ms=200.0), 50, ("a round trip of 200 ms, extrapolated: measured at 100 ms",)),
        (Needs(loss=0.05), 50, ("a loss of 5 %, extrapolated: measured at 1 %",)),
    ):
        found = of_folder(folder, needs)
        for ranked in found.ranking:
            assert ranked.option.cell.settings == {"network.delay_ms": cell}
            assert len(ranked.option.extrapolated) == len(texts)
            for text, shown in zip(texts, ranked.option.extrapolated, strict=True):
                assert shown.startswith(text)
    measured, farther = (of_folder(folder, Needs(rtt_ms=rtt_ms)) for rtt_ms in (100.0, 200.0))
    for transport in ("sse", "long-poll"):
        before, after = (of(found, transport).option.age_p50_ns for found in (measured, farther))
        assert before is not None and after == before + 50e6
    assert "waits longer" in of(farther, "long-poll").option.extrapolated[0]
    assert of_folder(folder, Needs(rtt_ms=200.0, freshness_ms=50.0)).answer.startswith(
        "Nothing that was measured meets"
    )


def test_protocols_of_the_connection(make: ModuleType, tmp_path: Path) -> None:
    """Cleartext and TLS side by side; nothing over HTTP/2."""

    def seal(manifest: dict[str, Any]) -> None:
        manifest["tls"] = {"version": "1.3", "negotiated": {"TLSv1.3 TLS_AES_256_GCM_SHA384": 4}}

    folder = written(make, tmp_path / "a", subjects=("sse-aiohttp", "websocket-aiohttp"))
    in_two_cells(folder, "tls", (False, True), seal)
    found = of_folder(folder, Needs(tls=True))
    assert [(r.option.cell.settings, r.option.asks) for r in found.ranking] == [({"tls": True}, ())] * 2
    found = of_folder(folder, Needs(tls=True, http2=True))
    assert {r.option.asks for r in found.ranking} == {("was not measured over HTTP/2",)}
    assert {r.option.cell.settings["tls"] for r in found.ranking} == {True}


def test_tls_that_was_not_measured_is_asked_for(four: Evidence) -> None:
    assert {r.option.asks for r in advise(four, Needs(tls=True)).ranking} == {("was not measured with TLS",)}


@pytest.mark.parametrize(
    ("value", "floored"), [(0.2178, 0.21), (0.33, 0.33), (1.99, 1.9), (12.6, 12.0), (0.0456, 0.045), (1.0, 1.0)]
)
def test_an_interval_has_two_digits_and_is_not_longer(value: float, floored: float) -> None:
    assert _floor(value) == pytest.approx(floored) and _floor(value) <= value


@pytest.mark.parametrize("needs", [{"rate_hz": float("nan")}, {"freshness_ms": 0.0}, {"payload_bytes": -1.0}])
def test_needs_that_cannot_be(folder: Path, needs: dict[str, float]) -> None:
    with pytest.raises(
        UserError, match=r"^--(rate|freshness-ms|payload-bytes) \S+ is out of range: give a finite number above 0$"
    ):
        of_folder(folder, Needs(**needs))  # type: ignore[arg-type]
    for network in (Needs(rtt_ms=-1.0), Needs(loss=1.0)):
        with pytest.raises(UserError, match=r"^--(rtt-ms -1\.0|loss 1\.0) is out of range: give a "):
            of_folder(folder, network)


def test_the_command(folder: Path) -> None:
    words = ["advise", str(folder), "--subscribers", "1000", "--freshness-ms", "200"]
    done = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    table = json.loads(done.stdout)
    assert table["ranking"][0]["subject"] == "sse-aiohttp" and table["needs"]["subscribers"] == 1000
    assert set(table) == {
        "schema", "campaign", "needs", "answer", "ranking", "does_not_matter", "not_resolved", "would_change",
        "not_ranked",
    }  # fmt: skip
    assert table["ranking"][1]["cost_ratio"]["to"] == "sse-aiohttp"
    text = CliRunner().invoke(cli, [*words, "--all", "--bidirectional"], catch_exceptions=False).stdout
    assert text.startswith("WebSocket on aiohttp.\n\n1. WebSocket on aiohttp (websocket-aiohttp)\n")
    assert "What would change this:" in text and " ! what clients send needs a POST" in text
    for bad in (["advise", str(folder / "nowhere")], ["advise", str(folder), "--rate", "nan"]):
        with pytest.raises(UserError):
            CliRunner().invoke(cli, bad, catch_exceptions=False)
