"""What PSI counts of a cgroup is read for whole trees only, and the cgroup is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtbench.machine import pressure, probes
from rtbench.machine.pressure import Pressure

WORKS = "import time\nends = time.monotonic() + 0.5\nwhile time.monotonic() < ends: pass\n"
TWO = f"""
import os, subprocess, sys
sys.stdin.readline()
others = [subprocess.Popen([sys.executable, "-c", {WORKS!r}]) for _ in range(2)]
[one.wait() for one in others]
print("done", flush=True)
sys.stdin.readline()
"""


@contextmanager
def running(core: int) -> Iterator[subprocess.Popen[str]]:
    """A program whose two processes share a core once it is told to begin."""
    command = ["taskset", "-c", str(core), sys.executable, "-c", TWO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of a cgroup."""
    monkeypatch.setattr(pressure, "_own", lambda: tmp_path)
    return tmp_path


def test_the_time_is_that_of_full_pressure_of_a_whole_tree(parent: Path) -> None:
    with Pressure((0,)) as found:
        (group,) = parent.iterdir()
        found.watch(os.getpid())
        assert int((group / "cgroup.procs").read_text()) in probes.tree(os.getpid())
        (group / "cgroup.procs").write_text("\n".join(map(str, probes.tree(os.getpid()))))
        (group / "cpu.pressure").write_text("some avg10=0.00 total=900\nfull avg10=0.00 avg60=0.00 total=1234\n")
        assert found.kept_ns([os.getpid()]) == 1_234_000
        assert found.kept_ns([os.getpid(), 1]) == -1  # not all are in it
        (group / "cpu.pressure").write_text("some avg10=0.00 total=900\n")  # a kernel before 5.13
        assert found.kept_ns([os.getpid()]) == -1
        for file in group.iterdir():
            file.unlink()  # as a cgroup's, which are no obstacle
    assert list(parent.iterdir()) == []


def test_what_a_killed_owner_left_is_removed(parent: Path) -> None:
    left, other = parent / "rtbench-999999999-a", parent / "mine"
    left.mkdir()
    other.mkdir()
    with Pressure((0,)):
        assert not left.exists() and other.exists()


@pytest.mark.parametrize("cores", [(), (0, 1)])
def test_of_several_cores_nothing_is_known(parent: Path, cores: tuple[int, ...]) -> None:
    with Pressure(cores) as found:
        found.watch(os.getpid())
        assert found.kept_ns([os.getpid()]) == -1
    assert list(parent.iterdir()) == []


def test_where_no_cgroup_can_be_made_nothing_is_known(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with Pressure((0,)) as found:
        assert found.kept_ns([os.getpid()]) == -1


@pytest.mark.root
def test_a_programs_own_turns_are_not_in_it_and_those_of_others_are() -> None:
    core = min(os.sched_getaffinity(0))
    if pressure._own() is None or not Path("/proc/pressure").exists():
        pytest.skip("the kernel has no cgroup v2 with PSI in which a cgroup can be made")
    with Pressure((core,)) as found, running(core) as program:
        assert found.kept_ns([program.pid]) == -1
        found.watch(program.pid)
        assert (began := found.kept_ns([program.pid])) >= 0
        with running(core) as other:  # two beside two
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            told(program)
            assert found.kept_ns([program.pid]) > began
    assert not list((pressure._own() or Path("/nowhere")).glob(f"rtbench-{os.getpid()}-*"))
