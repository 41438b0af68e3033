"""What is counted while a trial runs: a row a second, the window's edges, and what the loads say of themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from rtbench.machine import probes
from rtbench.messages.load import Edge, LoadReport
from rtbench.processes import namespaces
from rtbench.records import tables
from rtbench.trial import _counters
from rtbench.trial._counters import Counters
from rtbench.trial.steadiness import BATCHES, edges

SECOND = 10**9
NOW = 10 * SECOND
MakeGroup = Callable[..., Any]
REPORT: dict[str, Any] = {
    "at_start": Edge(read_ns=5, cpu_ns=10, run_delay_ns=1, decode_cpu_ns=3),
    "at_end": Edge(read_ns=6, cpu_ns=30, run_delay_ns=2, decode_cpu_ns=7),
    "decode_cpu_ns": 9,
}


def columns_of(rows: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return dict(zip(tables.TABLES["probes"], zip(*rows, strict=True), strict=True))


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The counters' clock: its one entry."""
    now = [NOW]
    monkeypatch.setattr(_counters, "time", SimpleNamespace(monotonic_ns=lambda: now[0]))
    return now


def test_a_row_a_second_whatever_often_it_is_asked(make_group: MakeGroup, moment: list[int]) -> None:
    group = make_group(2)
    group.loads[0].subscribed, group.loads[1].subscribed = 3, 4
    group.server.cpu, group.server.resident, group.server.delay = 11, 12, 13
    counters = Counters(group)
    for now_ns in (NOW, NOW + SECOND - 1, NOW + SECOND, NOW + SECOND + 1, NOW + 2 * SECOND):
        moment[0] = now_ns
        counters.tick()
    columns = columns_of(counters.rows)
    assert columns["at_ns"] == (NOW, NOW + SECOND, NOW + 2 * SECOND)
    assert columns["open_connections"] == (7, 7, 7)
    assert columns["server_cpu_ns"] == (11,) * 3
    assert columns["load_cpu_ns"] == (2 * group.loads[0].cpu,) * 3
    assert columns["publisher_cpu_ns"] == (group.publisher.cpu,) * 3
    assert columns["server_memory_bytes"] == (12,) * 3
    assert columns["load_memory_bytes"] == (2 * group.loads[0].resident,) * 3
    assert columns["server_run_delay_ns"] == (13,) * 3
    assert columns["load_run_delay_ns"] == (2 * group.loads[0].delay,) * 3
    assert columns["hub_lag_max_ns"] == (-1,) * 3
    assert min(columns["machine_busy_ns"]) > 0


def test_cpu_of_a_server_that_was_killed_stays_counted(make_group: MakeGroup, moment: list[int]) -> None:
    group = make_group()
    counters = Counters(group)
    group.server.cpu = 500
    group.kill_server()
    group.restart_server()
    group.server.cpu = 30
    counters.tick()
    counters.edge("at_end")
    assert columns_of(counters.rows)["server_cpu_ns"] == (530, 530)
    assert counters.processes["server"]["cpu_ns_at_end"] == 530


def test_a_window_has_a_row_at_each_edge_of_its_batches(make_group: MakeGroup, clock: Any, moment: list[int]) -> None:
    group = make_group()
    counters = Counters(group)
    window = (clock.now + SECOND, clock.now + 13 * SECOND)

    def row_at(until_ns: int) -> None:
        group.until(until_ns)
        moment[0] = clock.now

    counters.watch(window)
    assert len(group._planned) == BATCHES - 1
    for at_ns in edges(window):
        moment[0] = at_ns
        row_at(at_ns)
        if at_ns in window:
            counters.edge("at_start")
    assert counters.columns["at_ns"].tolist() == edges(window)
    assert counters.columns.keys() == tables.TABLES["probes"].keys()


def test_no_rows_have_no_columns(make_group: MakeGroup) -> None:
    assert Counters(make_group()).columns == {}


def test_processes_are_named_with_their_cores(make_group: MakeGroup, moment: list[int]) -> None:
    group = make_group(2)
    counters = Counters(group)
    table = counters.processes
    assert table["server"] == {"pid": os.getpid(), "cores": [0], "shares_core_with": {}}
    assert table["publisher"] == {**table["server"], "scheduling": "as everyone"}
    assert table["load"] == {"pids": [os.getpid()] * 2, "cores": [0], "shares_core_with": {}, "workers": 2}


