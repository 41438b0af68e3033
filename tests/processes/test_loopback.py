"""The loopback bench: what it leaves on the machine, and what it answers. Its figures are the machine's: no speeds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtbench.errors import SubjectError
from rtbench.messages.loopback import Measure, State
from rtbench.processes import _loopback
from rtbench.processes.loopback import LoopbackBench

STEERING = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
ALL: tuple[State, ...] = ("off", "on", "interrupted", "late-off", "late-on", "dropped")


@pytest.fixture
def cores() -> tuple[int, int]:
    sender, *others = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("the receiver needs a core of its own")
    return sender, others[0]


@pytest.mark.slow
@pytest.mark.root
def test_every_state_is_measured_and_the_machines_own_lo_is_not_touched(
    namespaces: None, tmp_path: Path, cores: tuple[int, int]
) -> None:
    before = STEERING.read_text()
    with LoopbackBench(cores[0], tmp_path / "log") as bench:
        answer = bench.measure(Measure(cores[1], 20, 2, 0.05, ALL))
        assert STEERING.read_text() == before
    assert answer.why_not == ""
    assert [set(row) for row in answer.rounds] == [set(ALL)] * 2
    bursts = [burst for row in answer.rounds for burst in row.values()]
    assert all(burst.sender_ns > 0 and burst.receiver_ns > 0 for burst in bursts)
    assert STEERING.read_text() == before


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(namespaces: None, tmp_path: Path, cores: tuple[int, int], number: int) -> None:
    before = STEERING.read_text()
    bench = LoopbackBench(cores[0], tmp_path / "log")
    bench.send(Measure(cores[1], 5, 1000, 0.05, ("on",)))
    children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
    deadline = time.monotonic() + 10
    while not (receiver := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.01)
    bench.kill(number)
    with pytest.raises(SubjectError, match="the loopback bench ended early"):
        bench.line(10)
    bench.stop()
    while any(Path(f"/proc/{pid}").exists() for pid in receiver) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{receiver[0]}").exists()
    assert STEERING.read_text() == before


@pytest.mark.slow
def test_where_nothing_can_be_steered_it_says_why_and_measures_the_rest(tmp_path: Path, cores: tuple[int, int]) -> None:
    with LoopbackBench(cores[0], tmp_path / "log") as bench:
        answer = bench.measure(Measure(cores[0], 20, 2, 0.05, ("off", "on", "dropped")))
    assert answer.why_not == "sender and receiver share one core"
    assert [set(row) for row in answer.rounds] == [{"off", "dropped"}] * 2


@pytest.mark.parametrize(
    ("before", "unshared", "after"), [(True, -1, True), (False, 0, True), (False, 0, False), (False, -1, False)]
)
def test_a_filter_takes_a_user_namespace_where_the_kernel_wants_one(
    monkeypatch: pytest.MonkeyPatch, before: bool, unshared: int, after: bool
) -> None:
    answers, done = [before, after], []
    libc = SimpleNamespace(unshare=lambda flags: done.append(flags) or unshared)
    monkeypatch.setattr(_loopback, "_takes_filter", lambda: answers.pop(0))
    monkeypatch.setattr(_loopback.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(_loopback, "_bring_up", lambda: done.append("up"))
    assert _loopback._filtering() is after
    asked = [] if before else [0x50000000]
    assert done == asked + ["up"] * (not before and unshared == 0)


def test_an_ordinary_user_gets_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _loopback._steering(alone=True) == "receive packet steering needs root"
    assert _loopback._steering(alone=False) == "sender and receiver share one core"


@pytest.mark.parametrize(
    ("core", "written"),
    [
        (None, "00000000"),
        (0, "00000001"),
        (31, "80000000"),
        (33, "00000002,00000000"),
        (64, "00000001,00000000,00000000"),
    ],
)
def test_a_core_is_written_as_the_kernel_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, core: int | None, written: str
) -> None:
    monkeypatch.setattr(_loopback, "_RPS", tmp_path / "rps_cpus")
    _loopback._steer(core)
    assert (tmp_path / "rps_cpus").read_text() == written
