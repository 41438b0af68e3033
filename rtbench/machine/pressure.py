"""How long a program was kept from its core by others: the kernel's account of a cgroup of its own (PSI).

`full` in a cgroup's cpu.pressure is the time in which threads of it were ready and none of them ran (the kernel's
Documentation/accounting/psi.rst). Threads that wait for each other, as those of Go and Node do, are not in it.
Invariant: the cgroup has no controller, so it changes no scheduling, and it goes with its owner. It takes a cgroup v2
that this user may write to, as root may; everywhere else the time is not known. Called by the trial.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from rtbench.machine import probes
from rtbench.machine.topology import Cores

_PREFIX = "rtbench-"
_EMPTIES_S = 2.0
"""The time that the kernel has to take the last process out of a cgroup."""


def _own() -> Path | None:
    """The cgroup v2 of this process; None without one, or where it gives its children controllers."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
        mounted = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        group = mounted / path.lstrip("/")
        return None if (group / "cgroup.subtree_control").read_text().split() else group
    return None


class Pressure:
    """The cgroup. Without one, and for a server on several cores, `kept_ns` is -1."""

    def __init__(self, cores: Cores) -> None:
        self._group: Path | None = None
        parent = _own() if len(cores) == 1 else None
        if parent is None:
            return
        with contextlib.suppress(OSError):
            _sweep(parent)
            self._group = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))

    def watch(self, pid: int) -> None:
        """Take in a process with all that it has started. What it starts later is in, too."""
        if self._group is None or pid <= 0:
            return
        for process in probes.tree(pid):
            with contextlib.suppress(OSError):  # it has ended
                (self._group / "cgroup.procs").write_text(str(process))

    def kept_ns(self, pids: Iterable[int]) -> int:
        """The time so far, ns; -1 where it is not known, or not of the whole trees of these processes."""
        if self._group is None:
            return -1
        try:
            members = {int(word) for word in (self._group / "cgroup.procs").read_text().split()}
            if not members >= {process for pid in pids for process in probes.tree(pid)}:
                return -1
            lines = (self._group / "cpu.pressure").read_text().splitlines()
            return next(1000 * int(line.rpartition("total=")[2]) for line in lines if line.startswith("full "))
        except (OSError, ValueError, StopIteration):
            return -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + _EMPTIES_S
        while self._group is not None and not _removed(self._group) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._group = None


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def _sweep(parent: Path) -> None:
    """Remove what a killed owner has left."""
    for group in parent.glob(f"{_PREFIX}*"):
        owner = group.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{owner}").exists():
            _removed(group)
