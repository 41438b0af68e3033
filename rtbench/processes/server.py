"""A server of ours: a subject of `rtbench.servers` in a process of its own.

Invariant: `ready` returns once it accepts and its ring is full. Started by `rtbench.processes.starting`.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtbench.errors import SubjectError, UserError
from rtbench.processes.process import Cores, Process
from rtbench.scenario.model import Scenario
from rtbench.subjects.names import is_faulty


class ServerProcess(Process):
    """One of our subjects; `url` is known when it is ready."""

    name = "server"

    def __init__(
        self,
        subject: str,
        scenario: Scenario,
        feed: Path,
        cores: Cores,
        log: Path,
        *,
        host: str = "",
        port: int = 0,
        network: str = "",
        module: str = "",
    ) -> None:
        table = asdict(scenario.server)
        here = table.pop("host")
        options: dict[str, Any] = {
            "host": host or here,
            "port": port,
            "ingest": str(feed),
            "loop": table.pop("loop"),
            "poll_timeout_s": scenario.poll.long_timeout_s,
            "limits": table,
        }
        if module:
            options["module"] = module
        if is_faulty(subject):
            options["inject"] = [asdict(row) for row in scenario.faults.inject]
        command = [sys.executable, "-m", "rtbench.servers", subject, json.dumps(options)]
        super().__init__(command, cores, log, network=network)
        self.url = ""
        self.uses: dict[str, Any] = {}

    def ready(self, timeout_s: float = 20) -> str:
        """Wait until it accepts; its URL. Raises UserError for what the user can mend (a port in use)."""
        try:
            line = self.line(timeout_s)
        except SubjectError:
            if self.exited() == 2:
                raise UserError(self.tail(1).removeprefix("rtbench: ")) from None
            raise
        said = json.loads(line)
        self.url, self.uses = said["url"], said["uses"]
        return self.url

    def tidy(self) -> str:
        """Ask it to collect its garbage and give free memory back; what that is, for the record (R4)."""
        self.kill(signal.SIGUSR1)
        return "gc.collect() and malloc_trim(0) before each reading"
