"""A server of ours: a subject of `rtbench.servers` in a process of its own.

Invariant: `ready` returns once it accepts and its ring is full. Started by `rtbench.processes.starting`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rtbench.errors import SubjectError, UserError
from rtbench.machine.topology import Cores
from rtbench.messages.lines import MessageError, text
from rtbench.messages.server import COUNTS, READINESS, Bounds, Limits, ServerOptions
from rtbench.processes.process import STARTS_S, Process
from rtbench.scenario.model import Scenario
from rtbench.subjects.names import is_faulty
from rtbench.subjects.tls import TlsFiles


def refused_in(lines: Iterable[bytes]) -> dict[str, int]:
    """What the last of these lines that is a server's `Counts` says; empty without one."""
    found: dict[str, int] = {}
    for line in lines:
        with contextlib.suppress(MessageError):
            found = COUNTS(line).refused
    return found


class ServerProcess(Process):
    """One of our subjects; `ready` sets `url`."""

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
        tls: TlsFiles | None = None,
    ) -> None:
        table = scenario.server
        options = ServerOptions(
            host=host or table.host,
            port=port,
            ingest=str(feed),
            limits=Limits(table.ring_messages, table.ring_bytes, table.buffer_bytes, table.heartbeat_s),
            loop=table.loop,
            poll_timeout_s=scenario.poll.long_timeout_s,
            inject=scenario.faults.inject if is_faulty(subject) else (),
            module=module,
            bounds=Bounds.of(table),
            allow_origin=table.allow_origin,
            compression=scenario.compression,
            tls=tls,
        )
        command = [sys.executable, "-m", "rtbench.servers", subject, text(options)]
        super().__init__(command, cores, log, network=network)
        self.url = ""
        self.uses: dict[str, Any] = {}
        self.refused: dict[str, int] = {}
        """How often it refused a client, by the key of the bound; known once it has stopped."""

    def ready(self, timeout_s: float = STARTS_S) -> str:
        """Wait until it accepts; its URL. Raises UserError for an error that the user can correct (a port in use)."""
        try:
            line = self.line(timeout_s)
        except SubjectError:
            if self.exited() == 2:
                raise UserError(self.tail(1).removeprefix("rtbench: ")) from None
            raise
        readiness = READINESS(line)
        self.url, self.uses = readiness.url, readiness.uses
        return self.url

    def _over(self) -> None:
        self.refused = refused_in(self.rest()) or self.refused

    def tidy(self) -> str:
        """Signal it to collect its garbage and return free memory. Returns a description for the record (R4)."""
        self.kill(signal.SIGUSR1)
        return "gc.collect() and malloc_trim(0) before each reading"
