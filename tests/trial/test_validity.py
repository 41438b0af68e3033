"""The validity gate: on a limit is fine, over it is a reason: what, by how much, and which metrics it spoils."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from rtbench.analysis.metrics import catalogue
from rtbench.messages.load import Edge, LoadReport
from rtbench.records.reason import Reason
from rtbench.records.record import plain
from rtbench.scenario.tables import ValidityTable
from rtbench.trial._arrivals import Arrivals
from rtbench.trial.validity import (
    APP,
    COST,
    EVERYTHING,
    JOINS,
    KERNEL,
    LATENCY,
    POLLED,
    READ_BY_CAMPAIGN,
    READ_BY_LOAD,
    SETUP,
    Inputs,
    check,
    findings,
    status,
)

SECOND = 10**9
LIMITS = ValidityTable(
    client_cpu_share=0.75,
    run_delay_share=0.02,
    hub_lag_s=0.02,
    server_cpu_share=0.9,
    server_run_delay_share=0.02,
    steal_share=0.01,
    throttle_events=3,
    publisher_late_s=0.001,
    clock_step_s=0.001,
    stamped_share=0.5,
    listen_overflows=2,
    retransmit_share=0.001,
    buffer_overruns=4,
    edge_share=0.1,
    descriptors_share=0.95,
    ports_share=0.9,
)
DUE = np.arange(10, dtype=np.int64) * SECOND // 10


IDLE = Edge(read_ns=0, cpu_ns=5 * SECOND, run_delay_ns=7 * SECOND, decode_cpu_ns=0)
Pairs = tuple[tuple[int, int], ...]


def load(at_start: Edge = IDLE, at_end: Edge = IDLE, pairs: Pairs = ((0, 100), (SECOND, SECOND + 100))) -> LoadReport:
    """What a load process reports that had nothing to do."""
    return LoadReport(
        pid=5, at_start=at_start, at_end=at_end, decode_cpu_ns=0, captured_bytes=0, clock_pairs=pairs, hub_lag=(),
        controls={}, faults=(), response_headers={}, due=(), failed={},
    )  # fmt: skip


def edge(**changes: int) -> Edge:
    """An edge of the window, with these counters changed."""
    return replace(IDLE, **changes)


def ticks(late_ns: int = 0, due: Any = DUE) -> dict[str, Any]:
    return {"due_ns": due, "sent_ns": due + late_ns}


def arrived(kernel: Any = DUE, app: Any = DUE) -> dict[str, Any]:
    return {"deliveries": {"kernel_ns": np.asarray(kernel), "app_ns": np.asarray(app)}}


def read(process: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    """Ten messages a second, and counters that a process read so much after the edges of the window."""
    times = {"read_ns_at_start": start_ms * 10**6, "read_ns_at_end": SECOND + end_ms * 10**6}
    later = np.append(DUE, DUE + SECOND)
    return {"processes": {"server": {}, "load": {}, "machine": {}, process: times}, **arrived(later + 1, later + 2)}


def gained(process: str, counter: str, amount: int, **more: Any) -> dict[str, Any]:
    """The manifest's processes, a counter of one of which gained so much in the window."""
    found: dict[str, dict[str, Any]] = {"server": {"cores": [0]}, "load": {}, "machine": {}}
    found[process] |= {f"{counter}_at_start": 7 * SECOND, f"{counter}_at_end": 7 * SECOND + amount, **more}
    return {"processes": found}


def of_load(**values: Any) -> dict[str, Any]:
    """The manifest's processes, with these values of the load's."""
    return {"processes": {"server": {}, "load": values, "machine": {}}}


def counted(suffixes: tuple[str, str] = ("at_start", "at_end"), **amounts: int) -> dict[str, Any]:
    """The network's counters, each of which gained so much between two moments."""
    begin, end = suffixes
    table = {f"{name}_{begin}": 100 for name in amounts} | {f"{name}_{end}": 100 + n for name, n in amounts.items()}
    return {"network": table}


NONE = Arrivals(*[np.empty(0, dtype=np.int64)] * 4)
"""Arrivals of a server whose due times nobody knows: a limit then spoils all that it could."""

