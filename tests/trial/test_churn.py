"""Churn in whole trials: visitors come and go, their own spans are audited, and what a server keeps of them shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtbench.scenario.visits import visits

pytestmark = pytest.mark.slow

SUBSCRIBERS = 5
Measure = Callable[..., Any]


def churned(measure: Measure, subject: str, **changes: Any) -> Any:
    """Ten visitors a second for 2 s, half a second each, among five subscribers that stay.

    A message counts as lost at a visitor that waited `grace_s` for it: longer than a busy machine stands still.
    """
    settings = {"window_s": 2.0, "grace_s": 3.0, "warmup_s": 0.4, "churn": {"rate_hz": 10, "stay_s": 0.5}}
    return measure(subject, **{**settings, **changes})


def planned(whole: Any) -> Any:
    scenario = whole.spec.scenario
    churn = scenario.churn
    return visits(scenario.seed, churn.rate_hz, churn.stay_s, scenario.window_s, scenario.warmup_s / 2)


@pytest.mark.parametrize(("subject", "workers"), [("sse-aiohttp", 2), ("long-poll-aiohttp", 1)])
def test_all_visits_are_played_and_nothing_is_missed(subject: str, workers: int, measure: Measure) -> None:
    whole = churned(measure, subject, workers=workers)
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    table = whole.table("visits")
    order = np.argsort(table["subscriber"])
    plan = planned(whole)
    assert table["subscriber"][order].tolist() == [SUBSCRIBERS + one.number for one in plan]
    assert (table["planned_ns"][order] - whole.window[0]).tolist() == [one.arrives_ns for one in plan]
    assert (table["leaves_ns"][order] - whole.window[0]).tolist() == [one.leaves_ns for one in plan]
    connections = whole.table("connections")
    visiting = connections["subscriber"] >= SUBSCRIBERS
    assert sorted(connections["subscriber"][visiting].tolist()) == sorted(table["subscriber"].tolist())
    assert set(connections["outcome"][visiting]) <= {"closed by the subscriber", "open"}
    counts = manifest["counts"]
    expected = len(whole.due_inside()) * SUBSCRIBERS
    assert [counts[kind] for kind in ("expected", "delivered", "lost")] == [expected, expected, 0]
    assert counts["visits"] == sum(one.arrives_ns >= 0 for one in plan)
    assert counts["visits_delivered"] == counts["visits_expected"] > 0
    assert [counts[f"visits_{kind}"] for kind in ("lost", "duplicated", "reordered", "corrupted")] == [0, 0, 0, 0]
    assert counts["connections"] == SUBSCRIBERS + len(plan)
    assert set(whole.table("deliveries")["subscriber"].tolist()) == set(range(SUBSCRIBERS))
    assert whole.table("visit_deliveries")["subscriber"].min() >= SUBSCRIBERS
    assert whole.alive == []


def test_what_a_server_drops_and_what_it_keeps_is_seen(measure: Measure) -> None:
    """A server that keeps every connection, and drops each second message of visitors."""
    whole = churned(
        measure,
        "sse-faulty",
        subjects=["sse-faulty"],
        faults={"inject": [{"do": "keep"}, {"do": "drop", "every": 2, "subscribers": [*range(SUBSCRIBERS, 100)]}]},
    )
    counts = whole.manifest["counts"]
    assert counts["lost"] == 0
    assert counts["visits_lost"] > 0
    assert {seq % 2 for _, seq in whole.manifest["audit"]["visits_lost"]} == {0}
    server = whole.manifest["processes"]["server"]
    connections, (start, end) = whole.table("connections"), whole.window
    opened = int(((connections["response_ns"] >= start) & (connections["response_ns"] < end)).sum())
    there = [
        int(
            (
                (connections["started_ns"] < at) & ((connections["closed_ns"] < 0) | (connections["closed_ns"] >= at))
            ).sum()
        )
        for at in (start, end)
    ]
    gained = server["descriptors_at_end"] - server["descriptors_at_start"]
    # Each connection of the window has left a descriptor behind, beside its own while it is there.
    assert gained == pytest.approx(opened + there[1] - there[0], abs=4)
    assert opened > 8
