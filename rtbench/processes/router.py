"""The router of a trial with a [network]: a process between the two namespaces, which delays and drops packets (R18).

Invariant: its devices and packets end with it. Made by `rtbench.processes.namespaces`; the trial asks it for counters
at the window's edges.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rtbench.errors import UnavailableError
from rtbench.machine import inner_loop
from rtbench.machine.topology import Cores
from rtbench.messages import router as messages
from rtbench.messages.lines import text
from rtbench.processes.process import STARTS_S, Process

SOURCE = Path(__file__).with_name("router.c")
TUN = Path("/dev/net/tun")
_ANSWER_S = 10.0


def library() -> Path:
    """The compiled router. Raises UnavailableError without a compiler."""
    try:
        return inner_loop.built(SOURCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError("[network] needs a C compiler, for its router", inner_loop.REMEDY) from error


def check() -> None:
    """Raises UnavailableError when a router cannot run here."""
    if not os.access(TUN, os.R_OK | os.W_OK):
        raise UnavailableError(
            f"[network] needs {TUN}", "modprobe tun; in a container: --device /dev/net/tun --cap-add NET_ADMIN"
        )
    library()


class RouterProcess(Process):
    """The router between the namespaces at the paths `server` and `load`."""

    name = "router"

    def __init__(
        self, interface: str, server: str, load: str, down: messages.Link, up: messages.Link, seed: int,
        cores: Cores, log: Path,
    ) -> None:  # fmt: skip
        route = messages.Route(interface, server, load, down, up, seed, str(library()))
        super().__init__([sys.executable, "-m", "rtbench.processes._router", text(route)], cores, log)
        self.scheduling = ""

    def opened(self) -> None:
        """Wait until its devices exist."""
        self.scheduling = messages.OPENED(self.line(STARTS_S)).scheduling

    def begin(self) -> None:
        """Forward packets from now on."""
        self.send(messages.Begin())

    def count(self) -> messages.Counted:
        """Its counters so far; lateness since the last call."""
        self.send(messages.Count())
        return messages.COUNTED(self.line(_ANSWER_S))
