"""The network of a trial: what its router is asked, what is kept of its counters, and when it spoils the trial."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from rtbench.messages.load import Edge, LoadReport
from rtbench.messages.router import Counted, Link, Packets
from rtbench.records.manifest import Impairment
from rtbench.records.record import plain
from rtbench.scenario.networks import Conditions
from rtbench.scenario.tables import ValidityTable
from rtbench.trial import _impairment
from rtbench.trial._arrivals import Arrivals
from rtbench.trial._impairment import because, network_of, record
from rtbench.trial.validity import COST, EVERYTHING, LATENCY, SETUP, Inputs, check

SECOND = 10**9
NOTHING = Packets(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def way(**counters: int) -> Packets:
    values = dict.fromkeys(NOTHING.__struct_fields__, 0) | counters
    return Packets(**values)


def counted(down: Packets = NOTHING, up: Packets = NOTHING, late_p99_ns: int = 0) -> Counted:
    return Counted(down, up, 0, 5_000, late_p99_ns, 2 * late_p99_ns)


def test_the_router_gets_what_the_scenario_asks_for(
    gathering: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_impairment, "Network", lambda log, routing: routing)
    run = gathering(network={"delay_ms": 20, "jitter_ms": 0.5, "loss": 0.01, "rate_mbit": 8, "queue_ms": 30}, seed=9)
    routing: Any = network_of(run)
    link = Link(20_000_000, 500_000, 0.01, 8e6, 30_000_000)
    assert (routing.down, routing.up, routing.seed, routing.cores) == (link, link, 9, run.place.publisher)
    assert network_of(gathering(netns=True)) is None
    routing = network_of(gathering(network={"delay_ms": 20, "up_delay_ms": 4, "up_rate_mbit": 2}))
    assert (routing.down, routing.up) == (Link(20_000_000), Link(4_000_000, 0, 0.0, 2e6, 100_000_000))


def test_the_manifest_has_what_was_asked_and_what_was_counted_in_the_window() -> None:
    begin = counted(way(packets=10, bytes=100, forwarded=9, lost=1, refused=1), way(packets=5, forwarded=5))
    end = counted(
        way(packets=30, bytes=400, forwarded=26, lost=3, queue_full=1, refused=2, no_room=3, queued_max_ns=8),
        way(packets=25, forwarded=24, device=1),
        late_p99_ns=70,
    )
    found = plain(record(Conditions(20, 5, 0.1, 9, 50), [begin, end]))
    assert found == {
        "delay_ms": 20, "jitter_ms": 5, "loss": 0.1, "rate_mbit": 9, "queue_ms": 50,
        "down": {"packets": 20, "bytes": 300, "forwarded": 17, "lost": 2, "queue_full": 1, "own_drops": 4,
                 "queued_max_ns": 8},
        "up": {"packets": 20, "bytes": 0, "forwarded": 19, "lost": 0, "queue_full": 0, "own_drops": 1,
               "queued_max_ns": 0},
        "late_p50_ns": 5_000, "late_p99_ns": 70, "late_max_ns": 140,
    }  # fmt: skip


def test_the_manifest_names_the_direction_to_the_server_where_it_differs() -> None:
    found = plain(record(Conditions(20, up=Conditions(5, 1, 0.1, 9, 50)), [counted(), counted()]))
    assert {name: value for name, value in found.items() if name.startswith("up_")} == {
        "up_delay_ms": 5, "up_jitter_ms": 1, "up_loss": 0.1, "up_rate_mbit": 9, "up_queue_ms": 50,
    }  # fmt: skip


def test_without_a_router_or_a_window_there_is_no_record() -> None:
    assert record(None, []) == record(Conditions(), [counted()]) == Impairment()


def test_a_trial_whose_subscribers_do_not_connect_says_what_the_network_did() -> None:
    def with_(*ways: Packets) -> Any:
        return SimpleNamespace(router=SimpleNamespace(count=lambda: counted(*ways)))

    assert because(None) == because(SimpleNamespace(router=None)) == ""  # type: ignore[arg-type]
    assert because(with_(NOTHING, way(packets=2_000, lost=1_990))) == (
        "; of 2,000 packets the network lost 1,990 and its queue dropped 0"
    )
    assert because(with_()) == "; no packet reached the network"


# When it spoils the trial

IDLE = Edge(read_ns=0, cpu_ns=0, run_delay_ns=0, decode_cpu_ns=0)
EMPTY = np.empty(0, dtype=np.int64)
DUE = np.arange(10, dtype=np.int64) * SECOND // 10


def judged(
    report_of: Callable[..., LoadReport],
    end: Counted,
    router: dict[str, Any] | None = None,
    waited_ns: int = 0,
    **network: int,
) -> list[tuple[str, str, list[str]]]:
    """The reasons against a trial with this router, whose load process waited for its core."""
    evidence = Inputs(
        window=(0, SECOND),
        load=[report_of(at_end=structs.replace(IDLE, run_delay_ns=waited_ns), clock_pairs=((0, 0),))],
        processes={"server": {}, "load": {"cores": [1]}, "machine": {}, "router": {"cores": [1], **(router or {})}},
        network=network,
        cores=2,
        ticks={"due_ns": DUE, "sent_ns": DUE},
        deliveries={"kernel_ns": EMPTY, "app_ns": EMPTY},
        limits=ValidityTable(),
        arrivals=Arrivals(EMPTY, EMPTY, EMPTY, EMPTY),
        impairment=record(Conditions(20), [counted(), end]),
    )
    return [(one.kind, one.message, one.metrics) for one in check(evidence)]


def test_a_router_within_its_limits_is_no_reason(report_of: Callable[..., LoadReport]) -> None:
    end = counted(way(packets=9, lost=3, queue_full=2, other=5), late_p99_ns=1_000_000)
    assert judged(report_of, end, {"run_delay_ns_at_start": 0, "run_delay_ns_at_end": 20_000_000}) == []


def test_a_late_router_spoils_times(report_of: Callable[..., LoadReport]) -> None:
    assert judged(report_of, counted(late_p99_ns=1_500_000)) == [
        (
            "router late",
            "the router passed packets on up to 1.5 ms late at p99, the limit is 1 ms",
            LATENCY + SETUP,
        )
    ]


def test_a_router_without_its_core_spoils_times(report_of: Callable[..., LoadReport]) -> None:
    assert judged(report_of, counted(), {"run_delay_ns_at_start": 0, "run_delay_ns_at_end": 30_000_000}) == [
        (
            "router kept from its core",
            "the router waited for its core 3.0% of the window, the limit is 2.0%",
            LATENCY + SETUP,
        )
    ]


@pytest.mark.parametrize("cause", ["no_room", "refused", "device"])
def test_packets_that_were_dropped_unasked_spoil_everything(report_of: Callable[..., LoadReport], cause: str) -> None:
    assert judged(report_of, counted(up=way(packets=9, **{cause: 2}))) == [
        ("router overrun", "the router dropped 2 packets that it was not asked to drop", EVERYTHING)
    ]


def test_what_is_sent_again_through_a_router_is_no_reason(report_of: Callable[..., LoadReport]) -> None:
    sent_again = {"retransmits_at_start": 0, "retransmits_at_end": 9, "segments_at_start": 0, "segments_at_end": 99}
    assert judged(report_of, counted(), **sent_again) == []


def test_the_routers_turns_on_the_loads_core_are_not_interference(report_of: Callable[..., LoadReport]) -> None:
    turns = {"cpu_ns_at_start": 0, "cpu_ns_at_end": 50_000_000}
    assert judged(report_of, counted(), turns, waited_ns=60_000_000) == []
    ((kind, _, metrics),) = judged(report_of, counted(), turns, waited_ns=80_000_000)
    assert kind == "load generator kept from its core"
    assert set(COST) <= set(metrics)
