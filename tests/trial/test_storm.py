"""Storms in whole trials: connections are cut, their subscribers come back, and the audit covers the gap."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUICK = {"eventsource_s": 0.2, "backoff_s": 0.2, "backoff_most_s": 0.4}
SUBSCRIBERS, CUT = 5, 3
PATIENCE_S = 60
Measure = Callable[..., Any]


def all_back(whole: Any) -> None:
    """For `look`: the trial does not end before all are subscribed again, and a second more for what is replayed."""
    if whole.stages[-1] == "waiting for what is late":
        group = whole.group
        group.wait(lambda: group.subscribed >= SUBSCRIBERS, PATIENCE_S, "that everyone is subscribed again")
        group.until(time.monotonic_ns() + 10**9)


def stormed(measure: Measure, subject: str, **changes: Any) -> Any:
    """0.3 s into its window, three of the five subscribers are cut."""
    settings = {"window_s": 1.0, "grace_s": 0.5, "reconnect": QUICK, "storm": {"at_s": 0.3, "cut": CUT / SUBSCRIBERS}}
    return measure(subject, look=all_back, **{**settings, **changes})


def cut_subscribers(whole: Any) -> list[int]:
    table = whole.table("connections")
    return sorted(table["subscriber"][table["outcome"] == "cut"].tolist())


@pytest.mark.parametrize(
    ("subject", "workers"), [("sse-aiohttp", 2), ("websocket-websockets", 1), ("short-poll-aiohttp", 1)]
)
def test_the_cut_is_exact_and_nothing_is_missed(subject: str, workers: int, measure: Measure) -> None:
    whole = stormed(measure, subject, workers=workers)
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    (event,) = manifest["events"]
    assert (event["do"], event["what"], event["planned_s"], event["count"]) == ("cut", "connections", 0.3, CUT)
    assert event["began_ns"] >= whole.window[0] + 0.3e9
    assert cut_subscribers(whole) == [1, 3, 4]
    expected = len(whole.due_inside()) * SUBSCRIBERS
    counts = manifest["counts"]
    kinds = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted", "connections_failed")
    assert [counts[kind] for kind in kinds] == [expected, expected, 0, 0, 0, 0, 0]
    table = whole.table("connections")
    first = (table["outcome"] == "cut") & (table["connection"] == 0)
    again = table["started_ns"] >= table["closed_ns"][first].min()
    assert sorted(table["subscriber"][again].tolist()) == [1, 3, 4]
    assert (table["started_ns"][again] >= table["planned_ns"][again]).all()
    closed = {int(who): int(ns) for who, ns in zip(table["subscriber"][first], table["closed_ns"][first], strict=True)}
    waits = [
        planned - closed[who]
        for who, planned in zip(table["subscriber"][again].tolist(), table["planned_ns"][again].tolist(), strict=True)
    ]
    if subject == "sse-aiohttp":
        assert waits == [200_000_000] * 3  # all at one moment
    else:
        assert all(0 <= wait < 200_000_000 for wait in waits)
        assert len(set(waits)) == 3
    received = table["tcp_received_bytes"][first]
    assert (received > 0).all()  # read before the reset, which clears them
    assert whole.alive == []


def test_a_server_that_forgets_to_replay_is_seen(measure: Measure) -> None:
    whole = stormed(measure, "sse-faulty", subjects=["sse-faulty"], faults={"inject": [{"do": "forget"}]})
    counts = whole.manifest["counts"]
    assert counts["lost"] > 0
    assert counts["delivered"] + counts["lost"] == counts["expected"]
    assert {who for who, _ in whole.manifest["audit"]["lost"]} == {1, 3, 4}
