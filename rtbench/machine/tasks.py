"""The time that any task ran on some cores, on a kernel that does not count it by core: from the tasks themselves.

Each task (thread) of /proc has its own time to the nanosecond, and the cores that it may run on. So what all tasks that
may run there have used is an upper bound of what ran there, for as long as no task came and went unseen.
Called by the trial around the window; reading 100 tasks takes some 2 ms.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_ALL = "pid:[4026531836]"
"""The PID namespace that sees every task of the machine (the kernel's include/linux/proc_ns.h)."""
_KTHREADD = 2
"""A task that every machine has, and that is hidden from whom /proc hides others' tasks (`hidepid`)."""


class _Seen(NamedTuple):
    forks: int
    """Tasks that this machine has started since it booted."""
    used: dict[int, int]
    """Each task's time so far, ns, whichever cores it may run on."""
    there: set[int]
    """The tasks that may run on the cores."""


class Tasks:
    """What ran on these cores since `begin`."""

    def __init__(self, cores: Collection[int]) -> None:
        self._cores = set(cores)
        self._before: _Seen | None = None

    def begin(self) -> None:
        """From here on."""
        self._before = self._look()

    def ran_ns(self) -> int:
        """At most so long did any task run on these cores, ns; -1 where a task may have escaped notice."""
        before, after = self._before, self._look()
        if before is None or after is None or not before.used.keys() <= after.used.keys():
            return -1
        if after.forks - before.forks != len(after.used) - len(before.used):
            return -1  # one came and went
        there = before.there | after.there
        return sum(after.used[task] - before.used.get(task, 0) for task in there)

    def _look(self) -> _Seen | None:
        used: dict[int, int] = {}
        there: set[int] = set()
        try:
            if str((PROC / "self/ns/pid").readlink()) != _ALL:
                return None
            lines = (PROC / "stat").read_text().splitlines()
            forks = next(int(line.split()[1]) for line in lines if line.startswith("processes "))
            for process in (path for path in PROC.iterdir() if path.name.isdigit()):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                    for path in (process / "task").iterdir():
                        task = int(path.name)
                        used[task] = int((path / "schedstat").read_text().split()[0])
                        if os.sched_getaffinity(task) & self._cores:
                            there.add(task)
        except (OSError, ValueError, IndexError, StopIteration):
            return None
        return _Seen(forks, used, there) if _KTHREADD in used else None
