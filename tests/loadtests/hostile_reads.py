"""Hostile bytes through the inner loop in C; `test_sanitized.py` runs it under the sanitizers, in a process of its own.

`python hostile_reads.py LIBRARY`: prints `reads N bytes M`. Every byte that a socket got must be in the capture buffer.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

from rtbench.loadtests.reactor.capture import READ_BYTES
from rtbench.loadtests.reactor.compiled import CompiledReactor
from rtbench.loadtests.reactor.reactor import EPOLLIN, SO_TIMESTAMPNS

PATIENCE_S = 120
_UNTIL = random.Random(5)
TOKENS = (
    b"\x81", b"\x81\x00", b"\x81\x7d", b"\x81\x7e", b"\x81\x7e\x00", b"\x81\x7e\xff\xff",
    b"\x81\x7e\x00\x7e" + b"x" * 126,
    b"\x81\x7f" + b"\xff" * 8, b"\x81\xff", b"\x89\x00", b"\x88\x02\x03\xe8", b"\xff" * 14, b"\0", b"\r\n",
    b"data: x\n\n",
)  # fmt: skip


class Link:
    """What the reactor needs of a connection, over TCP, so that reads have the kernel's stamps."""

    def __init__(self, reactor: CompiledReactor, listener: socket.socket) -> None:
        self.reactor: Any = reactor
        self.socket = socket.create_connection(listener.getsockname())
        self.ours, _ = listener.accept()
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.index, self.closed_ns, self.connected_ns, self.outcome = len(reactor.links), -1, 1, ""
        self.look: Any = None
        self.but_plain_text = False
        self.reactor.links.append(self)
        self.reactor._epoll.register(self.socket.fileno(), EPOLLIN)
        self.reactor._by_descriptor[self.socket.fileno()] = (self.socket.recvmsg_into, self.index, self)
        self.reactor.listen(self)

    def watch(self, kind: int) -> None:
        """0: no looks; 1: at every read; 2: at reads that are not one plain text frame."""
        self.look, self.but_plain_text = (lambda *_: None) if kind else None, kind == 2
        self.reactor.heed(self)

    def over(self, outcome: str) -> None:
        self.outcome, self.closed_ns = outcome, 1
        self.reactor.forget(self)


def send(reactor: CompiledReactor, link: Link, data: bytes) -> None:
    """Send, and read until all of it is captured. A full buffer is emptied in between, as the recorder does."""
    got = bytearray()

    def empty() -> None:
        got.extend(reactor.capture.view[: reactor.capture.at])
        reactor.capture.clear()

    reactor.on_full = empty
    giver_at, deadline = 0, time.monotonic() + PATIENCE_S
    while len(got) + reactor.capture.at < len(data):
        if giver_at < len(data):
            giver_at += link.ours.send(data[giver_at : giver_at + 4 * READ_BYTES])
        reactor._step(_UNTIL.choice((-1, 0, time.monotonic_ns() + 1_000_000)))
        assert time.monotonic() < deadline
    empty()
    assert bytes(got) == data


def main(library: Path) -> None:
    random.seed(16)
    reactor = CompiledReactor(0, library)
    reads = total = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for kind in (0, 1, 2):
            link = Link(reactor, listener)
            link.watch(kind)
            inputs = [*TOKENS, *(b"".join(random.choices(TOKENS, k=5)) for _ in range(100))]
            inputs += [
                random.randbytes(size) for size in (1, 2, 3, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 9 * READ_BYTES)
            ]
            for data in inputs:
                send(reactor, link, data)
                reads, total = reads + 1, total + len(data)
            if kind == 1:  # a reset instead of an end
                link.ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            link.ours.close()
            while not link.outcome:
                reactor._step(0)
    sys.stdout.write(f"reads {reads} bytes {total}\n")
    sys.stdout.flush()
    os._exit(0)  # no greenlet has run; none has to end


if __name__ == "__main__":
    main(Path(sys.argv[1]))
