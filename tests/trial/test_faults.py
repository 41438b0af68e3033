"""What [faults] do to the processes of a trial: to whom, at which instants, and what the manifest says of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtbench.records.record import plain
from rtbench.trial import _faults

SECOND = 10**9
MakeGroup = Callable[..., Any]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch, clock: Any) -> list[tuple[int, int, int]]:
    """What is sent to whom, and when: (after, pid, signal). Each process has a child, whose pid is higher by one."""
    sent: list[tuple[int, int, int]] = []
    begin = clock.now
    monkeypatch.setattr(_faults.probes, "tree", lambda pid: [pid, pid + 1])
    monkeypatch.setattr(_faults.os, "kill", lambda pid, number: sent.append((clock.now - begin, pid, number)))
    return sent


GroupWith = Callable[..., Any]


@pytest.fixture
def group_with(make_group: MakeGroup, clock: Any, monkeypatch: pytest.MonkeyPatch) -> GroupWith:
    """`group_with(loads, stop=…, kill=…, starve=…)`: a process group of fakes and its faults, on one fake clock."""
    monkeypatch.setattr(_faults, "time", clock)

    def make(loads: int = 1, **faults: Any) -> Any:
        group = make_group(loads, faults=faults, window_s=10)
        group.server.pid, group.publisher.pid = 100, 200
        for index, load in enumerate(group.loads):
            load.pid = 300 + 10 * index
        return group

    return make


@pytest.mark.parametrize(
    ("what", "pids"),
    [("server", [100, 101]), ("publisher", [200, 201]), ("load", [300, 301, 310, 311])],
)
def test_a_stop_is_of_the_whole_tree_and_as_long_as_planned(
    group_with: GroupWith, clock: Any, signals: list[tuple[int, int, int]], what: str, pids: list[int]
) -> None:
    group = group_with(2, stop=[{"what": what, "at_s": 2, "for_s": 0.7}])
    begin = clock.now
    _faults.plan(group, begin + SECOND)
    group.until(begin + 10 * SECOND)
    assert signals == [
        *((3 * SECOND, pid, signal.SIGSTOP) for pid in pids),
        *((3_700_000_000, pid, signal.SIGCONT) for pid in pids),
    ]
    assert [plain(event) for event in group.events] == [
        {
            "do": "stop",
            "what": what,
            "planned_s": 2,
            "began_ns": begin + 3 * SECOND,
            "ended_ns": begin + 3_700_000_000,
        }
    ]


def test_a_killed_server_is_started_again_after_its_time(group_with: GroupWith, clock: Any) -> None:
    group = group_with(kill=[{"at_s": 1, "for_s": 0.5}])
    first, begin = group.server, clock.now
    _faults.plan(group, begin)
    group.until(begin + SECOND + 1)
    assert first.told[-2:] == [("signal", signal.SIGKILL), "stop"]
    assert (group.server, group.events) == (first, [])
    group.until(begin + 2 * SECOND)
    assert group.server is not first
    assert [plain(event) for event in group.events] == [
        {
            "do": "kill",
            "what": "server",
            "planned_s": 1,
            "began_ns": begin + SECOND,
            "ended_ns": begin + 1_500_000_000,
        }
    ]


def test_a_starver_gets_its_times_in_advance(group_with: GroupWith, clock: Any) -> None:
    row = {"what": "load", "at_s": 1, "for_s": 3, "burn_s": 0.2, "every_s": 0.5}
    group = group_with(starve=[row])
    begin = clock.now
    _faults.plan(group, begin)
    assert group.starver.told == [("burn", begin + SECOND, begin + 4 * SECOND, 0.2, 0.5)]
    assert [plain(event) for event in group.events] == [
        {
            "do": "starve",
            "what": "load",
            "planned_s": 1,
            "began_ns": begin + SECOND,
            "ended_ns": begin + 4 * SECOND,
        }
    ]


def test_several_faults_happen_each_at_its_time(
    group_with: GroupWith, clock: Any, signals: list[tuple[int, int, int]]
) -> None:
    group = group_with(
        stop=[{"what": "load", "at_s": 3, "for_s": 1}, {"what": "publisher", "at_s": 1, "for_s": 5}],
        kill=[{"at_s": 2, "for_s": 0.5}],
    )
    begin = clock.now
    _faults.plan(group, begin)
    group.until(begin + 9 * SECOND)
    assert [(event.do, event.what, event.ended_ns - begin) for event in group.events] == [
        ("kill", "server", 2_500_000_000),
        ("stop", "load", 4 * SECOND),
        ("stop", "publisher", 6 * SECOND),
    ]


def test_nothing_is_sent_to_a_server_that_was_killed_meanwhile(
    group_with: GroupWith, clock: Any, signals: list[tuple[int, int, int]]
) -> None:
    """Its pid may be another process's by then."""
    group = group_with(stop=[{"at_s": 1, "for_s": 2}], kill=[{"at_s": 2, "for_s": 3}])
    first, begin = group.server, clock.now
    _faults.plan(group, begin)
    group.at(begin + 2 * SECOND, lambda: setattr(first, "code", -9))
    group.until(begin + 9 * SECOND)
    assert {number for _, _, number in signals} == {signal.SIGSTOP}
    assert [event.do for event in group.events] == ["stop", "kill"]


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child, both waiting for the end of their input."""
    script = (
        "import subprocess, sys; c = subprocess.Popen(['cat'], stdin=sys.stdin); print(c.pid, flush=True); c.wait()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGCONT)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_signals_reach_real_processes_and_their_children(make_group: MakeGroup, family: tuple[int, int]) -> None:
    group = make_group()
    group.server.pid = family[0]
    _faults._signal([group.server], signal.SIGSTOP)
    for pid in family:
        while state_of(pid) != "T":  # the signal is sent; the kernel stops it when it next looks
            pass
    _faults._signal([group.server], signal.SIGCONT)
    assert [state_of(pid) for pid in family] != ["T", "T"]


def test_a_child_that_exited_meanwhile_is_ignored(make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr(_faults.probes, "tree", lambda pid: [gone.pid])
    _faults._signal([make_group().server], signal.SIGCONT)


# Whole trials


@pytest.mark.slow
def test_stops_are_in_the_manifest_with_their_real_times_and_the_trial_goes_on(measure: Callable[..., Any]) -> None:
    whole = measure(
        "sse-aiohttp",
        window_s=1.5,
        grace_s=1,
        faults={
            "stop": [
                {"what": "server", "at_s": 0.2, "for_s": 0.3},
                {"what": "publisher", "at_s": 0.8, "for_s": 0.3},
            ],
        },
    )
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    assert whole.alive == []
    start, _ = whole.window
    server, publisher = manifest["events"]
    assert [(event["do"], event["what"]) for event in manifest["events"]] == [("stop", "server"), ("stop", "publisher")]
    for event, at_s in ((server, 0.2), (publisher, 0.8)):
        assert event["planned_s"] == at_s
        assert event["began_ns"] >= start + at_s * SECOND
        assert event["ended_ns"] - event["began_ns"] >= 0.3 * SECOND
    # Everything still arrives; what was due while the server stood still could not arrive before it went on.
    assert (manifest["counts"]["expected"], manifest["counts"]["lost"]) == (375, 0)
    ticks, deliveries = whole.table("ticks"), whole.table("deliveries")
    due = dict(zip(ticks["seq"].tolist(), ticks["due_ns"].tolist(), strict=True))
    sent = dict(zip(ticks["seq"].tolist(), ticks["sent_ns"].tolist(), strict=True))
    stopped_ns = [(event["began_ns"], event["began_ns"] + 3 * SECOND // 10) for event in (server, publisher)]
    (began, goes_on), (paused, plays_on) = stopped_ns  # no signal to go on is sent earlier; it is noted afterwards
    stood = [seq for seq, at in due.items() if began + 1_000_000 <= at < goes_on]
    assert len(stood) >= 13  # 0.3 s at 50 a second, less one period at each end
    arrived = deliveries["app_ns"][np.isin(deliveries["seq"], stood)]
    assert len(arrived) == 5 * len(stood)
    assert arrived.min() >= goes_on
    # What was due while the publisher stood still is late by its part alone.
    held = [seq for seq, at in due.items() if paused + 1_000_000 <= at < plays_on]
    assert len(held) >= 13
    assert min(sent[seq] for seq in held) >= plays_on
    assert manifest["steadiness"] == {}  # nobody asks a trial that was disturbed on purpose


@pytest.mark.slow
def test_a_server_that_is_killed_is_started_again_and_its_subscribers_come_back(
    measure: Callable[..., Any], everyone_back: Callable[..., None]
) -> None:
    """Every client comes back with its cursor, and the new server has been refilled: nobody has a gap."""
    whole = measure(
        "sse-aiohttp",
        look=everyone_back,
        window_s=1,
        grace_s=1,
        faults={"kill": [{"what": "server", "at_s": 0.2, "for_s": 0.1}]},
    )
    manifest = whole.manifest
    assert manifest["status"] == "ok", manifest["reasons"]
    (event,) = manifest["events"]
    assert (event["do"], event["what"], event["planned_s"]) == ("kill", "server", 0.2)
    assert event["began_ns"] >= whole.window[0] + 0.2 * SECOND
    assert event["ended_ns"] - event["began_ns"] >= 0.1 * SECOND
    servers = [process for process in whole.children.all if process.name == "server"]
    assert len(servers) == 2
    assert servers[0].exited() == -signal.SIGKILL
    assert [warning["kind"] for warning in manifest["warnings"]] == ["reconnections"]
    assert manifest["counts"]["connections"] >= 10
    deliveries = whole.table("deliveries")
    for subscriber in range(5):
        seen = deliveries["seq"][deliveries["subscriber"] == subscriber].tolist()
        assert seen == list(range(seen[0], seen[0] + len(seen)))
    table = manifest["processes"]["server"]
    assert table["cpu_ns_at_end"] > table["cpu_ns_at_start"]  # the second one's is counted on
    assert whole.alive == []


@pytest.mark.slow
@pytest.mark.root
def test_a_starved_load_generator_is_invalid_and_nothing_is_lost(measure: Callable[..., Any]) -> None:
    """The starver goes before every ordinary process of its core, and its timers keep the load process wanting it."""
    hurry = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    if subprocess.run([sys.executable, "-c", hurry], capture_output=True, check=False).returncode:
        pytest.skip("who may not run before others (SCHED_FIFO) cannot starve anybody for sure")
    row = {"what": "load", "at_s": 0, "for_s": 3, "burn_s": 0.08, "every_s": 0.1}
    whole = measure("sse-aiohttp", {"run_delay_share": 0.3, "moved_share": 0.1}, window_s=3, faults={"starve": [row]})
    manifest = whole.manifest
    assert manifest["status"] == "invalid"
    # Half a millisecond of latency is moved by little: on a busy machine the server's waiting may be a reason, too.
    reasons = {reason["kind"]: reason for reason in manifest["reasons"]}
    assert reasons.keys() - {"server kept from its core"} == {"load generator kept from its core"}
    reason = reasons["load generator kept from its core"]
    assert "latency_app_*" in reason["metrics"]
    assert "latency_kernel_*" not in reason["metrics"]
    (event,) = manifest["events"]
    assert (event["do"], event["what"]) == ("starve", "load")
    assert (event["began_ns"], event["ended_ns"]) == whole.window
    assert manifest["faults"]["starve"] == [row]
    assert (manifest["counts"]["expected"], manifest["counts"]["lost"]) == (750, 0)
    assert len(whole.children.all) == 4
    assert whole.alive == []
