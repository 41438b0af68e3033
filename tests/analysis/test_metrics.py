from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import gather
from rtbench.analysis.metrics import Metric, catalogue, find, measure, register
from rtbench.analysis.report import factors
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.samples.series import median_of, reduce
from rtbench.records.tables import concatenate, read_table, write_table


@pytest.fixture
def one(tmp_path: Path, make: ModuleType) -> Any:
    """A function that writes a campaign of one trial and returns its folder and a way to measure it."""

    def build(subject: str = "sse-aiohttp", **plan: Any) -> tuple[Path, Any]:
        small = {"blocks": 1, "subscribers": 4, "window_s": 2.0} | plan
        folder = make.write(tmp_path / "campaign", make.Plan(subjects=(subject,), **small))
        return folder / f"trials/001-{subject}", lambda: measure(Samples(load(folder)[1]))

    return build


def change(directory: Path, kind: str, **columns: Any) -> None:
    table = read_table(directory / f"{kind}.parquet", kind)
    for name, value in columns.items():
        table[name] = value(table[name].copy()) if callable(value) else np.asarray(value)
    write_table(directory / f"{kind}.parquet", kind, table)


def at(place: int, value: int) -> Any:
    def put(column: Any) -> Any:
        column[place] = value
        return column

    return put


def test_the_registry() -> None:
    found = {m.name: m for m in catalogue()}
    assert find("latency_kernel_p50_ns").direction == "lower"
    row = found["empty_poll_share"].describe()
    assert row["metric"] == "empty_poll_share" and row["transports"] == ["short-poll", "long-poll"]
    assert not found["empty_poll_share"].applies("sse") and found["lost"].applies("sse")
    assert all(m.title and m.caption and m.unit for m in catalogue())
    with pytest.raises(ValueError, match="twice"):
        register(Metric("lost", "messages", "lower", "", "", lambda _: None))


@pytest.mark.slow
def test_what_cannot_be_known_is_not_a_number(one: Any) -> None:
    """A server's own timetable: a tick stands at its due time or its first arrival, which is no latency of zero."""
    directory, run = one()
    before = run()
    assert before["due_to_sent_p50_ns"] is not None and before["latency_app_p50_ns"] is not None
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unknown": ["due_to_sent_*", "sent_to_*"]}))
    found = run()
    gone = {name for name, value in found.items() if value is None and before[name] is not None}
    assert gone == {
        name for name in before if name.startswith(("due_to_sent_", "sent_to_")) and before[name] is not None
    }
    assert {name: value for name, value in found.items() if name not in gone} == {
        name: value for name, value in before.items() if name not in gone
    }


@pytest.mark.slow
def test_a_tail_in_time_needs_its_instants(one: Any) -> None:
    _, run = one(rate_hz=100.0, window_s=4.0)
    found = run()
    assert found["latency_kernel_p99_ns"] is not None and found["latency_kernel_p999_ns"] is None
    _, run = one(rate_hz=90.0, window_s=4.0)
    assert run()["latency_kernel_p99_ns"] is None


def test_losses_censor_the_maximum_and_stay_in_the_median(one: Any) -> None:
    directory, run = one()
    whole = run()
    assert whole["latency_app_max_ns"] is not None
    table = read_table(directory / "deliveries.parquet", "deliveries")
    keep = table["subscriber"] != 0
    write_table(directory / "deliveries.parquet", "deliveries", {k: v[keep] for k, v in table.items()})
    found = run()
    assert found["lost"] == 20 and found["latency_app_max_ns"] is None and found["latency_kernel_p90_ns"] is None
    assert found["latency_app_p50_ns"] is not None and found["due_to_sent_max_ns"] is not None
    assert found["latency_app_within_tick_max_ns"] is None
    change(directory, "deliveries", seq=lambda c: c + 10**6)
    assert run()["latency_app_p50_ns"] is None


def test_no_delivery_at_all(one: Any) -> None:
    directory, run = one()
    write_table(directory / "deliveries.parquet", "deliveries", concatenate("deliveries", []))
    found = run()
    assert (found["expected"], found["lost"], found["delivered_hz"]) == (80, 80, 0)
    for name in (
        "stamped_share",
        "latency_app_p50_ns",
        "server_cpu_ns_per_message",
        "latency_kernel_within_tick_p99_ns",
    ):
        assert found[name] is None


