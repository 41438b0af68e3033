"""`python -m rtbench.processes._loopback`: the CPU that a loopback sender spends on its receiver's TCP (R23).

This process writes a message to each of N connections in turn, as a server does with a broadcast; a child on another
core reads them. On loopback the kernel runs the receiver's TCP in the sender's softirq. Receive packet steering (RPS)
moves it to the receiver's core. The sender's CPU falls by the share. States of a burst:

- `off`: no steering; the receiver waits in epoll, so the sender's CPU includes the wake-up.
- `on`: steered to the receiver's core, where a slow socket filter runs before TCP. That core then never runs out of
  packets and needs no interrupts.
- `interrupted`: as `on` without the filter. An interrupt for every few packets costs the sender as much as it saves.
- `late-off`, `late-on`: the receiver reads after the burst; `late-on` steers its acknowledgements to the sender's core
  in the same way. The receiver's CPU falls by its cost for the sender's TCP.
- `dropped`: no steering; a socket filter drops each message before the receiver's TCP, and the kernel sends it again
  later. The sender's CPU falls by a part of the share. This state needs no privileges.

Invariant: steering is set in network and mount namespaces of this process alone. The machine's own `lo` does not
change, and nothing has to be restored, however this process ends. The sends' cost in Python is the same in each state
and cancels. Started by `rtbench.processes.loopback`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from rtbench.messages.lines import say
from rtbench.messages.loopback import MEASURE, Burst, Measure, Measured, State

MESSAGE_BYTES = 170
_WARM_UP_S = 0.02

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_RPS = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

# Classic BPF (linux/filter.h): code, jt, jf, k.
_DROP = [(0x06, 0, 0, 0)]
_SLOW = [(0x00, 0, 0, 1), *[(0x34, 0, 0, 3)] * 600, (0x06, 0, 0, 0xFFFFFFFF)]
"""Divides 600 times (some microseconds), then accepts the whole packet."""

_COUNT, _WAIT, _SLOWLY, _NOTHING, _PLAINLY = b"c", b"w", b"s", b"n", b"p"
"""Orders to the receiver: count a burst; wait for an order first; accept packets slowly; drop them; accept them."""


def main() -> int:
    """Execute one Measure, answer, exit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    wanted = MEASURE(sys.stdin.readline())
    why_not = _steering(alone=wanted.receiver not in os.sched_getaffinity(0))
    possible = wanted.states if not why_not else ("off", "dropped") if _filtering() else ("off",)
    with _Bench(wanted) as bench:
        for _ in range(wanted.warm_up):
            bench.burst("off", _WARM_UP_S)
        states = [state for state in wanted.states if state in possible]
        drawn = random.Random(0)
        orders = [drawn.sample(states, len(states)) for _ in range(wanted.rounds)]
        rounds = tuple({state: bench.burst(state, wanted.gap_s) for state in order} for order in orders)
    say(Measured(MESSAGE_BYTES, rounds, why_not))
    return 0


def _steering(alone: bool) -> str:
    """Enter new namespaces with `lo` up and its steering writable. Returns the reason if that fails, else "".

    `alone`: the receiver has a core of its own.
    """
    if not alone:
        return "sender and receiver share one core"
    if os.geteuid() != 0:
        return "receive packet steering needs root"
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0
        or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0
        or libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None) != 0
    ):
        return f"cannot create namespaces ({os.strerror(ctypes.get_errno())})"
    _bring_up()
    try:
        _steer(None)
    except OSError as error:
        return f"the kernel does not support receive packet steering ({error.strerror})"
    return ""


def _filtering() -> bool:
    """Whether a TCP socket accepts a filter. On newer kernels an ordinary user needs a user namespace (EPERM)."""
    if not _takes_filter() and ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        _bring_up()
    return _takes_filter()


def _takes_filter() -> bool:
    with socket.socket() as sock:
        try:
            _filter([sock], _DROP)
        except PermissionError:
            return False
    return True