GOOD = Inputs(
    window=(0, SECOND),
    load=[load()],
    processes={"server": {}, "load": {}, "machine": {}},
    network={},
    cores=2,
    ticks=ticks(),
    **arrived(),
    limits=LIMITS,
    arrivals=NONE,
)
WHOLE = ("begin", "end")


def judge(**changes: Any) -> list[Reason]:
    return check(dataclasses.replace(GOOD, **changes))


def test_nothing_crossed_gives_nothing() -> None:
    assert judge() == []


def test_a_reason_is_a_value_with_a_kind_a_message_and_a_remedy() -> None:
    assert plain(Reason("late", "it was late", "be early", ["*"])) == {
        "kind": "late",
        "message": "it was late",
        "remedy": "be early",
        "metrics": ["*"],
    }


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, list[str]]] = [
    (
        "load generator near its limit",
        {"load": [load(at_end=edge(cpu_ns=5 * SECOND + 750_000_000))]},
        {"load": [load(), load(at_end=edge(cpu_ns=5 * SECOND + 800_000_000))]},
        "the load process used 80% of its core, the limit is 75%",
        LATENCY + COST,
    ),
    (
        "load generator kept from its core",
        {"load": [load(at_end=edge(run_delay_ns=7 * SECOND + 20_000_000))]},
        {"load": [load(), load(at_end=edge(run_delay_ns=7 * SECOND + 25_000_000))]},
        "the load process waited for its core 2.5% of the window, the limit is 2.0%",
        APP + COST,
    ),
    (
        "load generator late",
        of_load(hub_lag_p99_ns=20_000_000),
        of_load(hub_lag_p99_ns=20_500_000),
        "the load process's 10 ms timers were late by 20.5 ms at p99, the limit is 20 ms",
        APP + JOINS,
    ),
    (
        "server kept from its core",
        gained("server", "run_delay_ns", 20_000_000),
        gained("server", "run_delay_ns", 31_000_000),
        "the server waited for its core 3.1% of the window, the limit is 2.0%",
        LATENCY + COST,
    ),
    (
        "machine stolen from",
        gained("machine", "steal_ns", 20_000_000),
        gained("machine", "steal_ns", 40_000_000),
        "the host took 2.0% of this machine's time, the limit is 1.0%",
        LATENCY + COST,
    ),
    (
        "cores throttled",
        gained("machine", "throttles", 3),
        gained("machine", "throttles", 4),
        "the cores were throttled 4 times in the window, the limit is 3",
        LATENCY + COST,
    ),
    (
        "publisher late",
        {"ticks": ticks(1_000_000)},
        {"ticks": ticks(1_500_000)},
        "the publisher sent 10 of 10 messages more than 1 ms late, up to 1.50 ms, which moves what it spoils by more "
        "than 10%",
        LATENCY,
    ),
    (
        "clock stepped",
        {"load": [load(pairs=((0, 0), (SECOND, SECOND + 1_000_000)))]},
        {"load": [load(), load(pairs=((0, 0), (SECOND, SECOND), (2 * SECOND, 2 * SECOND - 3_000_000)))]},
        "CLOCK_REALTIME moved by 3.00 ms against CLOCK_MONOTONIC, the limit is 1 ms",
        KERNEL,
    ),
    (
        "kernel stamps shared",
        arrived([-1, 5, -1, 7], DUE[:4]),
        arrived([-1, 5, -1, -1], DUE[:4]),
        "only 25% of the messages have a kernel stamp of their own, the limit is 50%",
        KERNEL,
    ),
    (
        "listen queue overflowed",
        counted(WHOLE, listen_overflows=2, listen_drops=2),
        counted(WHOLE, listen_overflows=2, listen_drops=3),
        "3 connection attempts found the listen queue full (ListenOverflows, ListenDrops), the limit is 2",
        SETUP,
    ),
    (
        "segments sent again",
        counted(retransmits=5, segments=5000),
        counted(retransmits=6, segments=5000),
        "6 TCP segments (0.12%) were sent again in the window, the limit is 0.10%",
        [*LATENCY, "wire_*"],
    ),
    (
        "receive buffers overrun",
        counted(buffer_overruns=4),
        counted(buffer_overruns=5),
        "receive buffers were full 5 times in the window, the limit is 4",
        LATENCY,
    ),
    (
        "counters read late",
        read("machine", 0, 100),
        read("machine", 0, 101),
        "the campaign's process read its counters up to 101.0 ms after the window's edges: they count 12 messages, the "
        "window 10 (20.0% apart, the limit is 10.0%)",
        READ_BY_CAMPAIGN,
    ),
    (
        "counters read late",
        read("load", 50, 0),
        read("load", 150, 0),
        "a load process read its counters up to 150.0 ms after the window's edges: they count 8 messages, the window "
        "10 (20.0% apart, the limit is 10.0%)",
        READ_BY_LOAD,
    ),
    (
        "few file descriptors left",
        of_load(descriptors_share=0.95),
        of_load(descriptors_share=0.97),
        "97% of the load process's file descriptors were in use, the limit is 95%",
        SETUP,
    ),
    (
        "few local ports left",
        of_load(ports_share=0.9),
        of_load(ports_share=0.93),
        "93% of the load process's local ports were in use, the limit is 90%",
        SETUP,
    ),
]


