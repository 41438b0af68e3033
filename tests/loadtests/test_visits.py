"""Visitors: each connects at its time, closes at its time, and has a row; workers share them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from rtbench.loadtests.visits import Visits
from rtbench.messages.load import ChurnSettings
from rtbench.records.tables import read_table
from rtbench.scenario.visits import visits

Make = Callable[..., Any]
SECOND = 10**9
START_NS = 50 * SECOND
SETTINGS = ChurnSettings(rate_hz=4.0, stay_s=2.0, window_s=5.0, lead_s=1.0, patience_s=0.5, seed=9, first=100)


@pytest.fixture
def churn(bench: Make, target: Any) -> Callable[..., tuple[Any, Visits]]:
    """`churn(worker=…)`: a bench and its visitors, planned for a window that starts at START_NS."""

    def make(**changes: Any) -> tuple[Any, Visits]:
        here = bench()
        here.load.transport, here.load.target = "sse", target
        found = Visits(here.load, structs.replace(SETTINGS, **changes))
        found.begin(START_NS)
        return here, found

    return make


def plan() -> Any:
    return visits(SETTINGS.seed, SETTINGS.rate_hz, SETTINGS.stay_s, SETTINGS.window_s, SETTINGS.lead_s)


def test_each_visit_begins_and_ends_at_its_time(churn: Callable[..., tuple[Any, Visits]], wire: Any) -> None:
    here, found = churn()
    assert [due_ns - START_NS for due_ns, _, _ in here.reactor.timers] == [one.arrives_ns for one in plan()]
    here.turn()
    links = here.reactor.links
    assert [link.subscriber.index for link in links] == [100 + one.number for one in plan()]
    assert [due_ns - START_NS for due_ns, _, _ in here.reactor.timers] == [one.leaves_ns for one in plan()]
    here.reactor.read(links[0], wire.sse_head)
    links[1].over("reset")  # by the server, before the visitor left
    here.turn()
    outcomes = [link.outcome for link in links]
    assert outcomes == ["closed by the subscriber", "reset", *["closed by the subscriber"] * (len(links) - 2)]
    assert len(links) == len(plan())  # a visit is one connection
    table = found.table()
    assert table["subscriber"] == [100 + one.number for one in plan()]
    assert table["planned_ns"] == [START_NS + one.arrives_ns for one in plan()]
    assert table["leaves_ns"] == [START_NS + one.leaves_ns for one in plan()]
    assert table["had_until_ns"] == [link.closed_ns - SECOND // 2 for link in links]


def test_load_processes_share_the_visits(churn: Callable[..., tuple[Any, Visits]]) -> None:
    shares = []
    for worker in range(3):
        here, _ = churn(worker=worker, workers=3)
        here.turn()
        shares.append([link.subscriber.index for link in here.reactor.links])
    assert sorted(itertools.chain(*shares)) == [100 + one.number for one in plan()]
    assert all(abs(len(share) - len(plan()) / 3) < 1 for share in shares)


def test_a_visitor_that_is_there_at_the_end_has_had_all_of_the_window(churn: Callable[..., tuple[Any, Visits]]) -> None:
    here, found = churn()
    here.turn()
    before_ns = time.monotonic_ns()
    assert min(found.table()["had_until_ns"]) >= before_ns - SECOND // 2


def test_what_the_load_was_too_late_to_read_is_not_the_servers_loss(churn: Callable[..., tuple[Any, Visits]]) -> None:
    """Its patience begins after the longest time that this process stood still during the visit."""
    here, found = churn()
    here.turn()
    here.turn()
    first, second = here.reactor.links[:2]
    for link, started_s, closed_s in ((first, 60, 70), (second, 71, 80)):
        link.started_ns, link.closed_ns = started_s * SECOND, closed_s * SECOND
    late = {59: 5, 61: 1, 66: 3, 69: 2, 75: 0}
    found.probes = [(at * SECOND, for_s * SECOND) for at, for_s in late.items()]
    assert found.table()["had_until_ns"][:2] == [(70 - 3) * SECOND - SECOND // 2, 80 * SECOND - SECOND // 2]


def test_what_visitors_had_is_in_a_table_of_its_own(
    churn: Callable[..., tuple[Any, Visits]], wire: Any, tmp_path: Path
) -> None:
    here, found = churn()
    staying = here.link("sse")
    here.turn()
    for seq, link in enumerate((staying, here.reactor.links[1]), 1):
        here.reactor.read(link, wire.sse_head + wire.sse(seq, b"x"))
    here.load.recorder.decode()
    here.load.recorder.write(tmp_path, "", False, found)
    rows = {kind: read_table(tmp_path / f"{kind}.parquet", kind) for kind in ("deliveries", "visit_deliveries")}
    assert rows["deliveries"]["subscriber"].tolist() == [0]
    assert rows["visit_deliveries"]["subscriber"].tolist() == [100]
    assert read_table(tmp_path / "connections.parquet", "connections")["subscriber"].size == 1 + len(plan())
    assert read_table(tmp_path / "visits.parquet", "visits")["subscriber"].size == len(plan())
