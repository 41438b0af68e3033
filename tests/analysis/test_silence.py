"""The report's table of idle connections: what was observed, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.report.silence import HEADINGS, table

FOUND: dict[str, Any] = {
    "minutes": 1.25, "heartbeat_s": 3600.0, "heartbeats": 0, "connections": 20, "cut": 20,
    "cut_after_s": [50.0, 50.1, 50.2], "outcomes": {"closed without an end": 20}, "server_connections": 20,
    "server_left": 20, "server_left_after_s": [50.4, 50.6, 52.0], "server_half_closed": 0,
}  # fmt: skip
KEPT = {"heartbeat_s": 15.0, "cut": 0, "cut_after_s": [], "outcomes": {}, "server_left": 0, "server_left_after_s": []}


def evidence(silence: dict[str, Any], minutes: float = 1.25, **manifest: Any) -> Evidence:
    trial = SimpleNamespace(item="sse-aiohttp+haproxy", manifest={"silence": silence, **manifest})
    campaign = SimpleNamespace(document={"scenario": {"idle": {"minutes": minutes}}})
    return cast(Evidence, SimpleNamespace(campaign=campaign, results=[SimpleNamespace(trial=trial)]))


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ["none", "20", "20", "50.1 s", "closed without an end", "closed 20 of 20 after 50.6 s (50.4 to 52)"]),
        (KEPT, ["every 15 s", "20", "none", "–", "open to the end", "holds all 20"]),
        (
            {"server_left": 0, "server_left_after_s": [], "outcomes": {"a": 5, "b": 15}},
            ["none", "20", "20", "50.1 s", "a (5), b (15)", "has not noticed: holds all 20"],
        ),
        (
            {**KEPT, "server_half_closed": 3},
            ["every 15 s", "20", "none", "–", "open to the end", "closed 0 of 20, 3 half closed"],
        ),
        ({**KEPT, "server_connections": 0}, ["every 15 s", "20", "none", "–", "open to the end", "–"]),
    ],
)
def test_a_row_says_what_was_seen(changes: dict[str, Any], cells: list[str]) -> None:
    assert table(evidence({**FOUND, **changes})) == [("sse-aiohttp+haproxy", cells)]
    assert len(cells) == len(HEADINGS)


def test_a_trial_that_failed_has_its_reason() -> None:
    ((_, cells),) = table(evidence({}, reasons=[{"message": "verification failed"}]))
    assert cells[4] == "verification failed" and len(cells) == len(HEADINGS)


def test_other_scenarios_have_no_table() -> None:
    assert table(evidence(FOUND, minutes=0)) == []
