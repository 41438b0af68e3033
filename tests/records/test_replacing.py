"""How a file gets into a results folder: at every cut it is absent, old or new; a killed writer leaves nothing."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rtbench.errors import ResultsError
from rtbench.records import replacing
from rtbench.records.replacing import create, discard, sync, unwritable, write


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Disk:
    """Stops the writer after so many of its calls to the system, as a power loss would; remembers what is durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
        self.calls: list[str] = []
        self.durable: dict[str, bytes] = {}
        self._cut = cut
        fsync, rename = os.fsync, os.rename

        def synced(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self._call(f"fsync {'folder' if path.is_dir() else 'file'}")
            fsync(descriptor)
            if path.is_file():
                self.durable[path.name] = path.read_bytes()

        def renamed(source: Path, target: Path) -> None:
            self._call("rename")
            rename(source, target)
            self.durable[target.name] = self.durable.get(source.name, b"")  # lost, if it was never forced to the disk

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "rename", renamed)

    def _call(self, name: str) -> None:
        if len(self.calls) == self._cut:
            raise KeyboardInterrupt
        self.calls.append(name)


@pytest.mark.parametrize("before", [b"", b"old"])
@pytest.mark.parametrize("cut", range(4))
def test_at_every_cut_a_file_is_absent_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, before: bytes
) -> None:
    path = tmp_path / "campaign.json"
    if before:
        write(path, before)
    disk = Disk(monkeypatch, cut)
    if before:
        disk.durable[path.name] = before
    try:
        write(path, "new")
    except KeyboardInterrupt:
        assert cut < 3
    assert disk.calls == ["fsync file", "rename", "fsync folder"][:cut]
    assert disk.durable.get(path.name, b"") == (b"new" if cut > 1 else before)
    assert left_in(tmp_path) == ([path.name] if cut > 1 or before else [])


def test_a_file_is_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "file", b"\xff")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert (tmp_path / "file").read_bytes() == b"\xff"


KILLED = """
import os, signal, sys
from pathlib import Path
from rtbench.records.replacing import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    write(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(left_in(tmp_path)) == 2
    write(tmp_path / "other.json", "")
    assert len(left_in(tmp_path)) == 3
    write(path, "new")
    assert left_in(tmp_path) == ["campaign.json", "other.json"]


def test_only_what_ended_writers_left_is_removed(tmp_path: Path) -> None:
    gone = 2**22 + 1  # above the largest process id of Linux
    mine = [f".a.json.{os.getpid()}.part", ".a.json.x.part", ".gitignore", "a.part", ".part"]
    for name in (*mine, f".a.json.{gone}.part", f".b.1.{gone}.part"):
        (tmp_path / name).touch()
    discard(tmp_path, "a.json")
    assert left_in(tmp_path) == sorted([*mine, f".b.1.{gone}.part"])
    discard(tmp_path)
    assert left_in(tmp_path) == sorted(mine)


def test_a_temporary_name_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".a.json.{os.getpid()}.part").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "a.json", "theirs")
    assert (tmp_path / "mine").read_text() == "mine"


def test_folders_are_made_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(replacing, "sync", synced.append)
    create(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert set(synced) == {tmp_path, tmp_path / "a"}
    create(tmp_path / "a" / "b")
    assert len(synced) == 2


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_force_a_folder_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    if passes:
        sync(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output error"):
            sync(tmp_path)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free the disk"),
        (errno.EROFS, "make it writable"),
        (errno.EFBIG, "raise the limit of a file's size (ulimit -f)"),
        (errno.EMFILE, "raise the limit of descriptors (ulimit -n)"),
        (errno.EIO, "correct that"),
    ],
)
def test_the_remedy_is_of_the_error(number: int, remedy: str) -> None:
    error = unwritable(Path("out"), OSError(number, os.strerror(number)))
    assert isinstance(error, ResultsError)
    assert error.message == f"cannot write into out ({os.strerror(number)})"
    assert error.remedy == f"{remedy}; finished trials are kept, continue with --resume"
    assert unwritable(Path("x"), OSError(number, ""), "").remedy == remedy


def test_a_device_or_a_pipe_is_refused_and_stays(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="is not a file"):
        write(pipe, "text")
    assert pipe.is_fifo() and left_in(tmp_path) == ["pipe"]
