"""A conversation's due times come from who said it; what never came back is lost to all."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtbench.records import tables
from rtbench.trial._run import Run
from rtbench.trial._uplink import settle

SECOND = 10**9
WINDOW = (100, 200)
CHAT: dict[str, Any] = {"stream": "chat", "chat": {"senders": 2, "rate_hz": 5.0}}


def write(folder: Path, sends: list[tuple[Any, ...]], ticks: list[tuple[Any, ...]]) -> None:
    for kind, rows in (("sends", sends), ("ticks", ticks)):
        names = list(tables.TABLES[kind])
        columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
        tables.write_table(folder / f"{kind}.parquet", kind, columns)


def send(subscriber: int, planned: int, text: bytes, started: int = 0, status: int = 202) -> tuple[int, ...]:
    return (subscriber, planned, started or planned, planned + 5, status, len(text), zlib.crc32(text))


def tick(seq: int, at: int, text: bytes) -> tuple[int, ...]:
    return (0, seq, at, at, len(text), zlib.crc32(text))


@pytest.fixture
def run(gathering: Callable[..., Run]) -> Run:
    return gathering("sse-aiohttp", **CHAT)


def test_a_message_is_due_when_planned_and_sent_when_numbered(run: Run) -> None:
    write(run.folder, [send(0, 110, b"a"), send(1, 120, b"bb")], [tick(1, 123, b"bb"), tick(2, 124, b"a")])
    counts, warnings = settle(run, WINDOW)
    table = tables.read_table(run.folder / "ticks.parquet", "ticks")
    assert table["due_ns"].tolist() == [120, 110]
    assert table["sent_ns"].tolist() == [123, 124]
    assert counts == {"sends": 2, "sends_unsaid": 0, "sends_lost": 0, "sends_refused": 0, "sends_unknown": 0}
    assert warnings == []


def test_a_message_that_never_came_back_is_lost_to_all(run: Run) -> None:
    write(
        run.folder,
        [
            send(0, 110, b"a"),
            send(1, 120, b"b", started=-1, status=0),
            send(1, 130, b"c", status=503),
            send(0, 250, b"d"),
        ],
        [tick(1, 111, b"a")],
    )
    counts, warnings = settle(run, WINDOW)
    table = tables.read_table(run.folder / "ticks.parquet", "ticks")
    assert table["due_ns"].tolist() == [110, 120, 130, 250]
    assert len(set(table["seq"].tolist())) == 4
    assert table["seq"].tolist()[1] > 10**6
    assert counts == {"sends": 3, "sends_unsaid": 1, "sends_lost": 2, "sends_refused": 1, "sends_unknown": 0}
    assert "2 messages never came back" in warnings[0].message


def test_a_tick_without_a_send_keeps_its_time_and_is_counted(run: Run) -> None:
    write(run.folder, [send(0, 110, b"a")], [tick(1, 111, b"a"), tick(2, 112, b"changed")])
    counts, warnings = settle(run, WINDOW)
    table = tables.read_table(run.folder / "ticks.parquet", "ticks")
    assert table["due_ns"].tolist() == [110, 112]
    assert counts["sends_unknown"] == 1
    assert "arrived without a planned send" in warnings[0].message


def test_equal_texts_are_matched_in_their_order(run: Run) -> None:
    uplinks = [send(0, 130, b"a"), send(1, 110, b"a")]
    write(run.folder, uplinks, [tick(1, 115, b"a"), tick(2, 135, b"a"), tick(3, 140, b"a")])
    counts, _warnings = settle(run, WINDOW)
    table = tables.read_table(run.folder / "ticks.parquet", "ticks")
    assert table["due_ns"].tolist() == [110, 130, 140]
    assert counts["sends_unknown"] == 1


def test_no_messages_were_sent(run: Run) -> None:
    write(run.folder, [], [])
    (run.folder / "sends.parquet").unlink()
    counts, _warnings = settle(run, WINDOW)
    assert counts["sends"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "subject",
    ["sse-aiohttp", "websocket-aiohttp", "websocket-websockets", "short-poll-aiohttp", "long-poll-aiohttp"],
)
def test_everyone_hears_everything_in_one_order(measure: Callable[..., Any], subject: str) -> None:
    whole = measure(subject, **CHAT, subscribers=6)
    sends, ticks, deliveries = (whole.table(kind) for kind in ("sends", "ticks", "deliveries"))
    counts = whole.manifest["counts"]
    assert set(sends["subscriber"].tolist()) == {2, 5}
    assert counts["sends"] == 6  # two senders, five a second, phases apart, for half a second
    assert (counts["sends_lost"], counts["sends_unknown"], counts["lost"]) == (0, 0, 0)
    assert counts["delivered"] == 6 * counts["sends"]
    assert set(ticks["due_ns"].tolist()) == set(sends["planned_ns"].tolist())
    heard = [deliveries["seq"][deliveries["subscriber"] == one].tolist() for one in range(6)]
    assert all(one == sorted(one) for one in heard)
    connections = whole.table("connections")
    apart = int(np.count_nonzero(connections["connection"] < 0))
    assert apart == (0 if subject.startswith("websocket") else 2)
    assert counts["connections"] == 6