@pytest.mark.parametrize(("kind", "at", "over", "message", "metrics"), CASES, ids=[case[0] for case in CASES])
def test_on_the_limit_is_fine_and_over_it_is_a_reason(
    kind: str, at: dict[str, Any], over: dict[str, Any], message: str, metrics: list[str]
) -> None:
    assert judge(**at) == []
    (found,) = judge(**over)
    assert (found.kind, found.message, found.metrics) == (kind, message, metrics)
    assert found.remedy


def test_every_process_over_its_limit_is_named() -> None:
    busy = load(at_end=edge(cpu_ns=6 * SECOND))
    assert [found.kind for found in judge(load=[busy, busy])] == ["load generator near its limit"] * 2


def test_all_limits_at_once_in_the_order_of_the_checks() -> None:
    machine = {"steal_ns_at_start": 0, "steal_ns_at_end": SECOND, "throttles_at_start": 0, "throttles_at_end": 9}
    late = {"read_ns_at_start": SECOND, "read_ns_at_end": 2 * SECOND}
    network = counted(retransmits=9, segments=9, buffer_overruns=9)["network"]
    found = judge(
        load=[load(at_end=edge(cpu_ns=6 * SECOND, run_delay_ns=8 * SECOND), pairs=((0, 0), (1, SECOND)))],
        processes={
            "server": {"run_delay_ns_at_start": 0, "run_delay_ns_at_end": SECOND},
            "load": {"hub_lag_p99_ns": SECOND, "descriptors_share": 1.0, "ports_share": 1.0, **late},
            "machine": {**machine, **late},
        },
        network=network | counted(WHOLE, listen_overflows=9)["network"],
        ticks=ticks(SECOND),
        **arrived([-1], [5]),
    )
    assert [one.kind for one in found] == [case[0] for case in CASES]


# A subject at its limit


@pytest.mark.parametrize(
    ("cores", "used", "words"),
    [
        ([0], 0.95, "the server used 95% of its core: it was at its limit, and its latency is that of a queue"),
        ([0, 1], 1.9, "the server used 95% of its 2 cores: it was at its limit, and its latency is that of a queue"),
        ([], 0.95, "the server used 95% of its core"),
    ],
)
def test_a_saturated_server_is_a_finding_and_no_reason(cores: list[int], used: float, words: str) -> None:
    evidence = dataclasses.replace(GOOD, **gained("server", "cpu_ns", int(used * SECOND), cores=cores))
    (found,) = findings(evidence)
    assert found.kind == "server saturated"
    assert found.message.startswith(words)
    assert found.metrics == []  # nothing is spoilt: this is what it does
    assert check(evidence) == []


def test_a_server_on_the_limit_is_not_a_finding() -> None:
    assert findings(dataclasses.replace(GOOD, **gained("server", "cpu_ns", 900_000_000))) == []
    assert findings(GOOD) == []


# What cannot be had