def test_no_stamps_no_kernel_latency(one: Any) -> None:
    directory, run = one()
    change(directory, "deliveries", kernel_ns=lambda c: c * 0 - 1)
    found = run()
    assert found["stamped_share"] == 0 and found["latency_kernel_p50_ns"] is None
    assert found["latency_kernel_within_tick_p50_ns"] is None
    assert found["latency_app_p50_ns"] is not None and found["kernel_to_app_p50_ns"] is None
    series = reduce(Samples(load(directory.parent.parent)[1]), timeline=True)
    assert series.timeline is not None and series.timeline.stamp == "application"


def test_unicast_has_no_tail_over_subscribers(one: Any) -> None:
    _, run = one(channels="unicast")
    found = run()
    assert found["expected"] == found["delivered"] == 80
    assert found["latency_app_within_tick_p99_ns"] is None and found["latency_app_p50_ns"] is not None


@pytest.mark.parametrize("subject", ["short-poll-aiohttp", "long-poll-aiohttp"])
def test_polling_splits_the_way_to_the_kernel(one: Any, subject: str) -> None:
    directory, run = one(subject)
    found = run()
    assert found["requests_per_message"] > 0 and found["poll_round_trip_p50_ns"] > 0
    if subject == "long-poll-aiohttp":  # the request hung there before the message: it did not wait for a poll
        assert found["sent_to_request_p50_ns"] == 0
        assert found["request_to_kernel_p50_ns"] == found["sent_to_kernel_p50_ns"]
    else:
        assert found["sent_to_request_p50_ns"] > 50 * found["request_to_kernel_p50_ns"]
    write_table(directory / "requests.parquet", "requests", concatenate("requests", []))
    empty = run()
    assert empty["sent_to_request_p50_ns"] is None and empty["empty_poll_share"] is None
    assert empty["requests_per_message"] == 0 and empty["poll_round_trip_p50_ns"] is None


@pytest.mark.parametrize("subject", ["short-poll-aiohttp", "long-poll-aiohttp"])
def test_cpu_of_a_message_is_requests_times_cpu_of_a_request(one: Any, subject: str) -> None:
    """Counted again: 4 subscribers x 20 messages, and 6 ms of CPU, whatever number of requests brought them."""
    directory, run = one(subject)
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["processes"]["server"] |= {"cpu_ns_at_start": 10**9, "cpu_ns_at_end": 10**9 + 6_000_000}
    file.write_text(json.dumps(manifest))
    start, end = manifest["window"]["start_ns"], manifest["window"]["end_ns"]
    moments = read_table(directory / "requests.parquet", "requests")["started_ns"].tolist()
    arrived = read_table(directory / "deliveries.parquet", "deliveries")["app_ns"].tolist()
    requests, messages = (sum(start <= moment < end for moment in column) for column in (moments, arrived))
    found = run()
    assert found["requests_per_message"] == requests / messages
    assert found["server_cpu_ns_per_request"] == 6_000_000 / requests
    product = found["requests_per_message"] * found["server_cpu_ns_per_request"]
    assert product == pytest.approx(found["server_cpu_ns_per_message"], rel=1e-12)
    assert found["server_cpu_ns_per_message"] == 6_000_000 / messages
    evidence = gather(load(directory.parent.parent))
    assert (cost := factors.cost(evidence, factors.POLL, subject)) is not None and cost.trials == 1
    assert cost.count * cost.each_ns == pytest.approx(cost.message_ns) == pytest.approx(6e6 / messages)
    assert found["server_cpu_ns_per_segment"] is factors.cost(evidence, factors.PUSH, subject) is None
    write_table(directory / "requests.parquet", "requests", concatenate("requests", []))
    assert run()["server_cpu_ns_per_request"] is None


