"""A foreign server at a URL: the methods of a server, without a process to start, to stop or to measure."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from rtbench.errors import SubjectError, UserError
from rtbench.machine.topology import Cores
from rtbench.processes.program import port_of


class RemoteServer:
    """A server at a URL, without a process of ours."""

    name = "server"
    pid = 0
    cores: Cores = ()
    stopped_in_s: float | None = 0.0

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.refused: dict[str, int] = {}
        self.uses: dict[str, Any] = {"stack": "unknown: a foreign server"}

    def ready(self, timeout_s: float = 10) -> str:
        """Its URL. Raises UserError when nothing answers there."""
        parts = urlsplit(self.url)
        try:
            socket.create_connection((parts.hostname or "", port_of(self.url)), timeout_s).close()
        except OSError as error:
            text = f"cannot connect to {self.url} ({error.strerror or error})"
            raise UserError(text, "start the server first") from error
        return self.url

    def exited(self) -> int | None:
        """Always None: its process is unknown."""
        return None

    def died(self) -> SubjectError:
        """Unused, since `exited` is always None."""
        return SubjectError(f"{self.url} ended")

    def cpu_ns(self) -> int:
        """Unknown."""
        return -1

    memory_bytes = resident_bytes = run_delay_ns = cpu_ns

    def tidy(self) -> str:
        """Does nothing. Returns a description for the record."""
        return "not signalled: a foreign server"

    def kill(self, number: int = 9) -> None:
        """Does nothing: a foreign server gets no signals."""

    def stop(self, timeout_s: float = 0) -> None:
        """Does nothing: a foreign server is not stopped."""

    def __enter__(self) -> RemoteServer:
        return self

    def __exit__(self, *_: object) -> None:
        pass
