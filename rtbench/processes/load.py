"""A load process, as a trial steers it: commands and answers over a Unix socket.

Invariant: what it answered is in the attributes as soon as `receive` returned; a load process that cannot go on makes
`receive` raise. The program itself is `loadtests/locustfile.py`; `loadtests/trial.py` is the other end.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from rtbench.errors import RtbenchError, SubjectError
from rtbench.processes.process import STOP_S, Cores, Process


class LoadProcess(Process):
    """One Locust process of a trial; commands and answers are JSON lines over a Unix socket."""

    name = "load process"

    def __init__(
        self,
        user: str,
        settings: dict[str, Any],
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
        self._buffer = b""
        self.subscribed = 0
        self.failed: dict[str, int] = {}
        self.given_up = 0
        self.closed_window = False
        self.finished: dict[str, Any] | None = None
        trial = {"control": str(path), "first": first, "settings": settings}
        locustfile = Path(__file__).parents[1] / "loadtests" / "locustfile.py"
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--skip-log-setup"]
        command += ["--users", str(share), "--spawn-rate", str(share), "--only-summary", user]
        environment = {"RTBENCH_TRIAL": json.dumps(trial), "LOCUST_SKIP_UPDATE_CHECK": "1"}
        super().__init__(command, cores, log, environment, network)

    def connect(self, timeout_s: float = 30) -> None:
        """Wait for its hello."""
        deadline = time.monotonic() + timeout_s
        while not select.select([self._listener], [], [], 0.05)[0]:
            if self.exited() is not None:
                raise self.died()
            if time.monotonic() > deadline:
                raise SubjectError(f"the load process did not start within {timeout_s:g} s", self.tail())
        self._control, _ = self._listener.accept()

    def fileno(self) -> int:
        """The control socket's descriptor, to select on."""
        assert self._control is not None
        return self._control.fileno()

    def command(self, **value: Any) -> None:
        """Send a command. Raises SubjectError when the process is gone."""
        assert self._control is not None
        try:
            self._control.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise self.died() from error

    def receive(self) -> None:
        """Take in what it said; blocks until it said something. Raises SubjectError when it is gone or in trouble."""
        assert self._control is not None
        try:
            data = self._control.recv(2**20)
        except ConnectionError:
            data = b""
        if not data:
            raise self.died()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            value = json.loads(line)
            if "subscribed" in value:
                self.subscribed, self.failed = value["subscribed"], value["failed"]
                self.given_up = value.get("given_up", 0)
            if "window" in value:
                self.closed_window = True
            if "finished" in value:
                self.finished = value["finished"]
            if "error" in value:
                raise RtbenchError(value["error"])

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Closing the control socket lets it leave at once."""
        if self._control is not None:
            self._control.close()
        self._listener.close()
        super().stop(timeout_s)