def test_a_source_that_the_kernel_lacks_is_not_a_reason() -> None:
    assert judge(load=[load(edge(run_delay_ns=-1), edge(run_delay_ns=-1))]) == []
    unknown = {"run_delay_ns_at_start": -1, "run_delay_ns_at_end": 9 * SECOND}
    assert judge(processes={"server": unknown, "load": {}, "machine": {}}) == []
    assert judge(**of_load(hub_lag_p99_ns=-1, descriptors_share=-1.0, ports_share=-1.0)) == []


def test_a_counter_that_began_again_gained_nothing() -> None:
    """A server that was restarted has another one's run delay."""
    assert judge(**gained("server", "run_delay_ns", -SECOND)) == []
    assert judge(network={"retransmits_at_start": 50, "retransmits_at_end": 3}) == []


def test_segments_sent_again_while_none_is_counted_are_all_of_them() -> None:
    (found,) = judge(**counted(retransmits=2))
    assert found.message.startswith("2 TCP segments (200.00%) were sent again")


def test_what_overflowed_outside_the_window_counts_for_the_set_up_alone() -> None:
    network = {"listen_overflows_begin": 1, "listen_overflows_at_start": 9, "listen_overflows_at_end": 9}
    assert [one.kind for one in judge(network=network | {"listen_overflows_end": 9})] == ["listen queue overflowed"]
    assert judge(network={"retransmits_begin": 0, "retransmits_at_start": 9, "retransmits_at_end": 9}) == []


@pytest.mark.parametrize(
    "due", [np.empty(0, dtype=np.int64), np.array([-1, SECOND])], ids=["no ticks", "before and at the end"]
)
def test_no_message_in_the_window_spoils_everything(due: Any) -> None:
    (found,) = judge(ticks=ticks(SECOND, due))
    assert (found.kind, found.metrics) == ("no messages", EVERYTHING)


def test_lateness_outside_the_window_does_not_count() -> None:
    due = np.append(DUE, [SECOND, 2 * SECOND])
    late = np.where(due >= SECOND, SECOND, 0)
    assert judge(ticks={"due_ns": due, "sent_ns": due + late}) == []


def test_one_reading_of_the_clocks_cannot_show_a_step() -> None:
    assert judge(load=[load(pairs=((0, 100),))]) == []


def test_no_deliveries_have_no_share_of_stamps() -> None:
    assert judge(**arrived([], [])) == []


def test_bytes_and_counts_are_spoilt_by_nothing_but_an_empty_window() -> None:
    spoilt = [pattern for patterns in (APP, LATENCY, KERNEL, COST, SETUP) for pattern in patterns]
    for name in (
        "tcp_down_bytes_per_message",
        "payload_bytes_per_message",
        "expected",
        "delivered",
        "lost",
        "corrupted",
    ):
        assert not any(fnmatch(name, pattern) for pattern in spoilt)


@pytest.mark.parametrize(
    "pattern", sorted({*APP, *POLLED, *LATENCY, *KERNEL, *COST, *SETUP, *EVERYTHING, *READ_BY_CAMPAIGN, *READ_BY_LOAD})
)
def test_every_pattern_spoils_metrics_that_there_are(pattern: str) -> None:
    assert any(fnmatch(metric.name, pattern) for metric in catalogue())


