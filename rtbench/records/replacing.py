"""How a file gets into a results folder: whole, and to stay, or not at all.

A file is written under a temporary name beside its own, forced to the disk (fsync), renamed, and its folder is forced
to the disk. Invariant: at every instant, also after SIGKILL or a power loss, a name holds nothing, its old content, or
its new content; once the block is left, the new content survives a power loss. What an ended writer left under its
temporary name is removed by the next writer of that name. Called by everything that writes into a results folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from rtbench.errors import ResultsError

PART = ".part"
"""The end of a temporary name, `.NAME.PID.part`."""

KEPT = "; finished trials are kept, continue with --resume"
"""What a campaign adds to a remedy."""

_REMEDIES = {
    errno.ENOSPC: "free the disk",
    errno.EDQUOT: "free the disk, or raise the quota",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EMFILE: "raise the limit of descriptors (ulimit -n)",
    errno.ENFILE: "raise the system's limit of descriptors (sysctl fs.file-max)",
}
"""What the user can do about an error of the system."""


def unwritable(path: Path, error: OSError, then: str = KEPT) -> ResultsError:
    """The user's error for a write to `path` that failed. `then`: the end of its remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "correct that")
    return ResultsError(f"cannot write into {path} ({error.strerror or error})", remedy + then)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends well, and is removed when it does not.

    OSError passes through: a full disk, or a name that is a device or a pipe. As root, a rename would put a file in
    place of /dev/null for the whole machine, and a pipe would make the writer wait.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EEXIST, "exists and is not a file", str(path))
    discard(path.parent, path.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # whatever the umask is
        yield temporary
        os.fsync(descriptor)  # the same file, whichever descriptor has written it
        temporary.rename(path)
        sync(path.parent)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, data: str | bytes) -> None:
    """Replace the content of `path`; text becomes UTF-8. OSError passes through."""
    with replacing(path) as temporary:
        temporary.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))


def create(folder: Path) -> None:
    """Make `folder` and what is missing above it, to stay. OSError passes through."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk. OSError passes through."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot do it to a folder
            raise
    finally:
        os.close(descriptor)


def discard(folder: Path, name: str = "") -> None:
    """Remove what ended writers left in `folder` under temporary names; with `name`: only of that file."""
    with os.scandir(folder) as entries:
        parts = [entry.name for entry in entries if entry.name.startswith(f".{name}") and entry.name.endswith(PART)]
    for part in parts:
        target, _, pid = part[1 : -len(PART)].rpartition(".")
        if (target == name or not name) and pid.isdecimal() and not Path("/proc", pid).exists():
            (folder / part).unlink(missing_ok=True)
