"""The doctor: every check says ok, warn or fail from what it sees, with a remedy whenever it is not ok."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtbench import programs
from rtbench.machine import doctor, inner_loop
from rtbench.machine.doctor import Condition, examine

Patch = pytest.MonkeyPatch


def see(monkeypatch: Patch, files: dict[str, str]) -> None:
    """Let the checks read these files and no others."""
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))


def only(check: Callable[[], object]) -> Condition:
    (finding,) = list(check())  # type: ignore[call-overload]
    assert isinstance(finding, Condition)
    assert (finding.status == "ok") is (finding.remedy == "")
    return finding


@pytest.mark.parametrize(
    ("cores", "status", "seen"),
    [
        ({0}, "warn", "1: server and load share it"),
        ({0, 1}, "ok", "2: the server has one of its own"),
        ({4, 5, 6}, "ok", "3: the server has one of its own"),
    ],
)
def test_cores(monkeypatch: Patch, cores: set[int], status: str, seen: str) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    finding = only(doctor._cores)
    assert (finding.check, finding.status, finding.seen) == ("cores", status, seen)


@pytest.mark.parametrize(
    ("hard", "status", "seen"),
    [
        (1199, "fail", "hard limit 1,199"),
        (1200, "ok", "hard limit 1,200"),
        (resource.RLIM_INFINITY, "ok", "no hard limit"),
    ],
)
def test_descriptors(monkeypatch: Patch, hard: int, status: str, seen: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    finding = only(doctor._descriptors)
    assert (finding.check, finding.status, finding.seen) == ("file descriptors", status, seen)
    assert "ulimit -Hn 1200" in finding.remedy or status == "ok"


@pytest.mark.parametrize(
    ("text", "status", "seen"),
    [("32768\t60999", "ok", "28,231"), ("50000 55000", "warn", "5,000"), ("", "ok", "28,231")],
)
def test_ports(monkeypatch: Patch, text: str, status: str, seen: str) -> None:
    see(monkeypatch, {"/proc/sys/net/ipv4/ip_local_port_range": text})
    finding = only(doctor._ports)
    assert (finding.check, finding.status, finding.seen) == ("local ports", status, seen)


@pytest.mark.parametrize(("text", "status"), [("4096", "ok"), ("128", "warn"), ("", "warn")])
def test_backlog(monkeypatch: Patch, text: str, status: str) -> None:
    see(monkeypatch, {"/proc/sys/net/core/somaxconn": text})
    finding = only(doctor._backlog)
    assert (finding.check, finding.status, finding.seen) == ("listen backlog", status, text or "0")


def test_stamps_here() -> None:
    assert only(doctor._stamps).check == "kernel receive stamps"


def test_stamps_missing(monkeypatch: Patch) -> None:
    monkeypatch.setattr(doctor, "SO_TIMESTAMPNS", socket.SO_KEEPALIVE)  # is accepted, and adds nothing to a message
    finding = only(doctor._stamps)
    assert (finding.status, finding.seen) == ("warn", "none")


@pytest.mark.parametrize(("late_ns", "status"), [(200_000, "ok"), (1_500_000, "warn")])
def test_timer(monkeypatch: Patch, late_ns: int, status: str) -> None:
    now = [0]

    def sleep(seconds: float) -> None:
        now[0] += round(seconds * 1e9) + late_ns

    monkeypatch.setattr(doctor, "time", SimpleNamespace(monotonic_ns=lambda: now[0], sleep=sleep))
    finding = only(doctor._timer)
    assert (finding.check, finding.status) == ("timers", status)
    assert finding.seen == f"a 1 ms sleep is late by {late_ns / 1e6:.2f} ms at p90"


@pytest.mark.parametrize(
    ("text", "status", "seen"),
    [
        ("cpu 50 0 49 0 0 0 0 1 0 0\ncpu0 1 2 3", "ok", "1.00%"),
        ("cpu 50 0 40 0 0 0 0 10 0 0\n", "warn", "10.00%"),
        ("cpu 50 0 40 0", "ok", "0.00%"),
        ("", "ok", "0.00%"),
    ],
)
def test_steal(monkeypatch: Patch, text: str, status: str, seen: str) -> None:
    see(monkeypatch, {"/proc/stat": text})
    finding = only(doctor._steal)
    assert (finding.check, finding.status, finding.seen) == ("steal since boot", status, seen)


@pytest.mark.parametrize(("load", "cores", "status"), [(1.0, 2, "ok"), (1.1, 2, "warn"), (0.6, None, "warn")])
def test_other_load(monkeypatch: Patch, load: float, cores: int | None, status: str) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    finding = only(doctor._load)
    assert (finding.check, finding.status) == ("other load", status)
    assert finding.seen == f"load average {load:.2f} on {cores or 1} cores"


@pytest.mark.parametrize(
    ("library", "compiler", "switch", "status", "seen", "remedy"),
    [
        (Path("/sweep.so"), "/usr/bin/cc", "", "ok", "in C", ""),
        (None, None, "", "warn", "in Python, which costs half as much again", "gcc"),
        (None, "/usr/bin/cc", "", "warn", "in Python, which costs half as much again", "XDG_CACHE_HOME"),
        (None, None, "python", "ok", "in Python, as RTBENCH_INNER_LOOP says", ""),
    ],
)
def test_inner_loop(
    monkeypatch: Patch,
    library: Path | None,
    compiler: str | None,
    switch: str,
    status: str,
    seen: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(inner_loop, "library", lambda: library)
    monkeypatch.setattr(programs, "find", lambda _: compiler)
    monkeypatch.setenv(inner_loop.SWITCH, switch)
    finding = only(doctor._inner_loop)
    assert (finding.status, finding.seen) == (status, seen)
    assert (remedy in finding.remedy) and bool(finding.remedy) == (status == "warn")


@pytest.mark.parametrize(("where", "status"), [("/usr/bin/chromium", "ok"), (None, "warn")])
def test_programs(monkeypatch: Patch, where: str | None, status: str) -> None:
    monkeypatch.setattr(programs, "find", lambda _: where)
    finding = only(doctor._programs)
    assert (finding.check, finding.status, finding.seen) == ("chromium", status, where or "not found")
    assert "apt-get install chromium" in finding.remedy or status == "ok"


def test_a_file_that_is_not_there_reads_as_nothing() -> None:
    assert doctor._read("/proc/no/such/file") == ""


def test_everything_is_examined_here(monkeypatch: Patch) -> None:
    monkeypatch.setattr(doctor, "time", SimpleNamespace(monotonic_ns=lambda: 0, sleep=lambda _: None))
    findings = examine()
    assert len({finding.check for finding in findings}) == len(findings) == len(doctor._CHECKS)
    assert {finding.status for finding in findings} <= {"ok", "warn", "fail"}
    for finding in findings:
        assert json.loads(json.dumps(finding.as_dict())) == {
            "check": finding.check,
            "status": finding.status,
            "seen": finding.seen,
            "remedy": finding.remedy,
        }