def test_the_threads_of_a_server_may_wait_for_each_other() -> None:
    """It waited for others no longer than they ran on its core (Go's runtime hands the core from thread to thread)."""
    tables = gained("server", "run_delay_ns", 90_000_000)["processes"]
    tables["server"] |= {"cpu_ns_at_start": 0, "cpu_ns_at_end": 600_000_000}
    tables["server"] |= {"cores_running_ns_at_start": SECOND, "cores_running_ns_at_end": SECOND + 615_000_000}
    assert judge(processes=tables) == []
    tables["server"]["cores_running_ns_at_end"] += 20_000_000
    (found,) = judge(processes=tables)
    assert found.message == "the server waited for its core 3.5% of the window, the limit is 2.0%"
    kept = {"kept_ns_at_start": 5, "kept_ns_at_end": 5 + 1_000_000}
    # What PSI counts leaves out the turns of its own threads.
    assert judge(processes=tables | {"server": tables["server"] | kept}) == []
    idle = kept | {"kept_ns_at_end": 30_000_005, "cores_running_ns_at_end": SECOND + 610_000_000}
    assert judge(processes=tables | {"server": tables["server"] | idle}) == []  # and no more than others ran there
    long = kept | {"kept_ns_at_end": 95_000_005, "cores_running_ns_at_end": SECOND + 900_000_000}
    (found,) = judge(processes=tables | {"server": tables["server"] | long})
    assert found.message.startswith("the server waited for its core 9.0% of the window")  # as long as its threads did
    (found,) = judge(processes=tables | {"server": tables["server"] | kept | {"kept_ns_at_end": 26_000_005}})
    assert found.message == "the server waited for its core 2.6% of the window, the limit is 2.0%"
    tables["server"]["cores_running_ns_at_start"] = tables["server"]["cores_running_ns_at_end"] = -1  # not counted
    (found,) = judge(processes=tables)
    assert found.message == "the server waited for its core 9.0% of the window, the limit is 2.0%"


def test_a_server_may_wait_for_its_own_proxy() -> None:
    """They share a core: as long as the proxy was on it, its server's waiting is no interference."""
    proxied = gained("server", "run_delay_ns", 70_000_000)["processes"] | {
        "proxy": {"cpu_ns_at_start": SECOND, "cpu_ns_at_end": SECOND + 50_000_000}
    }
    assert judge(processes=proxied) == []
    proxied["proxy"]["cpu_ns_at_end"] -= 10_000_000
    (found,) = judge(processes=proxied)
    assert found.message == (
        "the server waited for its core 3.0% of the window, its proxy's turns not counted, the limit is 2.0%"
    )


# What a disturbance could have moved

FIFTY = np.arange(50, dtype=np.int64) * SECOND // 5
MS = 10**6


def pushes(late_ns: Any = 0, kernel_ms: float = 5, app_ms: float = 5.2, stamped: float = 1.0, **more: Any) -> Inputs:
    """Fifty broadcasts in ten seconds, each to a hundred: at the median so much later in the kernel and in the code."""
    each = np.broadcast_to(np.asarray(late_ns), FIFTY.size)
    due, late = np.repeat(FIFTY, 100), np.repeat(each, 100)
    spread = MS * kernel_ms * (np.tile(np.linspace(0.2, 1.8, 100), FIFTY.size) - 1)
    kernel = due + late + (MS * kernel_ms + spread).astype(np.int64)
    app = due + late + (MS * app_ms + spread).astype(np.int64)
    kernel = np.where(np.arange(due.size) < stamped * due.size, kernel, -1)
    return dataclasses.replace(
        GOOD,
        window=(0, 10 * SECOND),
        ticks={"due_ns": FIFTY, "sent_ns": FIFTY + each},
        arrivals=Arrivals(due, late, kernel, app),
        **more,
    )


def late(ms: float, count: int = 50) -> Any:
    """The first `count` of fifty messages were sent so late."""
    return np.where(np.arange(50) < count, int(ms * MS), 0)


def spoilt(found: list[Reason]) -> set[str]:
    patterns = [name for reason in found for name in reason.metrics]
    return {metric.name for metric in catalogue() if any(fnmatch(metric.name, pattern) for pattern in patterns)}


@pytest.mark.parametrize(("ms", "count"), [(1.74, 1), (2.4, 2)])
def test_a_late_message_or_two_spoil_the_maximum_and_not_the_median(ms: float, count: int) -> None:
    """What made 3 of 10 trials of an ordinary user invalid."""
    (found,) = check(pushes(late(ms, count)))
    assert spoilt([found]) >= {"latency_kernel_max_ns", "latency_app_max_ns", "due_to_sent_max_ns"}
    assert not spoilt([found]) & {
        "latency_kernel_p50_ns", "latency_app_p50_ns", "latency_kernel_within_tick_p99_ns",
        "server_cpu_ns_per_message", "tcp_down_bytes_per_message",
    }  # fmt: skip
    assert found.message == (
        f"the publisher sent {count} of 50 messages more than 1 ms late, up to {ms:.2f} ms, which moves what it spoils "
        "by more than 10%"
    )
    assert status([found]) == "ok"


