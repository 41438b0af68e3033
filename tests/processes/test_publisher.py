"""The publisher's process: it plays, pauses, and keeps what it played."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.processes.publisher import PublisherProcess
from rtbench.scenario.loading import build

PATIENCE_S = 60


@pytest.mark.slow
def test_publisher_plays_and_keeps_what_it_played(tmp_path: Path) -> None:
    scenario = build({"workload": {"rate_hz": 200}}, "here")
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "log") as publisher:
        publisher.ready(PATIENCE_S)
        assert publisher.socket_path.is_socket()
        publisher.play([])
        assert publisher.started == {}
        publisher.play(["fanout"])
        assert set(publisher.started) == {"fanout"}
        played = publisher.finish(tmp_path / "ticks.parquet")
        assert played >= 0
        assert (tmp_path / "ticks.parquet").exists()


@pytest.mark.slow
def test_a_publisher_pauses_and_goes_on(tmp_path: Path) -> None:
    scenario = build({"workload": {"rate_hz": 200}}, "here")
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "log", 1.0) as publisher:
        publisher.ready(PATIENCE_S)
        assert publisher.greeting.keys() == {"ready", "scheduling"}
        publisher.play(["fanout"])
        started = publisher.started["fanout"]
        publisher.pause()
        assert publisher.started["fanout"] == started
        publisher.resume()
        assert publisher.started["fanout"] > started
        publisher.finish(tmp_path / "ticks.parquet")
