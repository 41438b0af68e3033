"""Sweeps whose truth is known: laws are recovered, orders flip where they must, and what is not known is said."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis import figures, format
from rtbench.analysis.campaigns.frames import trials
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, alone, gather
from rtbench.analysis.figures import _style
from rtbench.analysis.regression.baseline import difference
from rtbench.analysis.report.answer import sentences
from rtbench.analysis.report.caveat import written
from rtbench.analysis.report.citation import facts
from rtbench.analysis.report.report import build
from rtbench.analysis.report.thresholds import crossed
from rtbench.analysis.statistics import line
from rtbench.analysis.sweep import curves, words
from rtbench.analysis.sweep.rows import Crossover, Flip, Sweep

CPU = "server_cpu_ns_per_message"
CROSSING = 11.0
LAWS = {"sse-aiohttp": (5_000.0, 0.5), "websocket-aiohttp": (5_000.0 * CROSSING**-0.7, 1.2)}
"""Server CPU per message: ns · subscribers^exponent; the two cross at CROSSING subscribers."""
NAMES = {
    "sse-aiohttp": "SSE",
    "websocket-aiohttp": "WebSocket",
    "websocket-websockets": "another",
    "sse-aiohttp@2": "A",
}


def study(evidence: Evidence) -> Sweep:
    found = curves.study(evidence)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = make.Plan(
        subjects=("sse-aiohttp", "websocket-aiohttp", "websocket-websockets"),
        blocks=4,
        window_s=1.0,
        warmup_s=0.2,
        cells=tuple({"subscribers": n} for n in (2, 4, 8, 16, 32)),
        cpu_law=LAWS,
        scenario={"thresholds": {f"sse-aiohttp.{CPU}": {"max": 20_000.0}}},
    )
    return Path(make.write(tmp_path_factory.mktemp("sweep") / "campaign", plan))


@pytest.fixture(scope="module")
def swept(folder: Path) -> Evidence:
    return gather(load(folder))


def between(sweep: Sweep, metric: str, a: str, b: str) -> Crossover:
    return next(c for c in sweep.crossovers if (c.metric, c.a, c.b) == (metric, a, b))


@pytest.mark.slow
def test_every_trial_counts_in_its_own_cell(swept: Evidence, folder: Path) -> None:
    """They used to overwrite each other: one value a subject and block was left of five."""
    assert len(swept.results) == 4 * 3 * 5 and len(swept.subjects) == 15
    listed = {row["trial"]: row for row in json.loads((folder / "campaign.json").read_text())["trials"]}
    for result in swept.results:
        assert swept.values[CPU][listed[result.trial.number]["item"]][result.trial.block] == result.metrics[CPU]
    assert {(s.trials, s.usable) for s in swept.subjects} == {(4, 4)}
    frame = trials(swept.campaign)
    assert sorted(frame["subscribers"].unique()) == [2, 4, 8, 16, 32]
    assert swept.campaign.cells == [{"subscribers": n} for n in (2, 4, 8, 16, 32)]


@pytest.mark.slow
def test_only_subjects_of_one_cell_are_compared(swept: Evidence) -> None:
    cell = {s.name: s.cell for s in swept.subjects}
    assert all(cell[c.a] == cell[c.b] == c.cell for c in swept.comparisons)
    assert sum(c.metric == CPU for c in swept.comparisons) == 5 * 3


@pytest.mark.slow
def test_a_cell_alone_is_a_campaign_of_its_own_with_the_same_numbers(swept: Evidence) -> None:
    one = alone(swept, {"subscribers": 8})
    assert one.names == ["sse-aiohttp", "websocket-aiohttp", "websocket-websockets"]
    assert len(one.results) == 12 and not one.swept and one.values[CPU].keys() == set(one.names)
    assert len(one.of("sse-aiohttp")) == 4
    whole = {(c.metric, c.a, c.b): c for c in swept.comparisons if c.cell == {"subscribers": 8}}
    assert len(one.comparisons) == len(whole)
    for c in one.comparisons:
        same = whole[c.metric, f"{c.a} [subscribers=8]", f"{c.b} [subscribers=8]"]
        assert (c.ratio, c.low, c.q, c.verdict) == (same.ratio, same.low, same.q, same.verdict)
    mine, theirs = one.summary("sse-aiohttp", CPU), swept.summary("sse-aiohttp [subscribers=8]", CPU)
    assert mine and theirs and (mine.median, mine.low) == (theirs.median, theirs.low)


@pytest.mark.slow
def test_two_campaigns_of_one_sweep_are_compared_cell_by_cell(swept: Evidence) -> None:
    found = difference(swept, swept)
    assert not found.regressions
    assert {c.subject for c in found.changes} == set(swept.names)


@pytest.mark.slow
def test_known_exponents_are_recovered(swept: Evidence) -> None:
    sweep = study(swept)
    for subject, (_, truth) in {**LAWS, "websocket-websockets": (0, 0.0)}.items():
        found = next(e for e in sweep.exponents if (e.subject, e.metric) == (subject, CPU))
        assert found.low <= truth <= found.high and found.high - found.low < 0.4
        assert (found.first, found.last, found.blocks, len(found.steps), found.bends) == (2, 32, 4, 4, False)
        assert np.average(found.steps) == pytest.approx(found.exponent, abs=0.15)


@pytest.mark.slow
def test_a_bent_curve_is_reported(make: ModuleType, tmp_path: Path) -> None:
    """The age of polled data is the delay and half the interval: no power law where the delay is most of it."""
    plan = make.Plan(
        subjects=("short-poll-aiohttp",), blocks=3, subscribers=8, window_s=1.0, rate_hz=50.0,
        cells=tuple({"poll.interval_s": v} for v in (0.001, 0.005, 0.02, 0.1, 0.4)),
    )  # fmt: skip
    sweep = study(gather(load(make.write(tmp_path / "a", plan))))
    found = next(e for e in sweep.exponents if e.metric == "latency_kernel_p50_ns")
    assert found.bends and found.curvature is not None and found.curvature > 0.5
    assert found.steps[0] < 0.5 and found.steps[-1] > 0.8
    assert f"bends: {found.steps[0]:.3f} to {found.steps[-1]:.3f}" in words.exponent(found)


@pytest.mark.slow
def test_a_known_crossover_is_recovered(swept: Evidence) -> None:
    found = between(study(swept), CPU, "sse-aiohttp", "websocket-aiohttp")
    assert (found.status, found.lower, found.across, found.blocks) == ("crosses", None, False, 4)
    (flip,) = found.flips
    assert 2 < flip.low <= CROSSING <= flip.high < 32 and flip.low < flip.value < flip.high
    assert (flip.lower_before, flip.lower_after) == ("websocket-aiohttp", "sse-aiohttp")
    assert found.undecided == ((flip.low, flip.high),)
    assert "WebSocket is lower up to" in words.crossover(found, NAMES)
    across = between(study(swept), CPU, "sse-aiohttp", "websocket-websockets")
    assert across.across


@pytest.mark.slow
def test_a_sweep_without_flips_is_reported(swept: Evidence) -> None:
    found = between(study(swept), "tcp_down_bytes_per_message", "sse-aiohttp", "websocket-aiohttp")
    assert (found.status, found.lower, found.flips, found.undecided) == ("none in range", "websocket-aiohttp", (), ())
    assert words.crossover(found, NAMES) == "none in 2.00 to 32.0: WebSocket is lower throughout"


@pytest.mark.slow
def test_the_first_lines_carry_exponents_and_crossovers(swept: Evidence) -> None:
    first, second, order, last = (claim.text for claim in sentences(swept))
    assert first == "From 2 to 32 subscribers: latency, no change seen for 3 subjects"
    assert second.startswith("From 2 to 32 subscribers: server CPU a message ")
    flip = between(study(swept), CPU, "sse-aiohttp", "websocket-aiohttp").flips[0]
    assert "Server CPU a message" in order and "WebSocket on aiohttp" in order and "SSE on aiohttp" in order
    assert f"up to some {format.number(flip.value)} subscribers" in order
    assert last.endswith(" trials valid")


@pytest.mark.slow
def test_a_threshold_on_a_subject_is_one_on_each_of_its_cells(swept: Evidence) -> None:
    lines = [written(text) for text in crossed(swept)]
    assert lines and all(line.startswith("sse-aiohttp [subscribers=") for line in lines)
    beyond = [n for n in (2, 4, 8, 16, 32) if any(f"subscribers={n}]" in line for line in lines)]
    medians = {s.cell["subscribers"]: swept.summary(s.name, CPU) for s in swept.subjects if s.base == "sse-aiohttp"}
    assert beyond == [n for n, row in medians.items() if row and row.median and row.median > 20_000]


@pytest.mark.slow
def test_the_report_of_a_sweep(folder: Path, tmp_path: Path, figures_named: Callable[..., None]) -> None:
    figures_named("sweep", "decision", "freshness")
    report = build([folder], tmp_path)
    assert report.exit_code == 1  # the threshold
    found = json.loads((tmp_path / "report.json").read_text())
    assert list(found["sweep"]) == ["keys", "curves", "exponents", "changes", "crossovers", "freshness"]
    assert found["sweep"]["keys"] == ["subscribers"] and found["sweep"]["freshness"] == []
    curve = next(c for c in found["sweep"]["curves"] if (c["subject"], c["metric"]) == ("sse-aiohttp", CPU))
    assert [p["value"] for p in curve["points"]] == [2, 4, 8, 16, 32]
    assert {p["trials"] for p in curve["points"]} == {4}
    rows = {(s["subject"], s["metric"]): s for s in found["summary"]}
    for point in curve["points"]:
        row = rows[point["subject"], CPU]
        assert (point["median"], point["low"], point["high"]) == (row["median"], row["low"], row["high"])
    assert {s["subject"] for s in found["subjects"]} == {p[0] for p in rows}
    page, markdown = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    pairs = len(found["sweep"]["crossovers"])
    assert pairs >= 15
    assert "Growth exponents" in page and "Crossovers" in page and '<figure id="sweep">' in page
    assert '<figure id="decision">' not in page and '<figure id="freshness">' not in page
    assert "**Growth exponents over subscribers**" in markdown and f"**Crossovers**: of {pairs} pairs" in markdown
    assert len(markdown) < 60_000
    assert "<h1>golden: 3 subjects compared</h1>" in page
    assert markdown.startswith("## golden: 3 subjects compared")
    table = list(csv.DictReader(io.StringIO((tmp_path / "metrics.csv").read_text())))
    heads = "trial subject subscribers block status metric unit value attempt counts why"
    assert list(table[0]) == heads.split()
    assert {(r["subject"], r["subscribers"]) for r in table} >= {("sse-aiohttp", "2"), ("websocket-websockets", "32")}
    assert {int(r["subscribers"]) * 10 for r in table} == {
        int(float(r["value"])) for r in table if r["metric"] == "expected"
    }


@pytest.mark.slow
def test_cost_at_equal_freshness(make: ModuleType, tmp_path: Path) -> None:
    cells = tuple({"poll.interval_s": v} for v in (0.11, 0.23, 0.47))
    plan = make.Plan(
        subjects=("sse-aiohttp", "short-poll-aiohttp"), blocks=2, subscribers=8, window_s=2.0, cells=cells, grace_s=0.6,
        rate_hz=20.0, scenario={"workload": {"rate_hz": 20.0, "channels": "broadcast"}, "window_s": 2.0},
    )  # fmt: skip
    evidence = gather(load(make.write(tmp_path / "a", plan)))
    rows = study(evidence).freshness
    assert [(row.subject, row.interval_s, row.polls) for row in rows[:2]] == [
        ("sse-aiohttp", 0.11, False), ("short-poll-aiohttp", 0.11, True),
    ]  # fmt: skip
    for row in rows:
        middle, tail = row.age_ns[0], row.age_tail_ns[0]
        assert middle is not None and tail is not None and middle < tail
        assert row.age_tail == "latency_kernel_within_tick_p99_ns"  # 40 due instants are too few for p99 in time (R8)
        if row.polls:
            assert middle == pytest.approx(row.interval_s * 1e9 / 2, rel=0.2)
            assert tail > 0.8 * row.interval_s * 1e9
    with _style.style():
        drawn = {f.name: f.draw(evidence) for f in figures.catalogue() if f.name in ("sweep", "freshness")}
    assert drawn["sweep"] is not None and "over poll.interval_s" in drawn["sweep"].caption
    assert drawn["freshness"] is not None and "p99 over subscribers" in drawn["freshness"].caption
    table = words.freshness(study(evidence))
    assert table is not None
    assert [cells[0] for _, cells in table.rows[1::2]] == ["110 ms", "230 ms", "470 ms"]
    assert {cells[0] for _, cells in table.rows[::2]} == {"does not poll"}
    growth = next(
        e for e in study(evidence).exponents if (e.subject, e.metric) == ("short-poll-aiohttp", "latency_kernel_p50_ns")
    )
    assert growth.exponent == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_two_keys_make_a_curve_for_each_value_of_the_other(make: ModuleType, tmp_path: Path) -> None:
    cells = tuple({"subscribers": n, "workload.channels": c} for n in (2, 4) for c in ("broadcast", "unicast"))
    plan = make.Plan(subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=2, window_s=1.0, cells=cells)
    evidence = gather(load(make.write(tmp_path / "a", plan)))
    sweep = study(evidence)
    assert [(part.key, dict(part.at), part.numeric) for part in sweep.slices] == [
        ("subscribers", {"workload.channels": "broadcast"}, True),
        ("subscribers", {"workload.channels": "unicast"}, True),
        ("workload.channels", {"subscribers": 2}, False),
        ("workload.channels", {"subscribers": 4}, False),
    ]
    assert {e.key for e in sweep.exponents} == {c.key for c in sweep.crossovers} == {"subscribers"}
    assert {c.key for c in sweep.curves} == {"subscribers", "workload.channels"}
    assert {t.unicast for t in evidence.campaign} == {False, True}  # the cell's, not the scenario's
    with _style.style():
        drawing = next(f for f in figures.catalogue() if f.name == "sweep").draw(evidence)
    assert drawing is not None and len(drawing.canvas.axes) == 6
    assert words.where(sweep.slices[0]) == "subscribers at workload.channels = broadcast"


@pytest.mark.slow
def test_a_key_without_logarithm_has_curves_and_what_changes(make: ModuleType, tmp_path: Path) -> None:
    cells = tuple({"workload.channels": c} for c in ("broadcast", "unicast"))
    plan = make.Plan(subjects=("sse-aiohttp",), blocks=2, subscribers=3, window_s=1.0, cells=cells)
    folder = make.write(tmp_path / "a", plan)
    report = build([folder])
    evidence = gather(load(folder))
    assert (study(evidence).exponents, study(evidence).crossovers) == ((), ())
    begin = "Latency, workload.channels unicast against broadcast: "
    assert report.headlines[0] == f"{begin}too few blocks to compare SSE on aiohttp"
    change = next(c.comparison for c in study(evidence).changes if c.comparison.metric == CPU)
    cost = {s.cell["workload.channels"]: evidence.values[CPU][s.name] for s in evidence.subjects}
    each = [cost["unicast"][block] / cost["broadcast"][block] for block in (1, 2)]
    assert change.ratio == pytest.approx((each[0] * each[1]) ** 0.5) and change.blocks == 2
    assert 1 < change.low < change.ratio < change.high and (change.verdict, change.q > 0.05) == ("too few blocks", True)
    assert '<figure id="sweep">' in report.path.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_a_failed_cell_shortens_the_range_and_is_reported(make: ModuleType, tmp_path: Path) -> None:
    plan = make.Plan(
        subjects=("sse-aiohttp",), blocks=2, window_s=1.0, cells=tuple({"subscribers": n} for n in (2, 4, 8)), seed=3
    )
    folder = Path(make.write(tmp_path / "a", plan))
    for row in json.loads((folder / "campaign.json").read_text())["trials"]:
        if row["cell"] == {"subscribers": 8}:
            (folder / row["directory"] / "deliveries.parquet").unlink()
    report = build([folder])
    assert report.exit_code == 3
    assert any("sse-aiohttp [subscribers=8] has 0 usable trials" in line for line in report.caveats)
    found = next(e for e in study(gather(load(folder))).exponents if e.metric == CPU)
    assert (found.first, found.last, found.bends) == (2, 4, None)
    plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, window_s=1.0, cells=plan.cells)
    report = build([Path(make.write(tmp_path / "b", plan))])
    assert "too few complete blocks for SSE on aiohttp" in report.headlines[0]


@pytest.mark.slow
def test_noise_floor_of_a_sweep_comes_from_pairs_of_one_cell(make: ModuleType, tmp_path: Path) -> None:
    plan = make.Plan(
        subjects=("sse-aiohttp", "sse-aiohttp@2"),
        blocks=3,
        window_s=1.0,
        cells=({"subscribers": 2}, {"subscribers": 4}),
    )
    evidence = gather(load(make.write(tmp_path / "a", plan)))
    assert evidence.noise_floor is not None
    assert evidence.noise_floor["pairs"] == [
        [f"sse-aiohttp [subscribers={n}]", f"sse-aiohttp@2 [subscribers={n}]"] for n in (2, 4)
    ]
    floor = evidence.noise_floor["metrics"][CPU]
    for one in evidence.comparisons:
        if one.metric == CPU and abs(math.log(one.ratio)) <= math.log(floor):
            assert not one.different
    found = between(study(evidence), CPU, "sse-aiohttp", "sse-aiohttp@2")
    assert found.status == "not resolved" and "not resolved" in words.crossover(found, NAMES)


def test_without_a_sweep_there_is_nothing(evidence: Evidence) -> None:
    assert curves.study(evidence) is None
    assert evidence.campaign.cells == [{}] and not evidence.swept


# Lines


X = np.log(np.array([1.0, 2.0, 4.0, 8.0]))


def table(*means: float, noise: float = 0.01) -> line.Floats:
    """Cells × 3 blocks with these means and a little noise."""
    return np.array(means)[:, None] + noise * np.array([[-1.0, 0.0, 1.0]])


def test_undecided_is_where_the_interval_holds_zero() -> None:
    (span,) = line.undecided(X, table(-3.0, -1.0, 1.0, 3.0))
    assert span.zero == pytest.approx(math.log(2) * 1.5) and span.low is not None and span.high is not None
    # by looking, at many points: the t-interval of the interpolated difference
    data = table(-3.0, -1.0, 1.0, 3.0, noise=0.3)
    (span,) = line.undecided(X, data)
    grid = np.linspace(X[0], X[-1], 4001)
    held = []
    for at in grid:
        here = line.over_blocks(np.array([np.interp(at, X, data[:, block]) for block in range(3)]))
        held.append(here.low <= 0 <= here.high)
    inside = grid[np.array(held)]
    assert (span.low, span.high) == (pytest.approx(inside[0], abs=1e-3), pytest.approx(inside[-1], abs=1e-3))


def test_stretches_reach_the_ends_touch_and_repeat() -> None:
    (left,) = line.undecided(X, table(0.0, 1.0, 2.0, 3.0))
    assert left.low is None and left.high is not None
    (whole,) = line.undecided(X, table(0.0, 0.0, 0.0, 0.0))
    assert (whole.low, whole.high) == (None, None)
    assert line.undecided(X, table(1.0, 2.0, 3.0, 4.0)) == []
    assert line.undecided(X, table(1.0, 1.0, 1.0, 1.0, noise=0.0)) == []
    one, other = line.undecided(X, table(-1.0, 1.0, 1.0, -1.0))
    assert one.zero is not None and other.zero is not None and one.zero < X[1] < X[2] < other.zero
    (touch,) = line.undecided(X, table(2.0, 0.0, 2.0, 3.0))
    assert touch.zero is None and touch.low is not None and touch.high is not None


def test_two_undecided_cells_have_nothing_decided_between_them() -> None:
    """Their average has less noise: opposite errors cancel."""
    data = np.array([[0.1 + 0.2, 0.1 - 0.2, 0.1], [0.1 - 0.2, 0.1 + 0.2, 0.1]])
    middle = line.over_blocks(data.mean(axis=0))
    assert middle.low > 0
    (span,) = line.undecided(X[:2], data)
    assert (span.low, span.high) == (None, None)


def test_roots() -> None:
    assert sorted(line._roots(1.0, -3.0, 2.0)) == [1.0, 2.0]
    assert line._roots(0.0, 2.0, -1.0) == [0.5] and line._roots(0.0, 0.0, 1.0) == []
    assert line._roots(1.0, 0.0, 1.0) == [] and line._roots(1.0, 0.0, 0.0) == [0.0]


def test_complete_keeps_the_most_that_is_whole() -> None:
    rows = {1.0: {1: 0.0, 2: 0.1, 3: 0.2}, 2.0: {1: 1.0, 2: 1.1}, 4.0: {3: 2.0}, 8.0: {2: 3.0, 3: 3.1}}
    found = line.complete(rows)
    assert found is not None
    x, data = found
    assert np.exp(x).tolist() == pytest.approx([1.0, 8.0]) and data.tolist() == [[0.1, 0.2], [3.0, 3.1]]
    assert line.complete({1.0: {1: 0.0}, 2.0: {1: 0.0}}) is None
    assert line.complete({1.0: {1: 0.0, 2: 0.0}, 2.0: {3: 0.0, 4: 0.0}}) is None
    assert line.complete({}) is None


def test_slope_and_bend() -> None:
    straight = 0.5 * X[:, None] + np.array([[0.0, 1.0, 2.0]])
    assert line.slope(X, straight).value == pytest.approx(0.5)
    bend = line.bend(X, straight + 0.2 * (X**2)[:, None])
    assert bend is not None and bend.value == pytest.approx(0.2)
    assert line.bend(X[:2], straight[:2]) is None


@pytest.mark.parametrize(
    ("flips", "status", "sentence"),
    [
        ((), "not resolved", "not resolved: within the noise floor, 1.00 to 8.00"),
        ((Flip(2.0, 1.5, 3.0, "a", "b"),), "crosses", "a is lower up to 2.00 [1.50, 3.00], b beyond"),
    ],
)
def test_crossovers_in_words(flips: tuple[Flip, ...], status: str, sentence: str) -> None:
    row: dict[str, Any] = {"key": "k", "at": {}, "metric": CPU, "a": "a", "b": "b", "across": False, "lower": None}
    found = Crossover(**row, status=status, flips=flips, undecided=(), first=1.0, last=8.0, blocks=3)
    assert words.crossover(found, {"a": "a", "b": "b"}) == sentence


def test_the_first_screen_has_the_range_that_was_swept() -> None:
    scenario = {"subscribers": 300, "stream": "fanout", "workload": {"rate_hz": 5.0}, "poll": {"interval_s": 1.0}}
    cells = [{"poll.interval_s": s, "subscribers": n} for s, n in ((0.27, 100), (2.3, 5000), (0.11, 100))]
    found = facts({"scenario": scenario, "cells": cells})
    assert "100 to 5,000 subscribers" in found and "polls every 0.11 to 2.3 s" in found
    alone = facts({"scenario": scenario, "cells": [{}]})
    assert "300 subscribers" in alone and "polls every 1 s" in alone and "broadcast of 5 messages/s" in alone
