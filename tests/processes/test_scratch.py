"""The folder of a trial's sockets: private, removed at the end, and by the next owner when its own was killed."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rtbench.errors import ResultsError
from rtbench.processes.scratch import PREFIX, scratch, sweep


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_gone_afterwards(temporary: Path) -> None:
    with scratch() as folder:
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "program").mkdir()
        (folder / "program" / "file").touch()
    assert list(temporary.iterdir()) == []


def test_living_owners_keep_theirs(temporary: Path) -> None:
    with scratch() as mine, scratch() as yours:
        sweep(temporary)
        assert sorted(temporary.iterdir()) == sorted([mine, yours])


KILLED = """
import os, signal
from rtbench.processes.scratch import scratch
with scratch() as folder:
    (folder / "socket").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_owner_left_is_removed_by_the_next(temporary: Path) -> None:
    others = [temporary / f"{PREFIX}file", temporary / "rtbench-other"]
    others[0].touch()
    others[1].mkdir()
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(temporary.iterdir())) == 3
    with scratch() as folder:
        assert sorted(temporary.iterdir()) == sorted([folder, *others])


def test_a_folder_that_cannot_be_made_is_a_user_error(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with pytest.raises(ResultsError, match=r"cannot write into .*missing \(No such file or directory\)"), scratch():
        raise AssertionError