def test_edges_have_the_counters_that_are_quick_to_read(
    make_group: MakeGroup, moment: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group()
    counters = Counters(group)
    group.server_cpu_ns, group.server.cpu, group.server.delay = 500, 7, 8
    monkeypatch.setattr(probes, "machine_ns", lambda: (90, 3))
    monkeypatch.setattr(probes, "throttles", lambda: 4)
    monkeypatch.setattr(probes, "running_ns", lambda cores: 6)
    monkeypatch.setattr(probes, "descriptors", lambda pid: 12)
    monkeypatch.setattr(group.server, "memory_bytes", None)  # tens of milliseconds: not within the window
    counters.edge("at_start")
    table = counters.processes
    assert table["server"].items() >= {
        "cpu_ns_at_start": 507, "run_delay_ns_at_start": 8, "cores_running_ns_at_start": 6, "descriptors_at_start": 12,
        "kept_ns_at_start": -1,
    }.items()  # fmt: skip
    assert table["load"]["descriptors_at_start"] == 12 * len(group.loads)
    assert table["publisher"]["cpu_ns_at_start"] == group.publisher.cpu
    machine = {"busy_ns_at_start": 90, "steal_ns_at_start": 3, "throttles_at_start": 4}
    assert table["machine"] == {**machine, "read_ns_at_start": NOW}
    assert counters.network.keys() >= {"retransmits_begin", "retransmits_at_start"}
    assert counters.wire == {}  # no interface of its own


def test_bytes_on_the_wire_are_the_servers_interface(
    make_group: MakeGroup, moment: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group()
    group.network = SimpleNamespace(router=None)
    asked: list[tuple[int, str]] = []

    def wire_bytes(pid: int, interface: str) -> int:
        asked.append((pid, interface))
        return 777

    monkeypatch.setattr(probes, "wire_bytes", wire_bytes)
    counters = Counters(group)
    counters.edge("at_start")
    assert counters.wire == {"wire_bytes_at_start": 777}
    assert asked == [(group.server.pid, namespaces.INTERFACE)]


def test_afterwards_memory_and_what_is_left(
    make_group: MakeGroup, moment: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(2)
    group.loads[1].memory = 9000
    counters = Counters(group)
    monkeypatch.setattr(probes, "descriptors_share", lambda pid: 0.25)
    monkeypatch.setattr(probes, "ports_share", lambda pid: 0.5)
    counters.afterwards()
    assert counters.processes["server"]["memory_bytes"] == 3000
    load = counters.processes["load"]
    assert (load["memory_bytes"], load["largest_memory_bytes"]) == (12_000, 9000)
    assert (load["descriptors_share"], load["ports_share"]) == (0.25, 0.5)
    assert "listen_overflows_end" in counters.network


@pytest.mark.parametrize(
    ("namespaces", "total"), [((5, 5, 5), 1), ((5, 6, 6), 11), ((0, 0, 0), 1)], ids=["one", "two", "not known"]
)
def test_network_counters_are_of_every_namespace_once(
    make_group: MakeGroup,
    moment: list[int],
    monkeypatch: pytest.MonkeyPatch,
    namespaces: tuple[int, ...],
    total: int,
) -> None:
    group = make_group(2)
    group.server.pid, group.loads[0].pid, group.loads[1].pid = 101, 102, 103
    of = dict(zip((101, 102, 103), namespaces, strict=True))
    monkeypatch.setattr(probes, "namespace", of.__getitem__)
    monkeypatch.setattr(probes, "network", lambda pid: {"retransmits": {101: 1, 102: 10, 103: 100}[pid]})
    counters = Counters(group)
    assert counters.network == {"retransmits_begin": total}


def test_what_the_loads_report_is_summed_and_their_lags_are_in_the_rows(
    make_group: MakeGroup, moment: list[int], report_of: Callable[..., LoadReport]
) -> None:
    group = make_group(2)
    counters = Counters(group)
    for second in range(3):
        moment[0] = NOW + second * SECOND
        counters.tick()
    reports = [
        report_of(
            **{**REPORT, "at_end": replace(REPORT["at_end"], read_ns=8)},
            hub_lag=((NOW - 5, 8), (NOW + 1, 300), (NOW + 2, 200)),
        ),
        report_of(**REPORT),
    ]
    counters.close(reports)
    assert columns_of(counters.rows)["hub_lag_max_ns"] == (8, 300, -1)
    load = counters.processes["load"]
    assert (load["cpu_ns_at_start"], load["cpu_ns_at_end"]) == (20, 60)
    assert (load["run_delay_ns_at_start"], load["run_delay_ns_at_end"]) == (2, 4)
    assert (load["decode_cpu_ns"], load["decode_cpu_ns_in_window"]) == (18, 8)
    assert (load["read_ns_at_start"], load["read_ns_at_end"]) == (5, 8)  # the latest
    assert (load["hub_lag_p50_ns"], load["hub_lag_p99_ns"], load["hub_lag_max_ns"]) == (200, 298, 300)


def test_without_lags(make_group: MakeGroup, moment: list[int], report_of: Callable[..., LoadReport]) -> None:
    group = make_group()
    counters = Counters(group)
    counters.tick()
    counters.close([report_of(**REPORT)])
    assert counters.processes["load"]["hub_lag_p99_ns"] == -1
    assert counters.rows[0][10] == -1