def test_cpu_of_a_message_is_segments_times_cpu_of_a_segment(one: Any) -> None:
    """4 subscribers have 20 messages each in 15 segments: the server joined a third of its writes."""
    directory, run = one("websocket-aiohttp")
    edges = {"tcp_received_segments_at_start": [7] * 4, "tcp_received_segments_at_end": [22] * 4}
    change(directory, "connections", **edges)
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["processes"]["server"] |= {"cpu_ns_at_start": 10**9, "cpu_ns_at_end": 10**9 + 6_000_000}
    file.write_text(json.dumps(manifest))
    found = run()
    assert (found["tcp_segments_per_message"], found["server_cpu_ns_per_segment"]) == (60 / 80, 6_000_000 / 60)
    assert found["server_cpu_ns_per_message"] == 6_000_000 / 80 == 60 / 80 * (6_000_000 / 60)
    cost = factors.cost(gather(load(directory.parent.parent)), factors.PUSH, "websocket-aiohttp")
    assert cost is not None and cost.count * cost.each_ns == pytest.approx(cost.message_ns) == pytest.approx(75_000)


def test_a_folder_from_before_segments_were_counted(one: Any) -> None:
    directory, run = one()
    path = directory / "connections.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([name for name in table.column_names if "segments" in name]), path)
    assert set(read_table(path, "connections", ["tcp_received_segments_at_end"])["tcp_received_segments_at_end"]) == {
        -1
    }
    found = run()
    assert found["tcp_segments_per_message"] is found["server_cpu_ns_per_segment"] is None
    assert found["tcp_down_bytes_per_message"] is not None


def test_a_request_that_starts_with_the_delivery_fetched_the_next(one: Any) -> None:
    directory, run = one("long-poll-aiohttp", subscribers=1)
    moments = np.sort(read_table(directory / "deliveries.parquet", "deliveries")["app_ns"])
    change(directory, "requests", started_ns=lambda c: np.concatenate([c[:1], moments[:-1]]))
    assert run()["sent_to_request_max_ns"] == 0


def test_counters_of_processes(one: Any) -> None:
    directory, run = one()
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["processes"]["server"]["cpu_ns_at_end"] = -1
    manifest["processes"]["load"].pop("cpu_ns_at_start")
    del manifest["processes"]["machine"]
    manifest["bytes"] = {"wire_bytes_at_start": 1000, "wire_bytes_at_end": 17000}
    manifest["memory"] = {"server_bytes_per_connection": 14000, "kernel_bytes_per_connection": None}
    manifest["idle"] = {"cpu_ns_per_connection_second": 5.5}
    file.write_text(json.dumps(manifest))
    found = run()
    for name in ("server_cpu", "client_cpu", "machine_busy"):
        assert found[f"{name}_ns_per_message"] is None
    assert found["wire_bytes_per_message"] == 16000 / 80
    assert found["server_memory_bytes_per_connection"] == 14000
    assert found["kernel_memory_bytes_per_connection"] is None
    assert found["idle_cpu_ns_per_connection_second"] == 5.5


@pytest.mark.parametrize(("begin", "end"), [(-1, 17_000), (1000, -1), (17_000, 1000), (None, 5), (5, None)])
def test_bytes_on_the_wire_that_could_not_be_read_are_not_a_number(one: Any, begin: Any, end: Any) -> None:
    directory, run = one()
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    table = {"wire_bytes_at_start": begin, "wire_bytes_at_end": end}
    manifest["bytes"] = {name: value for name, value in table.items() if value is not None}
    file.write_text(json.dumps(manifest))
    assert run()["wire_bytes_per_message"] is None


def test_a_slope_that_is_not_a_number_is_damage(one: Any) -> None:
    directory, _ = one()
    file = directory / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"memory": {"kernel_bytes_per_connection": True}}))
    trial = load(directory.parent.parent)[1]
    assert trial.status == "failed"
    assert "memory.kernel_bytes_per_connection is true" in trial.reasons[-1]["message"]


def test_memory_idle_and_streaming_are_the_ladders_slopes(one: Any) -> None:
    directory, run = one()
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["memory"] = {
        "server_bytes_per_connection": 1,
        "kernel_bytes_per_connection": 2,
        "server_idle_bytes_per_connection": 3.5,
        "kernel_idle_bytes_per_connection": 4,
    }
    file.write_text(json.dumps(manifest))
    found = run()
    names = ("server_memory", "kernel_memory", "server_memory_idle", "kernel_memory_idle")
    assert [found[f"{name}_bytes_per_connection"] for name in names] == [1, 2, 3.5, 4]


