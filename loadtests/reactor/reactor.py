"""One epoll set for all sockets of a Locust process, read by one greenlet.

While messages come, the greenlet stays in `epoll_wait` itself, until a timer is due or other greenlets must run. When
nothing comes for long, it waits for the set's own descriptor on gevent's hub. Invariant: every read goes to the capture
buffer with the kernel's receive stamp (SO_TIMESTAMPNS, R2) and the application's; timers run when due, user greenlets
at least every 10 ms. Users (loadtests/users.py) create links; only the reactor touches sockets.
"""

from __future__ import annotations

import ctypes
import errno
import heapq
import os
import socket
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import gevent
from gevent import get_hub, monkey
from gevent.hub import Waiter

from rtbench.loadtests.reactor.capture import NO_STAMP, READ_BYTES, CaptureBuffer
from rtbench.loadtests.reactor.tls import SEALED, Tls, TlsError, TlsSocket

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.links import Link, SealedLink

SO_TIMESTAMPNS = 35
EPOLLIN, EPOLLOUT = 1, 4
MILLISECOND_NS = 1_000_000
TURN_NS = 10_000_000
"""The longest wait in its own set: each end of a wait costs some 40 us of CPU on a virtual machine, twice that through
the hub."""
YIELD_NS = 5_000_000
"""After running for so long, the reactor lets other greenlets run between two waits."""
PATIENCE_TURNS = 50
"""After so many turns without a read it waits in the hub."""
MOST_EVENTS = 512
OPEN_NS = 500_000_000
"""The longest time until a ping on a sealed connection is answered: one pass over the capture buffer serves many."""
_ANCILLARY_BYTES = 64

# Importing locust patches these; the reactor needs the originals.
_epoll = monkey.get_original("select", "epoll")
_select = monkey.get_original("select", "select")
_socket = monkey.get_original("socket", "socket")
_libc = ctypes.CDLL(None, use_errno=True)
_UNSPEC = bytes(16)
"""A sockaddr of the family AF_UNSPEC, which Python's socket does not take."""


