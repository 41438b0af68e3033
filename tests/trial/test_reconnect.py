"""Coming back in whole trials: the server is killed under its subscribers, or tells them that the stream is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtbench.subjects.registry import find

pytestmark = pytest.mark.slow

QUICK = {"eventsource_s": 0.3, "backoff_s": 0.2, "backoff_most_s": 0.4}
RESUMING = ["sse-aiohttp", "websocket-websockets", "short-poll-aiohttp", "long-poll-aiohttp", "tcp-floor"]
"""One of each transport: what is tried here is our clients'. tests/servers/test_restart.py tries every server."""
SUBSCRIBERS = 5


SHARED = {"tls": True, "http2": {"streams_per_connection": 2}}


@pytest.mark.parametrize(("subject", "way"), [*((name, {}) for name in RESUMING), ("sse-hypercorn", SHARED)])
def test_everyone_comes_back_and_nothing_is_lost(
    subject: str, way: dict[str, Any], measure: Callable[..., Any], everyone_back: Callable[..., None]
) -> None:
    if find(subject).missing()[0]:
        pytest.skip("hypercorn is missing: make setup")
    whole = measure(
        subject,
        **way,
        look=everyone_back,
        window_s=1.5,
        grace_s=1,
        reconnect=QUICK,
        faults={"kill": [{"what": "server", "at_s": 0.3, "for_s": 0.2}]},
    )
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    inside = whole.due_inside()
    assert len(inside) == 75
    counts = manifest["counts"]
    exact = {name: counts[name] for name in ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")}
    assert exact == {
        "expected": 75 * SUBSCRIBERS, "delivered": 75 * SUBSCRIBERS,
        "lost": 0, "duplicated": 0, "reordered": 0, "corrupted": 0,
    }  # fmt: skip
    (event,) = manifest["events"]
    connections = whole.table("connections")
    again = connections["started_ns"] > event["began_ns"]
    assert set(connections["subscriber"][again].tolist()) == set(range(SUBSCRIBERS))
    live = [row for row, outcome in enumerate(connections["outcome"]) if outcome == "open"]
    assert sorted(connections["subscriber"][live].tolist()) == list(range(SUBSCRIBERS))
    assert connections["started_ns"][live].min() > event["began_ns"]
    assert whole.alive == []


def test_event_sources_come_back_after_their_reconnection_time(
    measure: Callable[..., Any], everyone_back: Callable[..., None]
) -> None:
    whole = measure(
        "sse-aiohttp",
        look=everyone_back,
        window_s=1,
        grace_s=1,
        reconnect={"eventsource_s": 0.6},
        faults={"kill": [{"what": "server", "at_s": 0.2, "for_s": 0.1}]},
    )
    connections = whole.table("connections")
    for subscriber in range(SUBSCRIBERS):
        mine = connections["subscriber"] == subscriber
        closed, started = connections["closed_ns"][mine], connections["started_ns"][mine]
        assert len(started) >= 2  # more, where the server was not back by then
        assert (started[1:] - closed[:-1]).min() >= 0.6e9


@pytest.mark.parametrize(
    ("subject", "outcomes"),
    [
        ("sse-aiohttp", ["closed", "stopped (status 204)"]),
        ("websocket-aiohttp", ["ended"]),
        ("short-poll-aiohttp", ["ended"]),
        ("long-poll-aiohttp", ["ended"]),
    ],
)
def test_a_subscriber_does_not_return_after_the_end(
    subject: str, outcomes: list[str], measure: Callable[..., Any], tmp_path: Path
) -> None:
    """An EventSource asks once more and is stopped by 204 (WHATWG 9.2.3); the others were told at once."""
    path = tmp_path / "brief.jsonl"
    path.write_text("".join(json.dumps({"offset_ns": n * 20_000_000, "payload": f"m{n}"}) + "\n" for n in range(40)))
    whole = measure(subject, stream="replay", workload={"trace": str(path)}, window_s=1.2, grace_s=1, reconnect=QUICK)
    assert whole.manifest["status"] == "ok", whole.manifest["reasons"]
    assert whole.manifest["counts"]["lost"] == 0
    assert whole.manifest["counts"]["connections_failed"] == 0
    connections = whole.table("connections")
    for subscriber in range(SUBSCRIBERS):
        assert connections["outcome"][connections["subscriber"] == subscriber].tolist() == outcomes
    deliveries = whole.table("deliveries")
    for subscriber in range(SUBSCRIBERS):
        assert deliveries["seq"][deliveries["subscriber"] == subscriber].tolist() == list(range(1, 41))
