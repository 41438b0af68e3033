"""Two network namespaces, one for the server, one for the load: for bytes on the wire (R5), or for a network with delay
and loss (R18). A veth pair joins them, or a router.

Invariant: packets are those that a network card would see (no segmentation offload). Nothing leaves this machine. The
namespaces end with the trial, even if its campaign is killed. Needs root and `ip`. Called by the trial.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rtbench import programs
from rtbench.errors import SubjectError, UnavailableError, UserError
from rtbench.machine.topology import Cores
from rtbench.messages.namespace import CONFIGURED, READY, Configure
from rtbench.messages.router import Link
from rtbench.processes import router
from rtbench.processes.process import Process
from rtbench.processes.router import RouterProcess

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


@dataclass(frozen=True, slots=True)
class Routing:
    """What the router between the namespaces does, and the cpus that it runs on."""

    down: Link
    up: Link
    seed: int
    cores: Cores


class Network(contextlib.ExitStack):
    """The two namespaces, connected; by a router where there is a `routing`. `server`, `load`: paths for setns(2)."""

    def __init__(self, log: Path, routing: Routing | None = None) -> None:
        super().__init__()
        holders = []
        self.router: RouterProcess | None = None
        with contextlib.ExitStack() as making:
            for _ in _ADDRESSES:
                holders.append(
                    making.enter_context(Holder([sys.executable, "-m", "rtbench.processes._namespace"], (), log))
                )
            for holder in holders:
                READY(holder.line(10))
            self.server, self.load = (holder.path for holder in holders)
            if routing is None:
                _connect(*holders)
            else:
                self.router = making.enter_context(
                    RouterProcess(
                        INTERFACE, self.server, self.load, routing.down, routing.up, routing.seed, routing.cores, log
                    )
                )
                self.router.opened()
            for holder, addresses in zip(holders, _ADDRESSES, strict=True):
                holder.configure(addresses)
            if self.router is not None:
                self.router.begin()
            self.push(making.pop_all())

    def host(self, loopback: str) -> str:
        """The server's address, of the family of `loopback`."""
        return _ADDRESSES[0][":" in loopback]


def _connect(server: Holder, load: Holder) -> None:
    """A veth pair between the two namespaces. Raises SubjectError."""
    command = ["ip", "link", "add", INTERFACE, "netns", str(server.pid), "type", "veth", "peer"]
    command += [INTERFACE, "netns", str(load.pid)]
    made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10, env=programs.environment())
    if made.returncode:
        text = f"cannot create a veth pair ({' '.join(made.stderr.split())})"
        raise SubjectError(text, "run without --netns")


def check(routed: bool = False) -> None:
    """Raises UserError when namespaces cannot be made here; `routed`: with a router between them."""
    what = "[network]" if routed else "--netns"
    if os.geteuid() != 0:
        raise UserError(f"{what} needs root, for network namespaces", f"use sudo, or run without {what}")
    if programs.find("ip") is None:
        raise UnavailableError(f"{what} needs the program ip", "apt-get install iproute2")
    if routed:
        router.check()
