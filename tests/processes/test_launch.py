"""What a child becomes before its command runs: pinned, tied to its parent, with all the descriptors it may have."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.processes import _launch


class _Became(Exception):
    """exec(3) does not return."""


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What was asked of the kernel; this process keeps its cores, its limits and its life."""
    asked: list[object] = []

    def become(file: str, command: list[str]) -> None:
        asked.append(("exec", file, command))
        raise _Became

    monkeypatch.setattr(os, "execvp", become)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: asked.append(("cores", pid, cores)))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append(("limit", kind, limits)))
    monkeypatch.setattr(_launch, "_PR_SET_PDEATHSIG", 3)  # PR_GET_DUMPABLE: asks, changes nothing
    monkeypatch.setenv("PATH", "/usr/bin")
    yield asked


def _launch_with(monkeypatch: pytest.MonkeyPatch, parent: int, cores: str, network: str = "-") -> None:
    monkeypatch.setattr(sys, "argv", ["_launch", str(parent), cores, network, "true", "--flag"])
    with pytest.raises(_Became):
        _launch.main()


def test_it_is_pinned_and_has_the_hard_limit(monkeypatch: pytest.MonkeyPatch, ours: list[object]) -> None:
    _launch_with(monkeypatch, os.getppid(), "0,1")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert ours == [
        ("cores", 0, {0, 1}),
        ("limit", resource.RLIMIT_NOFILE, (hard, hard)),
        ("exec", "true", ["true", "--flag"]),
    ]
    assert os.environ["PATH"] == "/usr/bin:/usr/local/sbin:/usr/sbin:/sbin"


def test_a_dash_is_wherever_it_is(monkeypatch: pytest.MonkeyPatch, ours: list[object]) -> None:
    _launch_with(monkeypatch, os.getppid(), "-")
    assert not any(item[0] == "cores" for item in ours if isinstance(item, tuple))


def test_a_parent_that_left_before_takes_it_along(monkeypatch: pytest.MonkeyPatch, ours: list[object]) -> None:
    monkeypatch.setattr(sys, "argv", ["_launch", str(os.getppid() + 1), "0", "-", "true"])
    with pytest.raises(SystemExit, match="1"):
        _launch.main()
    assert ours == []


class _Libc:
    """A C library that notes what namespace it is asked to enter."""

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.entered: list[tuple[str, int]] = []

    def prctl(self, *_: int) -> int:
        return 0

    def setns(self, descriptor: int, kind: int) -> int:
        self.entered.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), kind))
        return self.answer


def test_it_enters_the_namespace_at_a_path(monkeypatch: pytest.MonkeyPatch, ours: list[object], tmp_path: Path) -> None:
    libc = _Libc(0)
    monkeypatch.setattr(_launch.ctypes, "CDLL", lambda *_, **__: libc)
    (tmp_path / "net").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    _launch_with(monkeypatch, os.getppid(), "-", str(tmp_path / "net"))
    assert libc.entered == [(str(tmp_path / "net"), 0x40000000)]  # CLONE_NEWNET
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert ours[-1] == ("exec", "true", ["true", "--flag"])


def test_a_namespace_that_may_not_be_entered_is_named(
    monkeypatch: pytest.MonkeyPatch, ours: list[object], tmp_path: Path
) -> None:
    monkeypatch.setattr(_launch.ctypes, "CDLL", lambda *_, **__: _Libc(-1))
    monkeypatch.setattr(_launch.ctypes, "get_errno", lambda: 1)
    (tmp_path / "net").touch()
    monkeypatch.setattr(sys, "argv", ["_launch", str(os.getppid()), "-", str(tmp_path / "net"), "true"])
    with pytest.raises(SystemExit, match=r"cannot enter .*/net: Operation not permitted"):
        _launch.main()
    assert ours == []