def test_bytes_of_connections_that_come_and_go(one: Any) -> None:
    directory, run = one()
    start = load(directory.parent.parent)[1].window[0]
    end = start + 2 * 10**9
    received = {"tcp_received_bytes": 1000, "tcp_received_bytes_at_start": 100, "tcp_received_bytes_at_end": 900}

    def put(**columns: list[int]) -> float | None:
        base = {name: np.full(4, value) for name, value in received.items()}
        base |= {"started_ns": np.full(4, start - 5), "closed_ns": np.full(4, end + 5)}
        change(directory, "connections", **(base | columns))
        found = run()["tcp_down_bytes_per_message"]
        return None if found is None else float(round(found * 80))

    assert put() == 4 * 800
    # 0: the whole window; 1: opened inside; 2: closed inside; 3: closed before
    mixed = put(
        started_ns=[start - 5, start + 5, start - 5, start - 50],
        closed_ns=[end + 5, end + 5, end - 5, start - 5],
        tcp_received_bytes_at_start=[100, -1, 100, -1],
        tcp_received_bytes_at_end=[900, 900, -1, -1],
    )
    assert mixed == 800 + 900 + 900
    assert put(started_ns=[start, start, start, end + 1], tcp_received_bytes_at_start=[100, 100, 100, -1]) == 3 * 800
    assert put(tcp_received_bytes_at_start=[-1, 100, 100, 100]) is None
    assert put(tcp_received_bytes_at_end=[900, -1, 900, 900]) is None


def test_failed_connections(one: Any) -> None:
    directory, run = one()
    change(
        directory,
        "connections",
        outcome=["refused", "closed", "timeout", "closed by the subscriber"],
        connected_ns=at(0, -1),
    )
    found = run()
    assert found["connections_failed"] == 2 and found["connect_p50_ns"] > 0
    change(directory, "connections", connected_ns=lambda c: c * 0 - 1)
    assert run()["connect_p50_ns"] is None


def test_an_empty_ticks_table(one: Any) -> None:
    directory, run = one()
    write_table(directory / "ticks.parquet", "ticks", concatenate("ticks", []))
    found = run()
    assert found["expected"] == 0 and found["corrupted"] > 0 and found["latency_app_p50_ns"] is None
    reduce(Samples(load(directory.parent.parent)[1]), timeline=True)


def test_median_of() -> None:
    assert median_of(np.array([3.0, 1.0, 2.0])) == 2.0
    assert median_of(np.array([np.inf])) is None
    assert median_of(np.empty(0)) is None


@pytest.mark.slow
def test_what_tls_takes_and_costs(one: Any) -> None:
    """Four handshakes of 1 to 4 ms; 22 bytes more than the plaintext for each of 80 messages."""
    directory, run = one("websocket-aiohttp")
    connected = read_table(directory / "connections.parquet", "connections")["connected_ns"]
    change(directory, "connections", secured_ns=connected + np.arange(1, 5) * 1_000_000)
    received = read_table(directory / "connections.parquet", "connections")
    down = int((received["tcp_received_bytes_at_end"] - received["tcp_received_bytes_at_start"]).sum())
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    handshakes = {"full": 50, "full_cpu_ns": 50 * 700_000, "resumed": 0, "resumed_cpu_ns": 0}
    negotiated = {"TLSv1.3 TLS_AES_256_GCM_SHA384": 4}
    manifest["tls"] = {"negotiated": negotiated, "plaintext_bytes": down - 80 * 22, "handshakes": handshakes}
    file.write_text(json.dumps(manifest))
    found = run()
    assert (found["handshake_p50_ns"], found["handshake_p99_ns"]) == (2_000_000, 4_000_000)
    assert found["server_cpu_ns_per_handshake"] == 700_000
    assert found["server_cpu_ns_per_resumed_handshake"] is None
    assert found["tls_bytes_per_message"] == 22


@pytest.mark.slow
def test_a_trial_in_cleartext_has_no_figures_of_tls(one: Any) -> None:
    directory, run = one()
    table = pq.read_table(directory / "connections.parquet")
    pq.write_table(table.drop_columns(["secured_ns"]), directory / "connections.parquet")  # an older folder
    found = run()
    names = [name for name in found if "handshake" in name or name.startswith("tls_")]
    assert len(names) == 5 and {found[name] for name in names} == {None}