def test_many_late_messages_spoil_all_latency() -> None:
    (found,) = check(pushes(late(2, 40)))
    assert (found.metrics, status([found])) == (LATENCY, "invalid")


def test_lateness_that_could_not_have_moved_anything_is_not_a_reason() -> None:
    """Half a second behind, as short polls are: two milliseconds are nothing."""
    assert check(pushes(late(2), kernel_ms=500, app_ms=500)) == []


def waited(ms: float) -> dict[str, Any]:
    return {"load": [load(at_end=edge(run_delay_ns=IDLE.run_delay_ns + int(ms * MS)))]}


def server_waited(ms: float) -> dict[str, Any]:
    return gained("server", "run_delay_ns", int(ms * MS))


def test_a_load_process_that_waited_spoils_what_that_could_have_moved() -> None:
    """40 ms of ten seconds are 0.4 %, and 0.8 ms at each of fifty due times."""
    assert check(pushes(**waited(40))) == []  # kernel to app are 0.2 ms: no more was moved
    (found,) = check(pushes(app_ms=7, **waited(40)))
    assert (found.kind, found.metrics) == ("load generator kept from its core", APP)
    assert found.message == (
        "the load process waited for its core 0.4% of the window, 0.80 ms at each due time: that could move the median "
        "latency of 4.96 ms by more than 10%"
    )
    assert check(pushes(app_ms=5.5, **waited(40))) == check(pushes(app_ms=7, **waited(30))) == []


def test_without_stamps_the_whole_wait_may_be_in_application_latency() -> None:
    (found,) = check(pushes(stamped=0, **waited(40)))
    assert found.metrics == APP


def test_a_load_process_that_waited_long_spoils_cost_and_tails_whatever_the_median_is() -> None:
    (found,) = check(pushes(kernel_ms=500, app_ms=500, **waited(250)))
    assert found.message == "the load process waited for its core 2.5% of the window, the limit is 2.0%"
    assert spoilt([found]) >= {"server_cpu_ns_per_message", "client_cpu_ns_per_message", "latency_app_max_ns"}
    assert not spoilt([found]) & {"latency_app_p50_ns", "latency_kernel_max_ns"}
    assert status([found]) == "invalid"


def test_late_polls_spoil_the_kernels_stamps_too() -> None:
    assert check(pushes(polls=True, **waited(20))) == []
    (found,) = check(pushes(polls=True, **waited(40)))
    assert found.metrics == POLLED
    assert spoilt([found]) >= {
        "latency_kernel_p50_ns", "sent_to_request_p50_ns", "request_to_kernel_p50_ns", "poll_round_trip_p50_ns",
        "requests_per_message",
    }  # fmt: skip
    (found,) = check(pushes(kernel_ms=500, app_ms=500, polls=True, **waited(250)))
    assert "latency_kernel_p50_ns" not in spoilt([found])
    assert "poll_round_trip_p50_ns" in spoilt([found])


@pytest.mark.parametrize(("late_share", "spoils"), [(0.0, False), (0.02, False), (0.1, True), (1.0, True)])
def test_long_polls_that_waited_at_the_server_were_not_sent_late(late_share: float, spoils: bool) -> None:
    """Latencies of 1 to 9 ms, in order within a tick: the quantile 0.4 is 16 % below the median, 0.48 is 3 %."""
    given = pushes(polls=True, **waited(40))
    arrivals = given.arrivals
    hung = np.tile(np.arange(100) >= round(100 * late_share), FIFTY.size)
    asked = np.where(hung, arrivals.due_ns - 1, arrivals.due_ns)
    found = check(dataclasses.replace(given, arrivals=dataclasses.replace(arrivals, asked_ns=asked)))
    assert ("latency_kernel_p50_ns" in spoilt(found)) is spoils
    assert bool(found) is spoils


def test_a_late_event_loop_polls_late() -> None:
    behind = of_load(hub_lag_p99_ns=30 * MS)
    assert [found.metrics for found in check(pushes(**behind))] == [APP + JOINS]
    assert [found.metrics for found in check(pushes(polls=True, **behind))] == [APP + JOINS + POLLED]


