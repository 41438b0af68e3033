"""`python -m rtbench.processes._namespace`: holds a network namespace of its own until its standard input closes.

Its input is one JSON line with interface and addresses. It answers with the offloads that are still on: there must be
none, else R5's wire bytes would count segments that were never packets. Invariant: the namespace has neither name nor
file, so it ends with its last process, however that ends. Started by `rtbench.processes.namespaces`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys

from rtbench.messages.lines import say
from rtbench.messages.namespace import CONFIGURE, Configured, Ready

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tso": (0x1F, 0x1E), "gso": (0x24, 0x23), "gro": (0x2C, 0x2B)}
"""Name to ethtool's set and get commands (linux/ethtool.h)."""


def main() -> int:
    """Hold, configure, answer, wait."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        sys.stderr.write(f"cannot create a network namespace: {os.strerror(ctypes.get_errno())}\n")
        return 1
    say(Ready(os.getpid()))
    for line in sys.stdin:
        wanted = CONFIGURE(line)
        name = wanted.interface
        _ip("link", "set", "lo", "up")
        for address in wanted.addresses:
            _ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        _ip("link", "set", name, "up")
        say(Configured(_without_offloads(name)))
    return 0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)  # noqa: S607 - from PATH, as a shell would find it


def _without_offloads(name: str) -> tuple[str, ...]:
    """Switch the offloads off. Returns those that are still on."""
    left = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for offload, (switch, ask) in _OFFLOADS.items():
            _ethtool(sock, name, switch, 0)
            if _ethtool(sock, name, ask, 0):
                left.append(offload)
    return tuple(left)


def _ethtool(sock: socket.socket, name: str, command: int, value: int) -> int:
    """One ethtool_value request. Returns the driver's answer."""
    data = ctypes.create_string_buffer(struct.pack("II", command, value))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(data))
    fcntl.ioctl(sock, _SIOCETHTOOL, request)
    answer: int = struct.unpack("II", data.raw[:8])[1]
    return answer


if __name__ == "__main__":
    sys.exit(main())