class Reactor:
    """The epoll set, its links by descriptor, and its timers."""

    def __init__(self, capture_bytes: int) -> None:
        self.capture = CaptureBuffer(capture_bytes)
        self.links: list[Link] = []
        self.on_full: Callable[[], object] = self.capture.clear
        self.shares = False
        """Whether it waits in the hub only, so that other greenlets of the process run without waiting for it."""
        self._epoll = _epoll()
        self._by_descriptor: dict[int, tuple[Callable[..., Any], int, Link]] = {}
        self._timers: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._owed: dict[SealedLink, None] = {}
        self._waiter: Waiter | None = None
        # Started once: each start adds the set to libev's own, and the kernel then walks all of its sockets.
        self._watcher = get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._resume)
        self._greenlet = gevent.spawn(self._run)

    # Sockets

    def connect(self, link: Link, family: int, address: tuple[Any, ...], tls: Tls | None = None) -> None:
        """Begin to connect; then the link's `connected()` or `over(outcome)` is called. `tls`: encrypt with it."""
        sock = _socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # gevent does not set it
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if link.deaf:
            # The kernels then hold some 100 KB for a link that stops reading, not megabytes: segments size the buffers.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        link.index = len(self.links)
        link.socket = sock if tls is None else TlsSocket(sock, tls, link.secured, link.session)
        link.read = link.socket.recvmsg_into
        self.links.append(link)
        link.started_ns = time.monotonic_ns()
        error = sock.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            link.over(outcome(error))
            return
        self._by_descriptor[sock.fileno()] = (link.read, link.index, link)
        self._epoll.register(sock.fileno(), EPOLLOUT)
        self.wake()

    def listen(self, link: Link, also_write: bool = False) -> None:
        """Wait for bytes (and, with `also_write`, for room to send)."""
        self._epoll.modify(link.socket.fileno(), EPOLLIN | (EPOLLOUT if also_write else 0))

    def heed(self, link: Link) -> None:
        """The link's `look` changed (`Link.watch`). This reactor reads it anew for every read."""

    def seal(self, link: Link) -> None:
        """From the next read on capture the bytes of a TLS connection as they come; the recorder decrypts them."""
        read = link.socket.raw.recvmsg_into
        self._by_descriptor[link.socket.fileno()] = (read, link.index | SEALED, link)

    def open_soon(self, link: SealedLink) -> None:
        """Within OPEN_NS, decrypt what was captured of this link, and call its `caught_up`."""
        if not self._owed:
            self.at(time.monotonic_ns() + OPEN_NS, self._open_owed)
        self._owed[link] = None

    def _open_owed(self) -> None:
        owed, self._owed = [link for link in self._owed if link.closed_ns < 0], {}
        self.open_sealed(owed)

    def open_sealed(self, links: Sequence[SealedLink]) -> None:
        """Decrypt what was captured of these links, in one pass over the capture buffer."""
        if not links:
            return
        capture = self.capture
        first, at = min(link.opened_up_to for link in links)
        reads = capture.reads_of([link.index | SEALED for link in links], first, at)
        now = len(capture.reads) // 3, capture.at
        for link in links:
            begun, _ = link.opened_up_to
            mine = [
                bytes(capture.view[start:end]) for n, start, end in reads.get(link.index | SEALED, ()) if n >= begun
            ]
            link.opened_up_to = now
            link.caught_up(mine)

    def ignore(self, link: Link) -> None:
        """Stop reading the link's socket until its peer resets it."""
        self._epoll.modify(link.socket.fileno(), 0)

    def reset(self, link: Link) -> None:
        """Reset the link's connection as the network would: its peer gets a RST, its own next read ECONNRESET.

        Connecting a TCP socket to AF_UNSPEC does that (connect(2); tcp_disconnect in the kernel). Raises OSError.
        """
        if _libc.connect(link.socket.fileno(), _UNSPEC, len(_UNSPEC)):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def forget(self, link: Link) -> None:
        """Close the link's socket."""
        descriptor = link.socket.fileno()
        if descriptor >= 0:
            self._by_descriptor.pop(descriptor, None)
            link.socket.close()  # also removes it from the epoll set

    @property
    def open_connections(self) -> int:
        """Sockets in the set."""
        return len(self._by_descriptor)

    # Timers

    def at(self, due_ns: int, call: Callable[..., object], *arguments: Any) -> None:
        """Call at `due_ns` (CLOCK_MONOTONIC), or as soon as the reactor is free after it."""
        heapq.heappush(self._timers, (due_ns, next(self._order), call, arguments))
        if self._timers[0][0] == due_ns:
            self.wake()

    def _run_timers(self, now_ns: int) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now_ns:
            _, _, call, arguments = heapq.heappop(timers)
            call(*arguments)

    # The loop

    def wake(self) -> None:
        """Check timers and sockets again."""
        if self._waiter is not None:
            get_hub().loop.run_callback(self._resume)  # only the hub may switch

    def _resume(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch(None)

    def _wait(self) -> None:
        hub = get_hub()
        waiter = self._waiter = Waiter(hub)
        timer = None
        if self._timers:
            hub.loop.update_now()
            delay = max(0.0, (self._timers[0][0] - time.monotonic_ns()) / 1e9)
            timer = hub.loop.timer(delay)
            timer.start(self._resume)
        try:
            waiter.get()
        finally:
            self._waiter = None
            if timer is not None:
                timer.stop()
                timer.close()

    def _yield(self) -> None:
        """Run one turn of the hub's loop with sockets and timers; `gevent.sleep(0)` checks these every 50th time."""
        hub = get_hub()
        waiter = Waiter(hub)
        with hub.loop.timer(0) as timer:
            timer.start(waiter.switch, None)
            waiter.get()

    def _run(self) -> None:
        yielded, quiet = time.monotonic_ns(), 0
        while True:
            until = 0 if self.shares else yielded + TURN_NS
            if self._timers:
                until = min(until, self._timers[0][0])
            quiet = 0 if self._read(until) else quiet + 1 + PATIENCE_TURNS * self.shares
            if quiet > PATIENCE_TURNS:
                self._wait()
                yielded = time.monotonic_ns()
            now = time.monotonic_ns()
            if self._timers and self._timers[0][0] <= now:
                self._run_timers(now)
            if now - yielded >= YIELD_NS or (self.shares and not quiet):
                self._yield()
                yielded = time.monotonic_ns()

    def _read(self, until_ns: int) -> bool:
        """Read until `until_ns`, and at least once. Returns whether anything came."""
        poll, came = self._epoll.poll, False
        while True:
            left_ns = until_ns - time.monotonic_ns()
            # epoll_wait(2) counts milliseconds; select(2) on its descriptor counts microseconds.
            ready = poll(left_ns // MILLISECOND_NS / 1e3 if left_ns > 0 else 0, MOST_EVENTS)
            if (
                not ready
                and 0 < left_ns < MILLISECOND_NS
                and _select((self._epoll.fileno(),), (), (), left_ns / 1e9)[0]
            ):
                ready = poll(0, MOST_EVENTS)
            if ready:
                came = True
                self._drain(ready)
            if time.monotonic_ns() >= until_ns:
                return came

    def _drain(self, ready: list[tuple[int, int]]) -> None:
        # The inner loop of all measurements: every message pays for each name here (explanation/accuracy.md).
        known, capture = self._by_descriptor, self.capture
        now_ns, view, limit = time.monotonic_ns, capture.view, capture.limit
        note, stamps = capture.reads.extend, capture.stamps
        for descriptor, mask in ready:
            entry = known.get(descriptor)
            if entry is None:
                continue
            read, index, link = entry
            if mask & EPOLLOUT:
                self._writable(link)
                if not mask & EPOLLIN:
                    continue
            if capture.at > limit:
                self.on_full()
            at = capture.at
            try:
                size, ancillary, _, _ = read([view[at : at + READ_BYTES]], _ANCILLARY_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                link.over(f"error ({error.why})" if isinstance(error, TlsError) else outcome(error.errno))
                continue
            stamp_ns = now_ns()
            if not size:
                link.over("closed")
                continue
            note((index, stamp_ns, size))
            stamps += ancillary[0][2] if ancillary else NO_STAMP
            capture.at = at + size
            if link.look is not None:
                link.look(at, at + size, stamp_ns)

    def _writable(self, link: Link) -> None:
        if link.connected_ns < 0:
            error = link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                link.over(outcome(error))
                return
            link.connected_ns = time.monotonic_ns()
            self.listen(link)
            if isinstance(link.socket, TlsSocket):
                link.socket.begin()
            else:
                link.connected()
        else:
            link.flush()

    def drain(self) -> None:
        """Read the bytes that the sockets hold now; do not wait for more."""
        for _ in range(64):
            ready = self._epoll.poll(0, MOST_EVENTS)
            if not ready:
                return
            self._drain(ready)


def outcome(error: int | None) -> str:
    """The name of a connection's error number in connections.parquet."""
    names = {
        errno.ECONNREFUSED: "refused",
        errno.ECONNRESET: "reset",
        errno.EPIPE: "reset",
        errno.ETIMEDOUT: "timeout",
    }
    return names.get(error or 0) or f"error ({os.strerror(error or 0)})"