def test_a_server_that_waited_spoils_what_that_could_have_moved() -> None:
    """30 ms are 0.6 ms at each due time, of a median of 5 ms."""
    assert check(pushes(**server_waited(20))) == []
    (found,) = check(pushes(**server_waited(30)))
    assert (found.kind, found.metrics) == ("server kept from its core", LATENCY)
    (found,) = check(pushes(kernel_ms=500, app_ms=500, **server_waited(250)))
    assert "latency_kernel_p50_ns" not in spoilt([found])
    assert spoilt([found]) >= {"server_cpu_ns_per_message", "latency_kernel_max_ns"}


def beside(others_ms: int, waited_ms: int, load_on: Sequence[int] = (1,), publisher_on: Sequence[int] = (1,)) -> Inputs:
    """A server that wants core 0 for a second of ten. Others ran there for so long, and it waited for so long."""
    server = {
        "cores": [0],
        **{f"{name}_at_start": 7 for name in ("run_delay_ns", "cpu_ns", "cores_running_ns")},
        "run_delay_ns_at_end": 7 + waited_ms * MS,
        "cpu_ns_at_end": 7 + SECOND - waited_ms * MS,
        "cores_running_ns_at_end": 7 + SECOND + (others_ms - waited_ms) * MS,
    }
    tables: dict[str, dict[str, Any]] = {
        "server": server,
        "load": {"cores": load_on},
        "publisher": {"cores": publisher_on},
        "machine": {},
    }
    return pushes(processes=tables)


def test_others_that_do_not_know_the_timetable_move_a_median_by_the_turns_that_met_the_servers() -> None:
    """It wants its core for a tenth of the window: a tenth of 200 ms is 0.4 ms at each due time, of a median of 5."""
    assert check(beside(200, 90)) == [] == check(beside(200, 90, [2], [3]))
    (found,) = check(beside(300, 90))
    assert (found.metrics, status([found])) == (LATENCY, "invalid")
    assert found.message == (
        "the server waited for its core 0.3% of the window, 0.60 ms at each due time: that could move the median "
        "latency of 4.96 ms by more than 10%"
    )
    many = beside(200, 90)
    many.processes["server"]["run_delay_ns_at_end"] += 20 * SECOND  # a thread of it always wants the core
    (found,) = check(many)
    assert found.metrics == LATENCY and "2.0% of the window, 4.00 ms at each due time" in found.message


@pytest.mark.parametrize(("load_on", "publisher_on"), [([0], [1]), ([1], [0]), ([0, 1], [1]), ([], [1]), ([1], [])])
def test_load_and_publisher_know_the_timetable_where_they_may_run_on_the_servers_core(
    load_on: list[int], publisher_on: list[int]
) -> None:
    (found,) = check(beside(200, 90, load_on, publisher_on))
    assert found.metrics == LATENCY and "0.9% of the window, 1.80 ms at each due time" in found.message


def test_one_tick_may_hold_all_that_a_server_waited() -> None:
    """The tails are spoilt by all that others ran there; the median by what met the server's turns (0.44 ms)."""
    (found,) = check(beside(220, 250))
    assert found.message == "the server waited for its core 2.2% of the window, the limit is 2.0%"
    assert spoilt([found]) >= {"latency_kernel_p99_ns", "server_cpu_ns_per_message"}
    assert not spoilt([found]) & {"latency_kernel_p50_ns", "latency_app_p50_ns"}


@pytest.mark.parametrize(
    ("metrics", "is_"),
    [
        ([], "ok"),
        ([["latency_app_max_ns"]], "ok"),
        ([["latency_app_max_ns", "latency_app_p50_ns"]], "invalid"),
        ([["latency_*"]], "invalid"),
        ([["latency_app_p99_ns"], ["connect_*"]], "invalid"),
        ([[]], "invalid"),
    ],
)
def test_a_trial_counts_whose_reasons_spoil_nothing_but_tails(metrics: list[list[str]], is_: str) -> None:
    assert status(Reason("a", "b", "c", names) for names in metrics) == is_
