"""What a probe shows: the loss ratio between its bounds, what spoils it, and what limits a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.capacity.judging import judge
from rtbench.records.capacity import ProbeRow
from rtbench.records.reason import Reason
from rtbench.records.tables import TABLES, write_table

from .planted import MS, Seen, broken, scenario, write

LOAD = Reason("load generator near its limit", "the load process used 99% of its core", "", ["latency_*"])
KEPT = Reason("server kept from its core", "the server waited", "", ["latency_*"])
PORTS = Reason("few local ports left", "95 % of the ports", "", ["connect_*"])


def row(folder: Path, seen: Seen, **table: object) -> ProbeRow:
    here = scenario(**table)
    write(folder, here, seen)
    return judge(folder, 1, 10, here).row


def test_a_level_that_holds(tmp_path: Path) -> None:
    found = row(tmp_path, Seen(late=1))
    assert (found.verdict, found.late_or_lost, found.lost, found.limited_by) == ("holds", 0.01, 0, "")
    assert (found.window_s, found.latency_ns, found.status) == (1.0, 5 * MS, "ok")


def test_a_quantile_is_a_loss_ratio(tmp_path: Path) -> None:
    assert row(tmp_path / "a", Seen(late=2)).verdict == "fails"
    assert row(tmp_path / "b", Seen(late=2), slo={"latency_ms": 50, "quantile": 0.98}).verdict == "holds"
    assert row(tmp_path / "c", Seen(late=2), slo={"latency_ms": 600}).verdict == "holds"


def test_a_lost_message_is_late_and_has_a_limit_of_its_own(tmp_path: Path) -> None:
    found = row(tmp_path / "a", Seen(lost=1))
    assert (found.verdict, found.late_or_lost, found.lost) == ("fails", 0.01, 0.01)
    assert found.limited_by == "lost messages"
    assert row(tmp_path / "b", Seen(lost=1), slo={"lost": 0.01}).verdict == "holds"
    assert row(tmp_path / "c", Seen(lost=2), slo={"lost": 0.5}).verdict == "fails"
    assert row(tmp_path / "d", Seen(lost=2)).latency_ns is None


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        (Seen(late=50, server_share=0.97), "server core"),
        (Seen(late=50, server_share=0.4), "server (core 40% busy)"),
        (Seen(late=50, lost=30, more_connections=3), "slow-consumer drops"),
        (Seen(set_up_ms=20_000), "set-up"),
        (Seen(failed_connections=1), "set-up"),
        (
            Seen(failed_connections=1, network={"listen_overflows_begin": 3, "listen_overflows_end": 9}),
            "listen backlog",
        ),
        (Seen(failed_connections=1, refused={"connections": 5, "origin": 0}), "[server] connections"),
    ],
)
def test_what_limits_a_server(tmp_path: Path, seen: Seen, limit: str) -> None:
    found = row(tmp_path, seen)
    assert (found.verdict, found.limited_by) == ("fails", limit)


def test_a_load_generator_that_reads_late_is_named_and_refutes_nothing(tmp_path: Path) -> None:
    late = Seen(late=50, unstamped=True, status="invalid", reasons=(LOAD,))
    found = row(tmp_path / "a", late)
    assert (found.verdict, found.limited_by) == ("unclear", "load generator")
    assert (found.late_or_lost, found.surely) == (0.5, 0)
    held = Seen(status="invalid", reasons=(LOAD,))
    assert row(tmp_path / "b", held).verdict == "holds"  # a late client only adds to what it sees


def test_the_kernels_stamps_convict_a_server_beside_a_late_load_generator(tmp_path: Path) -> None:
    found = row(tmp_path, Seen(late=50, status="invalid", reasons=(LOAD,)))
    assert (found.verdict, found.surely) == ("fails", 0.5)


def test_a_poll_may_have_been_sent_late_and_all_its_stamps_with_it(tmp_path: Path) -> None:
    here = scenario(subjects=["long-poll-aiohttp"])
    for share, verdict in ((0.5, "unclear"), (0.99, "fails")):
        seen = Seen(late=50, status="invalid", reasons=(LOAD,), server_share=share)
        write(tmp_path / f"{share}", here, seen, subject="long-poll-aiohttp")
        assert judge(tmp_path / f"{share}", 1, 10, here).row.verdict == verdict


def test_the_lag_of_the_publisher_is_not_the_servers(tmp_path: Path) -> None:
    found = row(tmp_path / "a", Seen(late=50, late_ms=100, lag_ms=80))
    assert (found.verdict, found.limited_by) == ("unclear", "publisher")
    assert row(tmp_path / "b", Seen(late=50, late_ms=100, lag_ms=30)).verdict == "fails"


def test_a_server_that_others_kept_from_its_core_is_not_refuted(tmp_path: Path) -> None:
    found = row(tmp_path / "a", Seen(late=50, status="invalid", reasons=(KEPT,)))
    assert (found.verdict, found.limited_by) == ("unclear", "machine (server kept from its core)")
    full = Seen(late=50, status="invalid", reasons=(KEPT,), server_share=0.96)
    assert row(tmp_path / "b", full).verdict == "fails"


def test_a_latency_that_is_not_known_neither_holds_nor_fails(tmp_path: Path) -> None:
    stepped = Reason("clock stepped", "by 9 ms", "", ["latency_kernel_*"])
    found = row(tmp_path / "a", Seen(status="invalid", reasons=(stepped,)))
    assert (found.verdict, found.limited_by) == ("unclear", "machine (clock stepped)")
    found = row(tmp_path / "b", Seen(), workload={"rate_hz": 0.1})
    assert (found.verdict, found.limited_by) == ("unclear", "nothing was due in the window")


def test_ports_that_run_out_are_the_harnesss(tmp_path: Path) -> None:
    found = row(tmp_path, Seen(failed_connections=4, status="invalid", reasons=(PORTS,)))
    assert (found.verdict, found.limited_by) == ("unclear", "local ports")


@pytest.mark.parametrize(
    ("reason", "verdict", "limit"),
    [
        (Reason("failed", "overload: only 9 of 10 subscribed at /sse within 30 s"), "fails", "set-up"),
        (Reason("failed", "the server ended early (SIGKILL)"), "fails", "server (the server ended early (SIGKILL))"),
        (Reason("failed", "the load process ended early (SIGKILL)"), "unclear", "load generator"),
        (Reason("failed", "the publisher ended early (SIGKILL)"), "unclear", "publisher"),
        (Reason("measurement", "the clock"), "unclear", "load generator"),
        (Reason("verification", "verification failed: order"), "fails", "verification"),
    ],
)
def test_a_trial_without_a_window(tmp_path: Path, reason: Reason, verdict: str, limit: str) -> None:
    broken(tmp_path, reason)
    found = judge(tmp_path, 1, 10, scenario()).row
    assert (found.verdict, found.limited_by, found.late_or_lost) == (verdict, limit, None)


@pytest.mark.parametrize(
    ("busy", "waited", "verdict", "limit"),
    [
        (0.99, 0.5, "fails", "server core"),
        (0.5, 0.5, "unclear", "machine (server kept from its core)"),
        (0.5, 0.0, "fails", "set-up"),
    ],
)
def test_who_kept_subscribers_out(tmp_path: Path, busy: float, waited: float, verdict: str, limit: str) -> None:
    broken(tmp_path, Reason("failed", "overload: only 9 of 10 subscribed at /sse within 30 s"))
    columns = {name: [0, 0] for name in TABLES["probes"]}
    columns |= {"at_ns": [0, 1000], "server_cpu_ns": [0, 1000 * busy], "server_run_delay_ns": [0, 1000 * waited]}
    write_table(tmp_path / "probes.parquet", "probes", columns)
    found = judge(tmp_path, 1, 10, scenario()).row
    assert (found.verdict, found.limited_by) == (verdict, limit)
