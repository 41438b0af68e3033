"""Recovery after a kill of the server: figures worked out by hand on a trial whose connections are written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.metrics import measure
from rtbench.analysis.samples.samples import Samples
from rtbench.records.tables import TABLES, read_table, write_table

SECOND, MS = 10**9, 10**6
RECOVERY = (
    "recovery_p50_ns", "recovery_p99_ns", "recovery_max_ns", "replayed", "herd_peak_hz", "attempts_per_recovery",
)  # fmt: skip
pytestmark = pytest.mark.slow

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def killed(tmp_path: Path, make: ModuleType) -> Build:
    """`killed(at_s, rows)`: the metrics of four subscribers, their connections being their first and these `rows`:
    (subscriber, connection, started, first message), in seconds after the kill; None: there was none."""

    def build(at_s: float | None, rows: list[tuple[int, int, float, float | None]]) -> dict[str, Any]:
        plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=4, window_s=2.0)
        folder = make.write(tmp_path / "campaign", plan)
        trial = folder / "trials/001-sse-aiohttp"
        manifest = json.loads((trial / "manifest.json").read_text())
        start_ns = manifest["window"]["start_ns"]
        kill_ns = start_ns + int((at_s or 0) * SECOND)
        stop = {"do": "stop", "what": "server", "began_ns": start_ns, "ended_ns": start_ns + 1}
        kill = {"do": "kill", "what": "server", "began_ns": kill_ns, "ended_ns": kill_ns + SECOND}
        later = {**kill, "began_ns": kill_ns + SECOND}
        manifest["events"] = [stop, later, kill] if at_s is not None else [stop]
        (trial / "manifest.json").write_text(json.dumps(manifest))
        table = read_table(trial / "connections.parquet", "connections")
        before = {name: column[:4] for name, column in table.items()}
        assert before["subscriber"].tolist() == [0, 1, 2, 3]
        before["connection"] = np.zeros(4, dtype=np.int64)  # counted for each subscriber, as the load generator does
        added: dict[str, Any] = {name: np.full(len(rows), -1) for name in TABLES["connections"]}
        added["outcome"] = np.array(["open"] * len(rows), dtype=object)
        for place, (subscriber, connection, started_s, message_s) in enumerate(rows):
            added["subscriber"][place], added["connection"][place] = subscriber, connection
            added["started_ns"][place] = kill_ns + int(started_s * SECOND)
            if message_s is not None:
                added["first_message_ns"][place] = kill_ns + int(message_s * SECOND)
        both = {name: np.concatenate([before[name], added[name]]) for name in TABLES["connections"]}
        write_table(trial / "connections.parquet", "connections", both)
        deliveries = read_table(trial / "deliveries.parquet", "deliveries")
        deliveries["connection"] = np.zeros(len(deliveries["seq"]), dtype=np.int64)
        for subscriber, connection, started_s, message_s in rows:
            if message_s is not None:
                ticks = read_table(trial / "ticks.parquet", "ticks")
                due = dict(zip(ticks["seq"].tolist(), ticks["due_ns"].tolist(), strict=True))
                # What was due from 0.2 s before this connection on came on it.
                from_ns = kill_ns + int(started_s * SECOND) - SECOND // 5
                late = np.array([due[seq] >= from_ns for seq in deliveries["seq"].tolist()])
                deliveries["connection"][late & (deliveries["subscriber"] == subscriber)] = connection
        write_table(trial / "deliveries.parquet", "deliveries", deliveries)
        return measure(Samples(load(folder)[1]))

    return build


def test_without_a_kill_there_is_nothing_to_recover_from(killed: Build) -> None:
    found = killed(None, [])
    assert {name: found[name] for name in RECOVERY} == dict.fromkeys(RECOVERY)


def test_everyone_recovered(killed: Build) -> None:
    found = killed(
        0.5,
        [
            (0, 1, 0.50, 0.60),
            (1, 1, 0.51, None),  # refused
            (1, 2, 0.70, 0.80),
            (2, 1, 0.53, 0.70),
            (3, 1, 0.90, 1.00),
        ],
    )
    # 600, 700, 800 and 1,000 ms: the nearest rank of the median is the second.
    assert found["recovery_p50_ns"] == 700 * MS
    assert found["recovery_p99_ns"] == found["recovery_max_ns"] == 1000 * MS
    assert found["herd_peak_hz"] == 30.0  # three attempts from 500 to 600 ms
    assert found["attempts_per_recovery"] == 5 / 4
    # Ten messages a second: two of the 0.2 s before each new connection came on it.
    assert found["replayed"] == 4 * 2


def test_a_client_that_never_came_back_censors_the_upper_percentiles(killed: Build) -> None:
    found = killed(0.5, [(0, 1, 0.5, 0.6), (1, 1, 0.5, 0.7), (2, 1, 0.5, None), (2, 2, 0.9, None)])
    assert found["recovery_p50_ns"] == 700 * MS
    assert found["recovery_p99_ns"] is None
    assert found["recovery_max_ns"] is None
    assert found["attempts_per_recovery"] == 4 / 2


def test_no_attempts(killed: Build) -> None:
    found = killed(0.5, [])
    assert found["recovery_p50_ns"] is None
    assert (found["herd_peak_hz"], found["attempts_per_recovery"], found["replayed"]) == (0.0, None, 0)
