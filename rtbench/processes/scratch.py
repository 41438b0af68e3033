"""A folder for sockets and configurations while processes run: in TMPDIR, mode 0700.

Invariant: it is removed when its block ends. If its owner is killed, a cleaner (`_cleaner.py`) removes it and ends the
process groups that were started meanwhile. If the cleaner is killed, too, the next owner of the same user removes it: a
living owner holds a lock (flock) on its folder, and the kernel releases it however the owner ends. Called by the trial,
`rtbench verify` and `rtbench serve`; `Process` names its group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtbench.errors import ResultsError
from rtbench.records.replacing import unwritable

PREFIX = "rtbench."
_LONGEST = 74
"""The longest path of the folder for temporary files, bytes: a socket's path has 107 at most (`sun_path`, unix(7)), of
which its own name takes 17 and `/load-10000.sock` 16."""
_CLEANER_S = 2.0
"""How long a cleaner may take to exit."""
_cleaners: list[int] = []
"""The pipes to the cleaners of the open blocks, the innermost last."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder. Raises ResultsError when it cannot be made, or when a path in it would be too long for a socket."""
    with contextlib.ExitStack() as stack:
        try:
            holder = Path(tempfile.gettempdir())
            if len(os.fsencode(holder)) > _LONGEST:
                raise ResultsError(f"{holder}: too long for the path of a socket", "set TMPDIR to a short one, as /tmp")
            clear(holder)
            folder, lock = _locked(holder)
            stack.callback(os.close, lock)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(_watched(folder))
        except OSError as error:
            raise unwritable(Path(error.filename or tempfile.tempdir or "/tmp"), error) from error  # noqa: S108 - a message's name
        yield folder


def clean_up(group: int) -> None:
    """Have the cleaner of the innermost block, if there is one, end this process group when the owner is killed."""
    if _cleaners:
        with contextlib.suppress(OSError):  # the cleaner was killed
            os.write(_cleaners[-1], f"{group}\n".encode())


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[None]:
    """A cleaner beside this process."""
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("_cleaner.py")), str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdin is not None
    pipe = process.stdin.fileno()
    _cleaners.append(pipe)
    try:
        yield
    finally:
        _cleaners.remove(pipe)
        with contextlib.suppress(OSError):
            os.write(pipe, b"done\n")
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_CLEANER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clear(holder: Path) -> None:
    """Remove the folders in `holder` that this user's ended processes left."""
    with os.scandir(holder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
    for name in names:
        with contextlib.suppress(OSError):  # another user's, a file, or its owner lives
            descriptor = os.open(holder / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(holder / name, ignore_errors=True)
            finally:
                os.close(descriptor)


def _locked(holder: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=holder))
        with contextlib.suppress(FileNotFoundError):  # another owner cleared it before the lock
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
