"""The faults: each is a function of a running campaign and the process that it is for.

Invariant: a fault acts only on processes and folders of its own row. Mounts are in this process's mount namespace and
end with it. Called by `play.py` while the campaign waits at a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from leftovers import marked

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x00020000, 0x4000, 1 << 18
BALLAST = "ballast"
PATIENCE_S = 10.0
STOPPED_S = 2.5
"""How long the campaign itself is stopped: longer than window and grace. It cannot report a later moment."""
PROCESSES = {
    "server": "rtbench.servers sse-aiohttp",
    "publisher": "rtbench.servers.publisher",
    "load process": "-m locust",
}
"""Process to a part of its command line."""


def private_mounts() -> str:
    """Enter a mount namespace of this process alone. Returns why not, or ""."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:
        return "needs root"
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        return f"needs a mount namespace ({os.strerror(ctypes.get_errno())})"
    return ""


def mount(*words: str) -> None:
    """mount(8)."""
    subprocess.run(["mount", *words], check=True)


class Injector:
    """The faults into one campaign."""

    def __init__(self, mark: str, campaign: int, out: Path, trigger: Path) -> None:
        self._mark, self._campaign, self._out, self._trigger = mark, campaign, out, trigger
        self._mounted = False

    def pid(self, process: str) -> int:
        """The process's id."""
        if process == "campaign":
            return self._campaign
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:  # a process that just began has no command line yet
            for pid, command in marked(self._mark):
                if PROCESSES[process] in command:
                    return pid
            time.sleep(0.01)
        raise LookupError(f"the {process} does not run")

    def do(self, what: str, process: str) -> None:
        """Inject one fault."""
        {
            "kill": self._kill, "end": self._end, "stop": self._stop, "continue": self._continue,
            "stop and continue": self._stop_later_continue, "fill": self._fill, "read-only": self._read_only,
            "file size": self._file_size, "descriptors": self._descriptors, "no descriptors": self._no_descriptors,
            "memory": self._memory, "clock": self._clock,
        }[what](process)  # fmt: skip

    def _kill(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGKILL)

    def _end(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGTERM)

    def _stop(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGSTOP)

    def _continue(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGCONT)

    def _stop_later_continue(self, process: str) -> None:
        self._stop(process)
        time.sleep(STOPPED_S)
        self._continue(process)

    def _fill(self, _: str) -> None:
        with contextlib.suppress(OSError), (self._out.parent / BALLAST).open("wb", buffering=0) as file:
            size = 2**20
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    if size == 1:
                        raise
                    size //= 2

    def _read_only(self, _: str) -> None:
        mount("--bind", str(self._out), str(self._out))
        mount("-o", "remount,bind,ro", str(self._out))
        self._mounted = True

    def _file_size(self, process: str) -> None:
        resource.prlimit(self.pid(process), resource.RLIMIT_FSIZE, (64, 64))

    def _descriptors(self, process: str) -> None:
        self._limit_descriptors(process, 5)

    def _no_descriptors(self, process: str) -> None:
        self._limit_descriptors(process, 0)

    def _limit_descriptors(self, process: str, free: int) -> None:
        """The limit is on numbers: the lowest free ones are counted."""
        pid = self.pid(process)
        used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        left, number = free, 0
        while left or number in used:
            left -= number not in used
            number += 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, number))

    def _memory(self, process: str) -> None:
        resource.prlimit(self.pid(process), resource.RLIMIT_AS, (2**20, 2**20))

    def _clock(self, _: str) -> None:
        self._trigger.touch()

    def repair(self) -> None:
        """Free the disk and make it writable: what a user does before `--resume`."""
        (self._out.parent / BALLAST).unlink(missing_ok=True)
        if self._mounted:
            subprocess.run(["umount", str(self._out)], check=True)
            self._mounted = False
