"""`python -m rtbench.processes._router ROUTE`: delays, drops and paces packets between two network namespaces (R18).

It has a TUN device in each, and forwards in C (`router.c`). Segments are cut to the MTU before they reach a device, so
that a packet is what a network card would send. Invariant: the devices end with this process; it ends when its standard
input closes. Started by `rtbench.processes.router`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from rtbench.messages.lines import say
from rtbench.messages.router import COMMAND, ROUTE, Begin, Counted, Link, Opened, Packets, Route

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _SIOCSIFTXQLEN = 0x400454CA, 0x8943
_IFF_TUN, _IFF_NO_PI = 1, 0x1000
_QUEUE = 65536
"""Packets that a device holds for the router: a fan-out to all subscribers must fit."""
_STEP_NS, _STEPS = 5000, 4000
_COMMAND = 1
_PR_SET_TIMERSLACK = 29
_COUNTERS = ("packets", "bytes", "forwarded", "forwarded_bytes", "lost", "queue_full", "no_room", "other", "refused")


class _Direction(ctypes.Structure):
    _fields_ = (
        ("delay_ns", ctypes.c_int64),
        ("jitter_ns", ctypes.c_int64),
        ("queue_ns", ctypes.c_int64),
        ("loss", ctypes.c_double),
        ("ns_per_byte", ctypes.c_double),
        ("random", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in _COUNTERS),
        ("queued_max_ns", ctypes.c_int64),
    )


class _Router(ctypes.Structure):
    _fields_ = (
        ("fds", ctypes.c_int32 * 2),
        ("command", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("of", _Direction * 2),
        ("late_max_ns", ctypes.c_int64),
        ("late_sum_ns", ctypes.c_int64),
        ("late", ctypes.c_int64 * _STEPS),
    )


class _Device:
    """A TUN device in the namespace at `path`; this process is in that namespace afterwards."""

    def __init__(self, libc: ctypes.CDLL, path: str, interface: str) -> None:
        namespace = os.open(path, os.O_RDONLY)
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
        os.close(namespace)
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCSIFTXQLEN, struct.pack("16si20x", interface.encode(), _QUEUE))
        self._interface = interface
        self._statistics: BinaryIO = Path("/proc/thread-self/net/dev").open("rb", buffering=0)  # noqa: SIM115 - lives as long as this

    def dropped(self) -> int:
        """Packets that the device's queue had no room for (transmitted, dropped: the twelfth column)."""
        for line in os.pread(self._statistics.fileno(), 65536, 0).decode().splitlines():
            name, _, fields = line.partition(":")
            if name.strip() == self._interface:
                return int(fields.split()[11])
        return 0


def main() -> int:
    """Open, answer, forward."""
    route = ROUTE(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_TIMERSLACK, 1)
    try:
        devices = [_Device(libc, path, route.interface) for path in (route.server, route.load)]
    except OSError as error:
        sys.stderr.write(f"cannot make a TUN device: {error.strerror} ({error.filename or route.interface})\n")
        return 1
    compiled = ctypes.CDLL(route.library)
    compiled.router_held.restype = ctypes.c_int64
    if compiled.router_open() != 0:
        sys.stderr.write("cannot get the memory for the packets that are on their way\n")
        return 1
    state = _state(route, devices)
    say(Opened(_scheduling()))
    line = bytearray()
    while True:  # nothing is buffered here: poll(2) in C must see what was not read
        piece = os.read(0, 1)
        if not piece:
            return 0
        line += piece
        if piece != b"\n":
            continue
        command = COMMAND(bytes(line))
        line.clear()
        if not isinstance(command, Begin):
            say(_counted(state, devices, compiled.router_held()))
        if compiled.router_run(ctypes.byref(state)) != _COMMAND:
            sys.stderr.write("a TUN device is gone\n")
            return 1


def _state(route: Route, devices: Sequence[_Device]) -> _Router:
    state = _Router(command=0)
    for index, (device, link) in enumerate(zip(devices, (route.down, route.up), strict=True)):
        state.fds[index] = device.fd
        _ask(state.of[index], link)
        state.of[index].random = (2 * route.seed + index) & (2**64 - 1)
    return state


def _ask(direction: _Direction, link: Link) -> None:
    direction.delay_ns, direction.jitter_ns, direction.queue_ns = link.delay_ns, link.jitter_ns, link.queue_ns
    direction.loss, direction.ns_per_byte = link.loss, 8e9 / link.rate_bps if link.rate_bps else 0.0


def _counted(state: _Router, devices: Sequence[_Device], held: int) -> Counted:
    """The counters; lateness starts anew."""
    down, up = (
        Packets(
            **{name: getattr(direction, name) for name in _COUNTERS},
            device=device.dropped(),
            queued_max_ns=direction.queued_max_ns,
        )
        for direction, device in zip(state.of, devices, strict=True)
    )
    steps = list(state.late)
    found = Counted(down, up, held, _quantile(steps, 0.5), _quantile(steps, 0.99), state.late_max_ns)
    ctypes.memset(state.late, 0, ctypes.sizeof(state.late))
    state.late_max_ns = state.late_sum_ns = 0
    return found


def _quantile(steps: Sequence[int], share: float) -> int:
    """The upper end of the step that has this share of the packets; 0 without packets."""
    wanted, seen = share * sum(steps), 0
    for step, count in enumerate(steps):
        seen += count
        if seen >= wanted > 0:
            return (step + 1) * _STEP_NS
    return 0


def _scheduling() -> str:
    """Before every ordinary process of its core, as the publisher, where that is permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    except PermissionError:
        return "as everyone"
    return "SCHED_FIFO 2"


if __name__ == "__main__":
    sys.exit(main())