def _bring_up() -> None:
    """Bring `lo` up: it is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _steer(core: int | None) -> None:
    """Steer packets on `lo` to that core; None: to the core that sends them."""
    mask = 0 if core is None else 1 << core
    groups = [f"{mask >> at & 0xFFFFFFFF:08x}" for at in range(0, max(1, mask.bit_length()), 32)]
    _RPS.write_text(",".join(reversed(groups)), encoding="ascii")


def _filter(connections: list[socket.socket], program: list[tuple[int, int, int, int]]) -> None:
    """Replace the sockets' filter; an empty program removes it."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    for connection in connections:
        if program:
            attached = struct.pack("HP", len(program), ctypes.addressof(code))
            connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
        else:
            connection.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _interrupts() -> int:
    """Steering's interrupts so far, on all cores: `received_rps` of /proc/net/softnet_stat."""
    lines = Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[9], 16) for line in lines)


class _Bench:
    """The connections and the receiver process, which ends when this process closes its socket or dies."""

    def __init__(self, wanted: Measure) -> None:
        self._cores = min(os.sched_getaffinity(0)), wanted.receiver
        self._count = wanted.connections
        listener = socket.create_server(("127.0.0.1", 0), backlog=wanted.connections)
        self._receiver, other = socket.socketpair()
        if os.fork() == 0:
            self._receiver.close()
            os.sched_setaffinity(0, {wanted.receiver})
            _receive(other, listener.getsockname(), wanted.connections)
            os._exit(0)
        other.close()
        self._connections = [listener.accept()[0] for _ in range(wanted.connections)]
        listener.close()
        for connection in self._connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sends = [connection.send for connection in self._connections]

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.close()
        os.wait()

    def burst(self, state: State, gap_s: float) -> Burst:
        """Send one message to each connection, `gap_s` after the last burst, in that state."""
        sender, receiver = self._cores
        late = state.startswith("late")
        if state in ("on", "interrupted"):
            _steer(receiver)
        elif state == "late-on":
            _steer(sender)
            _filter(self._connections, _SLOW)
        if state in ("on", "dropped"):
            self._tell(_SLOWLY if state == "on" else _NOTHING)
        time.sleep(gap_s)
        self._tell(_WAIT if late else _COUNT)
        before = _interrupts()
        sender_ns = self._send()
        if late:
            self._receiver.send(_COUNT)
        if state == "dropped":
            self._tell(_PLAINLY)  # the kernel sends dropped messages again some 200 ms later
        (receiver_ns,) = struct.unpack("q", self._answer(8))
        interrupts = _interrupts() - before
        if state == "on":
            self._tell(_PLAINLY)
        elif state == "late-on":
            _filter(self._connections, [])
        if state in ("on", "interrupted", "late-on"):
            _steer(None)
        return Burst(sender_ns / self._count, receiver_ns / self._count, interrupts / self._count)

    def _send(self) -> int:
        data = bytes(MESSAGE_BYTES)
        began = time.process_time_ns()
        for send in self._sends:
            send(data)
        return time.process_time_ns() - began

    def _tell(self, word: bytes) -> None:
        self._receiver.send(word)
        self._answer(1)

    def _answer(self, count: int) -> bytes:
        data = self._receiver.recv(count)
        if not data:
            raise SystemExit("the receiver ended")
        return data


def _receive(orders: socket.socket, address: tuple[str, int], count: int) -> None:
    """The receiver's loop: follow `orders`; after each burst, answer with the CPU used."""
    connections = [socket.create_connection(address) for _ in range(count)]
    poll = select.epoll()
    poll.register(orders, select.EPOLLIN)
    reads = {connection.fileno(): connection.recv for connection in connections}
    for number in reads:
        poll.register(number, select.EPOLLIN)
    filters = {_SLOWLY: _SLOW, _NOTHING: _DROP, _PLAINLY: []}
    began = received = 0
    while True:
        for number, _ in poll.poll():
            if number != orders.fileno():
                received += len(reads[number](65536))
                continue
            word = orders.recv(1)
            if not word:
                return
            if word in filters:
                _filter(connections, filters[word])
            orders.send(word)
            if word == _WAIT:
                orders.recv(1)
            if word not in filters:
                began, received = time.process_time_ns(), 0
        if received == count * MESSAGE_BYTES:
            orders.send(struct.pack("q", time.process_time_ns() - began))
            received = 0


if __name__ == "__main__":
    sys.exit(main())
