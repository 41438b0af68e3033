"""The doctor: every check says ok, warn or fail from what it sees, with a remedy whenever it is not ok."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtbench import programs
from rtbench.machine import doctor, inner_loop, topology, tuning
from rtbench.machine.doctor import Condition, examine
from rtbench.machine.topology import Cpu, Topology
from rtbench.machine.tuning import Advice

Patch = pytest.MonkeyPatch


def see(monkeypatch: Patch, files: dict[str, str]) -> None:
    """Let the checks read these files and no others."""
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))


FOUR = Topology(tuple(Cpu(n, n) for n in range(4)), (0, 1, 2, 3))
HYPERTHREADS = Topology((Cpu(0, 0), Cpu(1, 0)), (0, 1))
HYBRID = Topology(tuple(Cpu(n, n, kind=n // 2) for n in range(4)), (0, 1, 2, 3))


def on(monkeypatch: Patch, machine: Topology) -> None:
    """Let the checks run on this machine."""
    monkeypatch.setattr(topology, "read", lambda: machine)


def only(check: Callable[[], object]) -> Condition:
    (finding,) = list(check())  # type: ignore[call-overload]
    assert isinstance(finding, Condition)
    assert (finding.status == "ok") is (finding.remedy == "")
    return finding


@pytest.mark.parametrize(
    ("cores", "status", "seen"),
    [
        ({0}, "warn", "1: server and load generator share it"),
        ({0, 1}, "ok", "2: one for the server alone"),
        ({4, 5, 6}, "ok", "3: one for the server alone"),
    ],
)
def test_cores(monkeypatch: Patch, cores: set[int], status: str, seen: str) -> None:
    on(monkeypatch, Topology(tuple(Cpu(n, n) for n in sorted(cores)), tuple(sorted(cores))))
    finding = only(doctor._cores)
    assert (finding.check, finding.status, finding.seen) == ("cores", status, seen)


def test_two_threads_are_one_core(monkeypatch: Patch) -> None:
    on(monkeypatch, HYPERTHREADS)
    assert only(doctor._cores).seen == "1: server and load generator share it"


@pytest.mark.parametrize(
    ("check", "machine", "status", "seen", "remedy"),
    [
        (doctor._placement, FOUR, "ok", "server on 0, load on 2-3, publisher on 1", ""),
        (
            doctor._placement,
            Topology(FOUR.cpus[:2], (0, 1)),
            "warn",
            "server on 0, load on 1, publisher on 1: load and publisher share a core (the same cpu)",
            "measure on a machine with three physical cores",
        ),
        (doctor._quota, FOUR, "ok", "none", ""),
        (doctor._quota, replace(FOUR, quota=3.5), "ok", "3.5 cpus", ""),
        (
            doctor._quota,
            replace(FOUR, quota=1.0),
            "warn",
            "the cgroup's quota is 1 cpu; server and load can use 2",
            "raise the quota (cpu.max; `docker run --cpus`)",
        ),
        (doctor._types, FOUR, "ok", "one", ""),
        (doctor._types, HYBRID, "ok", "2 and 2 cores, the fastest first", ""),
        (
            doctor._types,
            replace(HYBRID, allowed=(0, 2)),
            "warn",
            "1 and 1 cores, the fastest first: server and load are on two types",
            "let rtbench use two cores of one type (taskset, cpuset)",
        ),
    ],
)
def test_where_processes_would_run(
    monkeypatch: Patch, check: Callable[[], object], machine: Topology, status: str, seen: str, remedy: str
) -> None:
    on(monkeypatch, machine)
    finding = only(check)
    assert (finding.status, finding.seen, finding.remedy) == (status, seen, remedy)


def test_settings_are_conditions(monkeypatch: Patch) -> None:
    monkeypatch.setattr(tuning, "advise", lambda *_: iter([Advice("turbo", "off"), Advice("power", "low", "plug in")]))
    assert list(doctor._tuning()) == [Condition("turbo", "ok", "off"), Condition("power", "warn", "low", "plug in")]


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
    assert finding.seen == f"a 1 ms sleep ends {late_ns / 1e6:.2f} ms late at p90"


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
        (None, None, "", "warn", "in Python: it uses half as much CPU again", "gcc"),
        (None, "/usr/bin/cc", "", "warn", "in Python: it uses half as much CPU again", "XDG_CACHE_HOME"),
        (None, None, "python", "ok", "in Python, set by RTBENCH_INNER_LOOP", ""),
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
    # Every check has one condition, and the one of the settings one for each.
    expected = len(doctor._CHECKS) - 1 + len(tuning.ADVICE)
    assert len({finding.check for finding in findings}) == len(findings) == expected
    assert {finding.status for finding in findings} <= {"ok", "warn", "fail"}
    for finding in findings:
        assert json.loads(json.dumps(finding.as_dict())) == {
            "check": finding.check,
            "status": finding.status,
            "seen": finding.seen,
            "remedy": finding.remedy,
        }
