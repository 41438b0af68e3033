"""A folder for sockets and configurations while processes run: in TMPDIR, mode 0700.

Invariant: it is removed when its block ends. What a killed owner left is removed by the next one of the same user: a
living owner holds a lock (flock) on its folder, and the kernel releases it however the owner ends. Called by the trial,
`rtbench verify` and `rtbench serve`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtbench.records.replacing import unwritable

PREFIX = "rtbench."


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder. Raises UserError when it cannot be made."""
    try:
        holder = Path(tempfile.gettempdir())
        sweep(holder)
        folder, lock = _locked(holder)
    except OSError as error:
        raise unwritable(Path(error.filename or tempfile.tempdir or "/tmp"), error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(holder: Path) -> None:
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
        with contextlib.suppress(FileNotFoundError):  # another owner swept it before the lock
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
