"""A load process, as a trial steers it: commands and answers over a Unix socket.

Invariant: after `receive` the attributes hold the answer; `receive` raises when the load process fails. The program is
`loadtests/locustfile.py`; `loadtests/trial.py` is the other end.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from pathlib import Path

from rtbench.errors import RtbenchError, SubjectError
from rtbench.machine.topology import Cores
from rtbench.messages.lines import Lines, line, text
from rtbench.messages.load import (
    ANSWER,
    Command,
    Failure,
    Finished,
    LoadReport,
    LoadSettings,
    LoadStart,
    Subscribed,
    WindowClosed,
)
from rtbench.processes.process import STARTS_S, STOP_S, Process


class LoadProcess(Process):
    """One Locust process of a trial; commands and answers are JSON lines over a Unix socket."""

    name = "load process"

    def __init__(
        self,
        user: str,
        settings: LoadSettings,
        share: int,
        first: int,
        folder: Path,
        cores: Cores,
        log: Path,
        network: str = "",
    ) -> None:
        path = folder / f"load-{first}.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._control: socket.socket | None = None
        self._answers = Lines()
        self.subscribed = 0
        self.failed: dict[str, int] = {}
        self.given_up = 0
        self.closed_window = False
        self.finished: LoadReport | None = None
        locustfile = Path(__file__).parents[1] / "loadtests" / "locustfile.py"
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--skip-log-setup"]
        command += ["--users", str(share), "--spawn-rate", str(share), "--only-summary", user]
        environment = {"RTBENCH_TRIAL": text(LoadStart(str(path), first, settings)), "LOCUST_SKIP_UPDATE_CHECK": "1"}
        # Locust takes options from such variables, too: a LOCUST_RUN_TIME of the user's would end the trial.
        foreign = [name for name in os.environ if name.startswith("LOCUST_") and name not in environment]
        if foreign:
            command = ["env", *(word for name in foreign for word in ("-u", name)), *command]
        super().__init__(command, cores, log, environment, network)

    def connect(self, timeout_s: float = STARTS_S) -> None:
        """Wait for its Hello message."""
        deadline = time.monotonic() + timeout_s
        while not select.select([self._listener], [], [], 0.05)[0]:
            if self.exited() is not None:
                raise self.died()
            if time.monotonic() > deadline:
                raise SubjectError(f"the load process did not start within {timeout_s:g} s", self.why())
        self._control, _ = self._listener.accept()

    def fileno(self) -> int:
        """The control socket's descriptor, for select."""
        assert self._control is not None
        return self._control.fileno()

    def command(self, command: Command) -> None:
        """Send a command. Raises SubjectError when the process is gone."""
        assert self._control is not None
        try:
            self._control.sendall(line(command))
        except OSError as error:
            raise self.died() from error

    def receive(self) -> None:
        """Wait for its next messages and store them. Raises SubjectError when it ended or failed."""
        assert self._control is not None
        try:
            data = self._control.recv(2**20)
        except ConnectionError:
            data = b""
        if not data:
            raise self.died()
        for one in self._answers.feed(data):
            match ANSWER(one):
                case Subscribed(subscribed, failed, given_up):
                    self.subscribed, self.failed, self.given_up = subscribed, failed, given_up
                case WindowClosed():
                    self.closed_window = True
                case Finished(report):
                    self.finished = report
                case Failure(error, remedy):
                    raise RtbenchError(error, remedy)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Close the control socket, so that it exits at once, then stop it."""
        if self._control is not None:
            self._control.close()
        self._listener.close()
        super().stop(timeout_s)
