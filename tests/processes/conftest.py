"""Servers of subjects, started and surely stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.processes.starting import server_of
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """`start(subject, **where)`: its server, which is stopped after the test."""
    running: list[Any] = []

    def begin(subject: Subject, scenario: Scenario | None = None, **where: Any) -> Any:
        log = tmp_path / "server.log"
        feed = tmp_path / "feed.sock"
        running.append(server_of(subject, scenario or Scenario(), feed, tmp_path, (), log, **where))
        return running[-1]

    yield begin
    for one in running:
        one.stop()
