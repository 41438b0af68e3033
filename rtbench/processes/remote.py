"""A server at a URL that is not ours: it has a server's face, and nothing to start, to stop or to count."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from rtbench.errors import SubjectError, UserError
from rtbench.machine.topology import Cores
from rtbench.processes.program import port_of


class RemoteServer:
    """A server at a URL: nothing to start, to stop, or to look into."""

    name = "server"
    pid = 0
    cores: Cores = ()
    stopped_in_s: float | None = 0.0

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.uses: dict[str, Any] = {"stack": "not ours: nothing is known of it"}

    def ready(self, timeout_s: float = 10) -> str:
        """Where it is. Raises UserError when nothing answers there."""
        parts = urlsplit(self.url)
        try:
            socket.create_connection((parts.hostname or "", port_of(self.url)), timeout_s).close()
        except OSError as error:
            raise UserError(f"nothing answers at {self.url} ({error.strerror or error})", "start it first") from error
        return self.url

    def exited(self) -> int | None:
        """It is not ours: it does not end for us."""
        return None

    def died(self) -> SubjectError:
        """Never: see `exited`."""
        return SubjectError(f"{self.url} is gone")

    def cpu_ns(self) -> int:
        """Unknown."""
        return -1

    memory_bytes = resident_bytes = run_delay_ns = cpu_ns

    def tidy(self) -> str:
        """Nobody asks."""
        return "not asked: the server is not ours"

    def kill(self, number: int = 9) -> None:
        """It is not ours to signal."""

    def stop(self, timeout_s: float = 0) -> None:
        """It is not ours to stop."""

    def __enter__(self) -> RemoteServer:
        return self

    def __exit__(self, *_: object) -> None:
        pass
