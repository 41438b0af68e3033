"""Churn's figures, worked out by hand on visits that are written by hand."""

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
CHURN = [metric.name for metric in catalogue() if metric.name.startswith("churn_")]
pytestmark = pytest.mark.slow

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def visited(tmp_path: Path, make: ModuleType) -> Build:
    """`visited(visits, kept, join_ns)`: the metrics of two subscribers and visitors, ten messages a second for 20 s.

    A visit is (planned, answered, left, how it ended), in seconds of the window; None: never. A visitor has all that
    is due 50 ms or more before it left. The server keeps `kept` descriptors, and needs `join_ns` for each visit.
    """

    def build(visits: list[tuple[float, float | None, float | None, str]], kept: int = 0, join_ns: int = 0) -> Any:
        plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, window_s=20.0)
        trial = make.write(tmp_path / "campaign", plan) / "trials/001-sse-aiohttp"
        manifest = json.loads((trial / "manifest.json").read_text())
        start_ns, end_ns = manifest["window"]["start_ns"], manifest["window"]["end_ns"]
        if not visits:
            return measure(Samples(load(trial.parent.parent)[1]))

        def at(seconds: float | None) -> int:
            return -1 if seconds is None else start_ns + round(seconds * SECOND)

        planned, answered, left = (np.array([at(visit[place]) for visit in visits]) for place in range(3))
        there = [int(((planned < edge) & ((left < 0) | (left >= edge))).sum()) for edge in (start_ns, end_ns)]
        manifest["processes"]["server"] |= {
            "descriptors_at_start": 30,
            "descriptors_at_end": 30 + kept + there[1] - there[0],
        }
        (trial / "manifest.json").write_text(json.dumps(manifest))
        before, ticks = (read_table(trial / f"{kind}.parquet", kind) for kind in ("connections", "ticks"))
        added: dict[str, Any] = {name: np.full(len(visits), -1) for name in TABLES["connections"]}
        added |= {"subscriber": np.arange(len(visits)) + 2, "planned_ns": planned, "started_ns": planned}
        added |= {"response_ns": answered, "closed_ns": left}
        added["outcome"] = np.array([visit[3] for visit in visits], dtype=object)
        rows: list[tuple[int, int, int]] = []
        for place in range(len(visits)):
            until = left[place] - 50 * MS if left[place] >= 0 else end_ns
            due = (ticks["sent_ns"] >= answered[place]) & (ticks["due_ns"] < until) & (answered[place] >= 0)
            rows += [(place, tick, int(ticks["due_ns"][tick]) + 5 * MS) for tick in np.flatnonzero(due)]
        who, tick, app_ns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        for place in range(len(visits)):
            if (who == place).any():
                added["first_message_ns"][place] = app_ns[who == place].min()
        both = {name: np.concatenate([before[name], added[name]]) for name in TABLES["connections"]}
        write_table(trial / "connections.parquet", "connections", both)
        deliveries = dict.fromkeys(TABLES["visit_deliveries"], who * 0)
        deliveries |= {name: ticks[name][tick] for name in ("channel", "seq", "payload_bytes", "digest")}
        deliveries |= {"subscriber": who + 2, "kernel_ns": app_ns, "app_ns": app_ns}
        write_table(trial / "visit_deliveries.parquet", "visit_deliveries", deliveries)
        spans = {"leaves_ns": left, "had_until_ns": np.where(left < 0, end_ns, left - SECOND // 2)}
        write_table(trial / "visits.parquet", "visits", {"subscriber": who_of(visits), "planned_ns": planned, **spans})
        probes = read_table(trial / "probes.parquet", "probes")
        moves = sum(np.searchsorted(np.sort(moments), probes["at_ns"]) for moments in (planned, left[left >= 0]))
        probes["server_cpu_ns"] = probes["server_cpu_ns"] + moves * join_ns // 2
        probes["server_memory_bytes"] = 40_000_000 + 1000 * np.arange(moves.size)
        write_table(trial / "probes.parquet", "probes", probes)
        return measure(Samples(load(trial.parent.parent)[1]))

    return build


def who_of(visits: list[Any]) -> Any:
    return np.arange(len(visits)) + 2


OWN = "closed by the subscriber"


def test_without_visitors_there_are_no_figures_of_them(visited: Build) -> None:
    found = visited([])
    assert len(CHURN) == 18
    assert {name: found[name] for name in CHURN} == dict.fromkeys(CHURN)


def test_times_are_from_the_planned_arrival(visited: Build) -> None:
    found = visited([(-0.5, -0.4, 5.0, OWN), (1.0, 1.01, 4.0, OWN), (2.0, 2.03, 6.0, OWN), (3.0, 3.02, None, "open")])
    assert found["churn_visits"] == 3  # one came before the window
    assert found["churn_subscribed_p50_ns"] == 20 * MS
    assert found["churn_subscribed_p99_ns"] == 30 * MS
    assert found["churn_first_message_p50_ns"] == pytest.approx(105 * MS, abs=MS)
    assert found["churn_failed"] == found["churn_lost"] == 0
    assert found["churn_undecided"] == 0  # it had what was due in the last half second, but for the last 50 ms


def test_visits_that_fail_are_counted_and_censor_the_tail(visited: Build) -> None:
    found = visited(
        [
            *((second, second + 0.01, second + 2.0, OWN) for second in range(1, 9)),
            (9.0, None, 9.1, OWN),  # left before an answer could come: left out
            (9.5, None, 12.0, OWN),  # never answered
            (10.0, None, 10.1, "refused"),
            (10.0, 10.01, 12.0, "reset"),
        ]
    )
    assert (found["churn_visits"], found["churn_failed"]) == (12, 3)
    assert found["churn_subscribed_p50_ns"] == 10 * MS
    assert found["churn_subscribed_p99_ns"] is None


def test_what_a_server_keeps_and_what_a_join_costs(visited: Build) -> None:
    rng = np.random.default_rng(5)
    arrivals = np.sort(rng.uniform(0.5, 19, 80))
    visits = [(at, at + 0.01, at + stay if at + stay < 20 else None, OWN if at + stay < 20 else "open")
              for at, stay in zip(arrivals.tolist(), rng.exponential(3, 80).tolist(), strict=True)]  # fmt: skip
    found = visited(visits, kept=61, join_ns=300_000)
    assert found["churn_descriptors_kept"] == 61
    assert found["churn_server_cpu_ns_per_join"] == pytest.approx(300_000, rel=0.01)
    assert found["churn_server_cpu_ns_per_join_low"] <= 300_001
    assert found["churn_server_cpu_ns_per_join_high"] >= 299_999
    assert found["churn_server_memory_after_bytes"] > found["churn_server_memory_before_bytes"] > 0


def test_messages_at_visitors_are_messages(visited: Build) -> None:
    alone = visited([])
    found = visited([(1.0, 1.01, 11.0, OWN)])
    messages = 20 * found["delivered_hz"] - 20 * alone["delivered_hz"]
    assert messages == pytest.approx(found["churn_expected"], abs=1) == pytest.approx(99, abs=2)
    assert found["lost"] == alone["lost"] == 0
    assert found["server_cpu_ns_per_message"] < alone["server_cpu_ns_per_message"]
