"""Two network namespaces joined by a veth pair, one for the server, one for the load: for bytes on the wire (R5).

Invariant: packets are those that a network card would see (no segmentation offload). Nothing leaves this machine. The
namespaces end with the trial, even if its campaign is killed. Needs root and `ip`. Called by the trial.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from rtbench import programs
from rtbench.errors import SubjectError, UnavailableError, UserError
from rtbench.messages.namespace import CONFIGURED, READY, Configure
from rtbench.processes.process import Process

INTERFACE = "rtb0"
_ADDRESSES = (("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2"))
"""Addresses of the server's and the load's end: private, in namespaces without another network."""
HOSTS = _ADDRESSES[0]
"""The names in the server's certificate."""


class Holder(Process):
    """The process of one namespace."""

    name = "namespace holder"

    @property
    def path(self) -> str:
        """The namespace's path, for setns(2)."""
        return f"/proc/{self.pid}/ns/net"

    def configure(self, addresses: tuple[str, str]) -> None:
        """Give its end addresses and switch its offloads off. Raises SubjectError if one stays on."""
        v4, v6 = addresses
        self.send(Configure(INTERFACE, (f"{v4}/30", f"{v6}/64")))
        left = CONFIGURED(self.line(10)).offloads
        if left:
            raise SubjectError(f"{', '.join(left)} cannot be switched off on {INTERFACE}", "run without --netns")


class Network(contextlib.ExitStack):
    """The two namespaces, connected. `server` and `load` are paths for setns(2)."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        holders = []
        with contextlib.ExitStack() as making:
            for _ in _ADDRESSES:
                holders.append(
                    making.enter_context(Holder([sys.executable, "-m", "rtbench.processes._namespace"], (), log))
                )
            for holder in holders:
                READY(holder.line(10))
            server, load = holders
            command = ["ip", "link", "add", INTERFACE, "netns", str(server.pid), "type", "veth", "peer"]
            command += [INTERFACE, "netns", str(load.pid)]
            made = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=10, env=programs.environment()
            )
            if made.returncode:
                text = f"cannot create a veth pair ({' '.join(made.stderr.split())})"
                raise SubjectError(text, "run without --netns")
            for holder, addresses in zip(holders, _ADDRESSES, strict=True):
                holder.configure(addresses)
            self.push(making.pop_all())
        self.server, self.load = server.path, load.path

    def host(self, loopback: str) -> str:
        """The server's address, of the family of `loopback`."""
        return _ADDRESSES[0][":" in loopback]


def check() -> None:
    """Raises UserError when namespaces cannot be made here."""
    if os.geteuid() != 0:
        raise UserError("--netns needs root, for network namespaces", "use sudo, or run without --netns")
    if programs.find("ip") is None:
        raise UnavailableError("--netns needs the program ip", "apt-get install iproute2")
