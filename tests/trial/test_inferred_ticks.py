"""What a server with a timetable of its own sent: ticks made of what arrived, and what stays unknown is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from rtbench.machine import clock
from rtbench.messages.load import Edge, LoadReport
from rtbench.records import tables
from rtbench.trial import _inferred_ticks
from rtbench.trial._inferred_ticks import UNKNOWN, UNKNOWN_SENT, infer_ticks
from rtbench.trial._run import Run

NOWHERE = "http://127.0.0.1:1"
REAL_AHEAD_NS = 1000
"""CLOCK_REALTIME less CLOCK_MONOTONIC in these tests."""


@pytest.fixture
def seen(gathering: Callable[..., Run]) -> Callable[..., Run]:
    """`seen(rows)`: a run whose deliveries are (subscriber, channel, seq, kernel_ns, app_ns, digest)."""

    def begin(rows: list[tuple[int, ...]], **changes: Any) -> Run:
        run = gathering(**changes)
        columns: dict[str, Any] = {name: np.zeros(len(rows), dtype=np.int64) for name in tables.TABLES["deliveries"]}
        for place, row in enumerate(rows):
            for name, value in zip(("subscriber", "channel", "seq", "kernel_ns", "app_ns", "digest"), row, strict=True):
                columns[name][place] = value
            columns["payload_bytes"][place] = 10 + row[2]
        tables.write_table(run.folder / "deliveries.parquet", "deliveries", columns)
        return run

    return begin


IDLE = Edge(read_ns=0, cpu_ns=0, run_delay_ns=0, decode_cpu_ns=0)


def reports(due: tuple[tuple[int, int, int], ...] = ()) -> list[LoadReport]:
    """What the load process reported: its clocks, and the due times that payloads gave."""
    pairs = ((0, 0), (50, 50 + REAL_AHEAD_NS), (90, 9000))
    return [
        LoadReport(
            pid=5, at_start=IDLE, at_end=IDLE, decode_cpu_ns=0, captured_bytes=0, clock_pairs=pairs, hub_lag=(),
            controls={}, faults=(), response_headers={}, due=due, failed={},
        )
    ]  # fmt: skip


def ticks(run: Run) -> list[tuple[int, ...]]:
    """(channel, seq, due, sent, bytes, digest) of every tick."""
    table = tables.read_table(run.folder / "ticks.parquet", "ticks")
    return list(zip(*(table[name].tolist() for name in tables.TABLES["ticks"]), strict=True))


def test_a_tick_without_a_due_time_has_the_time_of_its_first_arrival(seen: Callable[..., Run]) -> None:
    run = seen([(0, 0, 2, 220, 225, 7), (1, 0, 2, -1, 210, 7), (0, 0, 1, 100, 105, 8), (1, 0, 1, 90, 120, 8)])
    found = infer_ticks(run, reports(), NOWHERE)
    assert ticks(run) == [(0, 1, 90, 90, 11, 8), (0, 2, 210, 210, 12, 7)]
    assert found == ("unknown", UNKNOWN, [])


def test_due_times_out_of_payloads_are_put_on_the_monotonic_clock(seen: Callable[..., Run]) -> None:
    due = ((0, 1, 80 + REAL_AHEAD_NS), (0, 2, 180 + REAL_AHEAD_NS))
    run = seen([(0, 0, 1, 100, 105, 8), (0, 0, 2, 200, 205, 7)])
    found = infer_ticks(run, reports(due), NOWHERE)
    assert [row[2:4] for row in ticks(run)] == [(80, 80), (180, 180)]
    assert found[:2] == ("payload", UNKNOWN_SENT)


def test_one_message_without_a_due_time_leaves_latency_unknown(seen: Callable[..., Run]) -> None:
    run = seen([(0, 0, 1, 100, 105, 8), (0, 0, 2, 200, 205, 7)])
    found = infer_ticks(run, reports(((0, 1, 80 + REAL_AHEAD_NS),)), NOWHERE)
    assert [row[2] for row in ticks(run)] == [80, 200]
    assert found[:2] == ("unknown", UNKNOWN)


def test_messages_without_ids_are_matched_by_content_and_numbered_by_arrival(seen: Callable[..., Run]) -> None:
    run = seen(
        [
            (0, 0, -1, -1, 200, 55),
            (0, 0, -1, -1, 300, 44),
            (1, 0, -1, -1, 100, 44),  # first seen here
            (1, 0, -1, -1, 250, 55),
            (2, 1, -1, -1, 500, 44),  # another channel counts for itself
        ],
        subscribers=5,
    )
    found = infer_ticks(run, reports(), NOWHERE)
    table = tables.read_table(run.folder / "deliveries.parquet", "deliveries")
    assert table["seq"].tolist() == [2, 1, 1, 2, 1]
    assert [row[:3] for row in ticks(run)] == [(0, 1, 100), (0, 2, 200), (1, 1, 500)]
    (warning,) = found[2]
    assert (warning.kind, warning.metrics) == ("no ids", ["lost", "reordered"])


def test_nothing_came(seen: Callable[..., Run]) -> None:
    run = seen([])
    found = infer_ticks(run, reports(), NOWHERE)
    assert ticks(run) == []
    assert found[:2] == ("unknown", UNKNOWN)


# The server's plan


@pytest.fixture
def planning() -> Any:
    """`planning(answers)`: the URL of a server that answers a path with these bytes, 404 otherwise."""
    servers: list[HTTPServer] = []

    def begin(answers: dict[str, bytes]) -> str:
        class Plan(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        server = HTTPServer(("127.0.0.1", 0), Plan)
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_due_times_out_of_the_servers_plan(
    seen: Callable[..., Run], planning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the clocks as they are when the plan is asked for: a step since the trial moves no latency."""
    monkeypatch.setattr(clock, "offset_ns", lambda: REAL_AHEAD_NS + 500)
    plans = {
        f"/plan/fanout?channel={channel}": json.dumps({"ticks": [[1, due], [2, 99]]}).encode()
        for channel, due in ((0, 580 + REAL_AHEAD_NS), (1, 570 + REAL_AHEAD_NS))
    }
    plans["/plan/fanout"] = plans["/plan/fanout?channel=0"]
    run = seen([(0, 0, 1, 100, 105, 8), (1, 1, 1, 100, 105, 8)], workload={"channels": "unicast", "rate_hz": 5})
    found = infer_ticks(run, reports(), planning(plans))
    assert [row[:3] for row in ticks(run)] == [(0, 1, 80), (1, 1, 70)]
    assert found[:2] == ("plan", UNKNOWN_SENT)


