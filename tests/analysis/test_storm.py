"""A storm's figures, worked out by hand on a trial whose connections are written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.metrics import catalogue, measure
from rtbench.analysis.samples.samples import Samples
from rtbench.records.tables import TABLES, read_table, write_table

SECOND, MS = 10**9, 10**6
STORM = [metric.name for metric in catalogue() if metric.name.startswith("storm_")]
pytestmark = pytest.mark.slow

Build = Callable[..., dict[str, Any]]
Row = tuple[int, float, float, float | None]


@pytest.fixture
def stormed(tmp_path: Path, make: ModuleType) -> Build:
    """`stormed(who, rows, forgets)`: the metrics of six subscribers, ten messages a second for 2 s, of whom `who` are
    cut after 0.5 s. Their later connections are `rows`: (subscriber, planned, started, answered), in seconds after the
    cut; None: refused. What is due within 100 ms before the start of a connection is replayed on it, and what is due
    earlier, but after the cut, only without `forgets`."""

    def build(who: list[int] | None, rows: list[Row], forgets: bool = False) -> dict[str, Any]:
        plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=6, window_s=2.0)
        trial = make.write(tmp_path / "campaign", plan) / "trials/001-sse-aiohttp"
        manifest = json.loads((trial / "manifest.json").read_text())
        cut_ns = manifest["window"]["start_ns"] + SECOND // 2
        counters = {"listen_overflows": (3, 10), "listen_drops": (3, 12)}
        manifest["network"] = {
            f"{n}_at_{e}": v for n, pair in counters.items() for e, v in zip(("start", "end"), pair, strict=True)
        }
        manifest["processes"]["server"]["cores"] = [0]
        table = read_table(trial / "connections.parquet", "connections")
        table["connection"] = table["connection"] * 0
        table["connected_ns"] = table["started_ns"] + MS
        table["closed_ns"] = np.where(np.isin(table["subscriber"], who or []), cut_ns + 5 * MS, table["closed_ns"])
        if who is not None:
            manifest["events"] = [
                {"do": "cut", "what": "connections", "began_ns": cut_ns, "ended_ns": cut_ns + MS, "count": len(who)}
            ]
            table["outcome"] = np.where(np.isin(table["subscriber"], who), "cut", table["outcome"]).astype(object)
        (trial / "manifest.json").write_text(json.dumps(manifest))
        added: dict[str, Any] = {name: np.full(len(rows), -1) for name in TABLES["connections"]}
        added["outcome"] = np.array(["open"] * len(rows), dtype=object)
        deliveries = read_table(trial / "deliveries.parquet", "deliveries")
        ticks = read_table(trial / "ticks.parquet", "ticks")
        due = dict(zip(ticks["seq"].tolist(), ticks["due_ns"].tolist(), strict=True))
        due_ns = np.array([due[seq] for seq in deliveries["seq"].tolist()])
        gone = np.zeros(due_ns.size, dtype=bool)
        deliveries["connection"] = deliveries["connection"] * 0
        for place, (subscriber, planned_s, started_s, answered_s) in enumerate(rows):
            started_ns = cut_ns + int(started_s * SECOND)
            added["subscriber"][place], added["connection"][place] = subscriber, place + 1
            added["planned_ns"][place], added["started_ns"][place] = cut_ns + int(planned_s * SECOND), started_ns
            added["connected_ns"][place] = started_ns + 2 * MS
            if answered_s is None:
                added["outcome"][place] = "refused"
                continue
            added["response_ns"][place] = cut_ns + int(answered_s * SECOND)
            mine = (deliveries["subscriber"] == subscriber) & (due_ns >= cut_ns)
            deliveries["connection"][mine] = place + 1
            gone |= mine & (due_ns < started_ns) & forgets
        both = {name: np.concatenate([table[name], added[name]]) for name in TABLES["connections"]}
        write_table(trial / "connections.parquet", "connections", both)
        write_table(trial / "deliveries.parquet", "deliveries", {n: c[~gone] for n, c in deliveries.items()})
        # The server: 50 ms of processor time a second, and 40 ms more between 1.0 and 1.5 s after the window's start.
        at_s = np.array([-0.5, 0.0, 0.5, 1.0, 1.5, 2.0])
        probes: dict[str, Any] = {name: np.full(at_s.size, -1) for name in TABLES["probes"]}
        probes["at_ns"] = cut_ns - SECOND // 2 + (at_s * SECOND).astype(np.int64)
        probes["server_cpu_ns"] = ((at_s * 50 + 40 * (at_s > 1.2)) * MS).astype(np.int64) + SECOND
        write_table(trial / "probes.parquet", "probes", probes)
        return measure(Samples(load(trial.parent.parent)[1]))

    return build


BACK: list[Row] = [(0, 0.30, 0.31, 0.32), (1, 0.60, 0.61, None), (1, 0.80, 0.81, 0.83), (4, 0.10, 0.10, 0.14)]


def test_without_a_storm_there_are_no_figures_of_one(stormed: Build) -> None:
    found = stormed(None, [])
    assert {name: found[name] for name in STORM} == dict.fromkeys(STORM)


def test_all_are_back_and_all_is_replayed(stormed: Build) -> None:
    found = stormed([0, 1, 4], BACK)
    assert (found["storm_cut"], found["storm_attempts_failed"], found["storm_listen_overflows"]) == (3, 1, 9)
    assert found["storm_subscribed_max_ns"] == 830 * MS
    # From 0.5 to 1.5 s of the window: 90 ms. At 50 ms a second those that were there cost 50 ms, less the 320, 830 and
    # 140 ms for which a sixth of them was away.
    each_ns = (40 + 50 * (0.32 + 0.83 + 0.14) / 6) * MS / 3
    assert found["storm_server_cpu_ns_per_return"] == pytest.approx(each_ns)
    # The client noticed the cut after 5 ms. Waits of 95, 295 and 595 ms; the last set-up begins after its wait, and TCP
    # connects in 1 ms at the soonest.
    assert found["storm_minimum_ns"] == pytest.approx(595 * MS + each_ns + 2 * MS)
    # A message at 0, 100, … ms after the cut: 4 before 310 ms, 9 before 810 ms, 1 before 100 ms.
    assert found["storm_gap"] == found["replayed"] == 4 + 9 + 1
    assert (found["storm_missed"], found["lost"]) == (0, 0)


def test_what_a_forgetful_server_did_not_replay_is_missed(stormed: Build) -> None:
    found = stormed([0, 1, 4], BACK, forgets=True)
    assert found["storm_missed"] == found["lost"] == found["storm_gap"] == 14
    assert found["replayed"] == 0


def test_waits_of_one_moment_queue_for_the_server(stormed: Build) -> None:
    rows = [(who, 0.4, 0.5 + 0.01 * who, 0.52 + 0.01 * who) for who in range(6)]
    found = stormed(list(range(6)), rows)
    away_s = sum(0.52 + 0.01 * who for who in range(6)) / 6
    assert found["storm_minimum_ns"] == pytest.approx(395 * MS + (40 + 50 * away_s) * MS + 2 * MS)
    assert found["storm_uncut_p50_ns"] is None
    assert found["storm_uncut_before_max_ns"] is None


def test_one_who_never_returns_censors_the_time_and_what_rests_on_it(stormed: Build) -> None:
    found = stormed([0, 1, 4], BACK[:2])
    names = ("storm_subscribed_max_ns", "storm_minimum_ns", "storm_server_cpu_ns_per_return")
    assert {name: found[name] for name in names} == dict.fromkeys(names)
    assert (found["storm_cut"], found["storm_attempts_failed"]) == (3, 1)


def test_those_who_were_not_cut_have_a_latency_of_their_own(stormed: Build) -> None:
    found = stormed([0, 1, 4], BACK, forgets=True)
    for name in ("storm_uncut_p50_ns", "storm_uncut_max_ns", "storm_uncut_before_p50_ns", "storm_uncut_before_max_ns"):
        assert 0 < found[name] < 100 * MS, name  # nothing of the loss of the others is in it
