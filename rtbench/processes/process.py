"""One child process of a trial: started pinned, awaited by protocol, and surely stopped.

Invariant: however a `with` block of one ends (a return, an error, Ctrl-C), its process is gone afterwards; every wait
has a limit and a reason. The other modules here each name one kind of child; this one knows none of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from rtbench.errors import SubjectError
from rtbench.machine import probes
from rtbench.machine.topology import Cores
from rtbench.messages.lines import Lines, Message, MessageError, line
from rtbench.processes._log import telling

STOP_S = 2.0
"""How long a server may take to leave after SIGTERM (interface.md)."""
MOST_LINE_BYTES = 2**20
"""A line of a child's standard output is no longer: a program that is not ours may print anything."""


class Process:
    """One child. `log` is where its standard error goes, and its standard output where nobody listens to it."""

    name = "process"

    def __init__(
        self,
        command: Sequence[str],
        cores: Cores,
        log: Path,
        environment: Mapping[str, str] = {},
        network: str = "",
        listen: bool = True,
    ) -> None:
        self.log = log
        self.cores = cores
        self.network = network
        self.stopped_in_s: float | None = None
        self._log_file: IO[bytes] = log.open("ab")
        launcher = [
            sys.executable,
            "-m",
            "rtbench.processes._launch",
            str(os.getpid()),
            ",".join(map(str, cores)) or "-",
        ]
        launcher.append(network or "-")
        self._child = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.PIPE,
            # A pipe that nobody reads would be full after 64 KiB, and its writer stand still.
            stdout=subprocess.PIPE if listen else self._log_file,
            stderr=self._log_file,
            env={**os.environ, **environment},
            start_new_session=True,  # the terminal's Ctrl-C is the campaign's to handle
        )
        self._lines = Lines(MOST_LINE_BYTES)
        self._unread: deque[bytes] = deque()

    @property
    def pid(self) -> int:
        """The child's process id (the launcher becomes the command)."""
        return self._child.pid

    def cpu_ns(self) -> int:
        """CPU that its whole tree has used so far."""
        return probes.cpu_ns(self.pid)

    def memory_bytes(self) -> int:
        """Proportional set size of its tree (tens of milliseconds)."""
        return probes.memory_bytes(self.pid)

    def resident_bytes(self) -> int:
        """Resident set of its tree."""
        return probes.resident_bytes(self.pid)

    def run_delay_ns(self) -> int:
        """How long its threads were ready to run and waited."""
        return probes.run_delay_ns(self.pid)

    def exited(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._child.poll()

    def tail(self, lines: int = 5) -> str:
        """The last lines of what it said."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in text[-lines:])

    def why(self) -> str:
        """What its log says about its end, and the log's name; "" where it is empty."""
        found = telling(self.log.read_text(encoding="utf-8", errors="replace"))
        return found and f"{found} ({self.log.name})"

    def died(self) -> SubjectError:
        """The error for a child that is gone, with what its log says; one that only closed its output is ended."""
        try:
            code = self._child.wait(STOP_S)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            self.kill()
            self._child.wait()
            how = "it closed its output and went on"
        return SubjectError(f"the {self.name} ended early ({how})", self.why())

    def line(self, timeout_s: float) -> str:
        """The next line of its standard output. Raises SubjectError when it ends, takes longer or says too much."""
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout_s
        while not self._unread:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, left))
            if not ready:
                raise SubjectError(
                    f"the {self.name} said nothing for {timeout_s:g} s", self.why() or f"see {self.log.name}"
                )
            data = os.read(self._child.stdout.fileno(), 65536)
            if not data:
                raise self.died()
            try:
                self._unread += self._lines.feed(data)
            except MessageError as error:
                raise SubjectError(
                    f"the {self.name} does not say what it should ({error})", f"see {self.log.name}"
                ) from error
        return self._unread.popleft().decode("utf-8", "replace")

    def send(self, message: Message) -> None:
        """Send a message to its standard input. Raises SubjectError when it is gone."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line(message))
            self._child.stdin.flush()
        except OSError as error:
            raise self.died() from error

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it still runs."""
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM, then SIGKILL after `timeout_s`; closes everything."""
        began = time.monotonic()
        self.kill(signal.SIGTERM)
        self.kill(signal.SIGCONT)  # it may have been stopped on purpose
        try:
            self._child.wait(timeout_s)
            self.stopped_in_s = time.monotonic() - began
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._log_file):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
