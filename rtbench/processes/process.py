"""One child process of a trial: pinned, awaited by protocol, always stopped.

Invariant: after its `with` block (a return, an error, Ctrl-C) the process has ended. Every wait has a time limit and
gives a reason. Each other module here defines one kind of child; this module depends on none of them.
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

from rtbench.errors import SubjectError, UserError
from rtbench.machine import probes
from rtbench.machine.topology import Cores
from rtbench.messages.lines import Lines, Message, MessageError, line
from rtbench.processes._log import telling
from rtbench.processes.scratch import clean_up
from rtbench.records.replacing import KEPT, unwritable

STARTS_S = 60.0
"""The time that a process of ours has to start. One that dies is noticed at once; a busy machine is slow."""
STOP_S = 2.0
"""A server's time to exit after SIGTERM, seconds (interface.md)."""
MOST_LINE_BYTES = 2**20
"""Maximum length of a line of a child's standard output: a foreign program may print anything."""


class Process:
    """One child. `log` takes its standard error, and its standard output unless `listen` is set."""

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
        try:
            self._log_file: IO[bytes] = log.open("ab")
        except OSError as error:
            raise unwritable(log.parent, error) from error
        launcher = [
            sys.executable,
            "-m",
            "rtbench.processes._launch",
            str(os.getpid()),
            ",".join(map(str, cores)) or "-",
        ]
        launcher.append(network or "-")
        try:
            self._child = subprocess.Popen(
                [*launcher, *command],
                stdin=subprocess.PIPE,
                # An unread pipe fills up after 64 KiB and blocks its writer.
                stdout=subprocess.PIPE if listen else self._log_file,
                stderr=self._log_file,
                env={**os.environ, **environment},
                start_new_session=True,  # the campaign handles the terminal's Ctrl-C
            )
        except OSError as error:  # no descriptors, processes or memory left
            self._log_file.close()
            text = f"cannot start the {self.name} ({error.strerror})"
            raise UserError(text, f"raise the limit (ulimit -a){KEPT}") from error
        clean_up(self._child.pid)
        self._lines = Lines(MOST_LINE_BYTES)
        self._unread: deque[bytes] = deque()

    @property
    def pid(self) -> int:
        """The child's process id (the launcher becomes the command)."""
        return self._child.pid

    def cpu_ns(self) -> int:
        """CPU time of its whole tree so far, ns."""
        return probes.cpu_ns(self.pid)

    def memory_bytes(self) -> int:
        """Proportional set size of its tree, bytes (takes tens of milliseconds)."""
        return probes.memory_bytes(self.pid)

    def resident_bytes(self) -> int:
        """Resident set of its tree, bytes."""
        return probes.resident_bytes(self.pid)

    def run_delay_ns(self) -> int:
        """Time that its threads were ready to run and waited for a core, ns."""
        return probes.run_delay_ns(self.pid)

    def exited(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._child.poll()

    def tail(self, lines: int = 5) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in text[-lines:])

    def why(self) -> str:
        """The log's lines about its end, and the log's name; "" for an empty log."""
        found = telling(self.log.read_text(encoding="utf-8", errors="replace"))
        return found and f"{found} ({self.log.name})"

    def died(self) -> SubjectError:
        """The error for a child that ended, with its log's error. A child that only closed its output is stopped."""
        try:
            code = self._child.wait(STOP_S)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            self.kill()
            self._child.wait()
            how = "it closed its standard output"
        return SubjectError(f"the {self.name} ended early ({how})", self.why())

    def line(self, timeout_s: float) -> str:
        """The next line of its standard output. Raises SubjectError when it ends or exceeds a limit (time, length)."""
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout_s
        while not self._unread:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, left))
            if not ready:
                raise SubjectError(
                    f"the {self.name} printed nothing for {timeout_s:g} s", self.why() or f"see {self.log.name}"
                )
            data = os.read(self._child.stdout.fileno(), 65536)
            if not data:
                raise self.died()
            try:
                self._unread += self._lines.feed(data)
            except MessageError as error:
                raise SubjectError(
                    f"the {self.name} printed an invalid line ({error})", f"see {self.log.name}"
                ) from error
        return self._unread.popleft().decode("utf-8", "replace")

    def send(self, message: Message) -> None:
        """Send a message to its standard input. Raises SubjectError when it has ended."""
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
        """SIGTERM, then SIGKILL after `timeout_s`, and to what it started; closes everything."""
        began = time.monotonic()
        self.kill(signal.SIGTERM)
        self.kill(signal.SIGCONT)  # a fault may have stopped it
        try:
            self._child.wait(timeout_s)
            self.stopped_in_s = time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)  # what a program started and left behind
        self._child.wait()
        self._over()
        for stream in (self._child.stdin, self._child.stdout, self._log_file):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _over(self) -> None:
        """It has ended; its output can still be read. A server reads its counts here."""

    def rest(self) -> list[bytes]:
        """The lines of its standard output that were not read; never waits."""
        lines, self._unread = list(self._unread), deque()
        output = self._child.stdout
        if output is None or output.closed:
            return lines
        with contextlib.suppress(OSError, ValueError, MessageError):
            os.set_blocking(output.fileno(), False)
            while data := os.read(output.fileno(), 65536):
                lines += self._lines.feed(data)
        return lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
