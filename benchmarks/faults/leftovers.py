"""What a campaign left behind: processes, sockets, ports, namespaces, temporary files.

Invariant: processes are found by a variable of their environment, which every descendant inherits, so other campaigns
on the machine do not count. Called by `play.py`.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

MARK = "RTBENCH_FAULTS_ROW"
GONE_S = 10.0
"""How long processes that were killed may take to disappear from /proc on a busy machine."""


def marked(mark: str) -> list[tuple[int, str]]:
    """The running processes of a row: (pid, command line)."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
    return found


@dataclass(slots=True)
class Held:
    """The sockets (inodes) and network namespaces of a row's processes, seen while they ran."""

    sockets: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)

    def see(self, mark: str) -> None:
        """Add those of now."""
        mine = os.readlink("/proc/self/ns/net")  # noqa: PTH115
        for pid, _ in marked(mark):
            with contextlib.suppress(OSError):
                self.namespaces |= {os.readlink(f"/proc/{pid}/ns/net")} - {mine}  # noqa: PTH115
            with contextlib.suppress(OSError):
                for path in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        target = os.readlink(path)  # noqa: PTH115
                        if target.startswith("socket:"):
                            self.sockets.add(target[len("socket:[") : -1])


def left(mark: str, held: Held) -> list[str]:
    """The processes, sockets and namespaces that are left, in words; empty: nothing."""
    end = time.monotonic() + GONE_S
    while (running := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    found = [f"process {pid} ({command[:60].strip()})" for pid, command in running]
    found += [f"socket {inode}" for inode in sorted(held.sockets & _sockets())]
    return found + [f"namespace {name}" for name in sorted(held.namespaces & _namespaces())]


def files(temporary: Path, out: Path | None) -> list[str]:
    """The temporary files that are left, also those of `out`; empty: nothing."""
    unfinished = sorted(out.rglob(".*")) if out is not None else []
    return [str(path) for path in (*sorted(temporary.iterdir()), *unfinished)]


def _sockets() -> set[str]:
    """The inodes of listening TCP sockets and of Unix sockets. Other TCP sockets may wait for their peers."""
    found = set()
    for name, column in (("tcp", 9), ("tcp6", 9), ("unix", 6)):
        for line in Path("/proc/net", name).read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
            words = line.split()
            if name == "unix" or words[3] == "0A":
                found.add(words[column])
    return found


def _namespaces() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                found.add(os.readlink(entry / "ns/net"))  # noqa: PTH115
    return found
