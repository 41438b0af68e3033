"""The folder of a trial's sockets: private, removed at the end, and by the next owner when its own was killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rtbench.errors import ResultsError
from rtbench.processes import scratch as scratch_module
from rtbench.processes.scratch import PREFIX, clear, scratch

PATIENCE_S = 60


pytestmark = pytest.mark.usefixtures("temporary")


def test_a_folder_is_private_and_gone_afterwards(temporary: Path) -> None:
    with scratch() as folder:
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "program").mkdir()
        (folder / "program" / "file").touch()
    assert list(temporary.iterdir()) == []


def test_living_owners_keep_theirs(temporary: Path) -> None:
    with scratch() as mine, scratch() as yours:
        clear(temporary)
        assert sorted(temporary.iterdir()) == sorted([mine, yours])


def test_what_an_owner_left_whose_cleaner_was_killed_too_is_removed_by_the_next(temporary: Path) -> None:
    others = [temporary / f"{PREFIX}file", temporary / "rtbench-other"]
    others[0].touch()
    others[1].mkdir()
    (temporary / f"{PREFIX}left" / "program").mkdir(parents=True)
    with scratch() as folder:
        assert sorted(temporary.iterdir()) == sorted([folder, *others])


KILLED = """
import sys
from pathlib import Path
from rtbench.processes.process import Process
from rtbench.processes.scratch import scratch
with scratch() as folder:
    (folder / "socket").touch()
    # A program whose child the kernel does not end with it.
    words = ["sh", "-c", "sleep 600 & echo $!; wait"]
    program = Process(words, (), folder / "log")
    print(program.line(60), flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_the_cleaner_of_a_killed_owner_ends_and_removes_everything(temporary: Path) -> None:
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": ":".join(sys.path), "PATH": os.environ["PATH"]}
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with owner:
        assert owner.stdout is not None
        grandchild = os.pidfd_open(int(owner.stdout.readline()))
        (cleaner,) = [pid for pid in children(owner.pid) if b"_cleaner.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        cleaner_ends = os.pidfd_open(cleaner)
        owner.kill()
    for descriptor in (grandchild, cleaner_ends):
        assert select.select([descriptor], [], [], PATIENCE_S)[0]
        os.close(descriptor)
    assert list(temporary.iterdir()) == []


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_cleaner_does_no_harm(temporary: Path) -> None:
    before = set(children(os.getpid()))
    with scratch():
        (pid,) = set(children(os.getpid())) - before
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        scratch_module.clean_up(os.getpid())
    assert list(temporary.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_user_error(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with pytest.raises(ResultsError, match=r"cannot write into .*missing \(No such file or directory\)"), scratch():
        raise AssertionError


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_a_user_error(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest that is let through takes the longest socket; one byte more is one line."""
    longest = temporary / ("x" * (73 - len(str(temporary))))
    longest.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(longest))
    with scratch() as folder, socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "load-10000.sock"))
    monkeypatch.setattr(tempfile, "tempdir", f"{longest}x")
    with pytest.raises(ResultsError, match=r"x: too long for the path of a socket.*TMPDIR"), scratch():
        raise AssertionError