@pytest.mark.parametrize("answer", [b"what?", b"[]", b"{}", b'{"ticks":[1]}', b'{"ticks":[["a","b"]]}', None])
def test_an_answer_that_is_not_a_plan(seen: Callable[..., Run], planning: Any, answer: bytes | None) -> None:
    run = seen([(0, 0, 1, 100, 105, 8)])
    found = infer_ticks(run, reports(), planning({} if answer is None else {"/plan/fanout": answer}))
    assert found[:2] == ("unknown", UNKNOWN)


@pytest.mark.parametrize(
    ("kind", "piece", "pause_s"),
    [
        ("text/event-stream", b"data: 1\n\n", 0.001),
        ("application/json", b" ", 0.001),
        ("application/json", b" " * 65536, 0),
    ],
)
def test_a_plan_without_end_is_not_a_plan(
    seen: Callable[..., Run], endless: Any, monkeypatch: pytest.MonkeyPatch, kind: str, piece: bytes, pause_s: float
) -> None:
    monkeypatch.setattr(_inferred_ticks, "_PATIENCE_S", 0.1)
    run = seen([(0, 0, 1, 100, 105, 8)])
    found = infer_ticks(run, reports(), endless(kind, piece, pause_s))
    assert found[:2] == ("unknown", UNKNOWN)


def test_all_plans_together_have_a_limit(
    seen: Callable[..., Run], planning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_inferred_ticks, "_PATIENCE_ALL_S", -1)
    run = seen([(0, 0, 1, 100, 105, 8)])
    plans = planning({"/plan/fanout": json.dumps({"ticks": [[1, 80 + REAL_AHEAD_NS]]}).encode()})
    assert infer_ticks(run, reports(), plans)[:2] == ("unknown", UNKNOWN)


def test_a_remote_subject_is_written_like_any_other(seen: Callable[..., Run], tmp_path: Path) -> None:
    run = seen([(0, 0, 1, 100, 105, 8)])
    spec = replace(run.spec, subject=replace(run.spec.subject, name="http://127.0.0.1:8000/sse/x?y=1"))
    assert spec.directory == "trials/007-http-127.0.0.1-8000-sse-x-y-1"
