"""The reactor with its inner loop in C (`inner_loop.c`): Python runs when a timer is due or a link looks at a read.

Invariant: bytes, stamps and calls to links are the same as from `Reactor`, and the same tests hold both. `Reactor`
still does connecting, TLS handshakes, ends, errors, and TLS that is decrypted at once; it is C that reads sealed
connections. The two structures below match those in `inner_loop.c`.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtbench.loadtests.reactor.reactor import Reactor, outcome
from rtbench.loadtests.reactor.tls import SEALED, TlsSocket

if TYPE_CHECKING:
    from rtbench.loadtests.reactor.links import Link

_MOST_READS = 4096
_NOTE_BYTES, _STAMP_BYTES = 24, 16
"""The record of a read: link, application stamp and size; the kernel's stamp."""
_DESCRIPTORS = 2**17
_EVENT_BYTES, _EVENTS = 16, 512  # 12 where epoll_event is packed
_IDLE, _DUE, _FULL, _LOOK, _OVER, _OTHER = range(6)
_NOBODY_LOOKS, _ALWAYS, _UNLESS_PLAIN_TEXT, _UNLESS_BULK = range(4)


class _Drain(ctypes.Structure):
    _fields_ = (
        ("at", ctypes.c_int64),
        ("limit", ctypes.c_int64),
        ("made", ctypes.c_int64),
        ("most", ctypes.c_int64),
        ("armed_ns", ctypes.c_int64),
        ("descriptors", ctypes.c_int64),
        ("epoll", ctypes.c_int32),
        ("timer", ctypes.c_int32),
        ("next", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("descriptor", ctypes.c_int32),
        ("mask", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("capture", ctypes.c_void_p),
        ("reads", ctypes.c_void_p),
        ("stamps", ctypes.c_void_p),
        ("links", ctypes.c_void_p),
        ("cares", ctypes.c_void_p),
        ("events", ctypes.c_char * (_EVENT_BYTES * _EVENTS)),
    )


class CompiledReactor(Reactor):
    """A `Reactor` that reads with `library`, from `rtbench.machine.inner_loop.library`."""

    def __init__(self, capture_bytes: int, library: Path) -> None:
        super().__init__(capture_bytes)
        compiled = ctypes.CDLL(str(library))
        assert ctypes.c_int64.in_dll(compiled, "drain_events_at").value == _Drain.events.offset
        self._run_in_c = compiled.drain
        self._run_in_c.argtypes = (ctypes.c_void_p, ctypes.c_int64)
        self._links = np.full(_DESCRIPTORS, -1, dtype=np.int32)
        self._cares = np.zeros(_DESCRIPTORS, dtype=np.uint8)
        self._new_reads = np.zeros(_NOTE_BYTES * _MOST_READS, dtype=np.uint8)
        self._new_stamps = np.zeros(_STAMP_BYTES * _MOST_READS, dtype=np.uint8)
        self._state = _Drain(
            limit=self.capture.limit,
            most=_MOST_READS,
            descriptors=_DESCRIPTORS,
            epoll=self._epoll.fileno(),
            capture=np.frombuffer(self.capture.data, dtype=np.uint8).ctypes.data,
            reads=self._new_reads.ctypes.data,
            stamps=self._new_stamps.ctypes.data,
            links=self._links.ctypes.data,
            cares=self._cares.ctypes.data,
        )
        if error := compiled.drain_begin(ctypes.byref(self._state)):
            raise OSError(error, os.strerror(error))

    def listen(self, link: Link, also_write: bool = False) -> None:
        super().listen(link, also_write)
        descriptor = link.socket.fileno()
        if not isinstance(link.socket, TlsSocket) and descriptor < _DESCRIPTORS:
            self._links[descriptor] = link.index
            self.heed(link)

    def heed(self, link: Link) -> None:
        if link.index < 0 or link.closed_ns >= 0:
            return
        descriptor = link.socket.fileno()
        known = int(self._links[descriptor]) if 0 <= descriptor < _DESCRIPTORS else -1
        if known & ~SEALED == link.index:
            look = (
                _UNLESS_BULK
                if known & SEALED and not link.at_once
                else _UNLESS_PLAIN_TEXT
                if link.but_plain_text
                else _ALWAYS
            )
            self._cares[descriptor] = _NOBODY_LOOKS if link.look is None else look

    def seal(self, link: Link) -> None:
        super().seal(link)
        descriptor = link.socket.fileno()
        if 0 <= descriptor < _DESCRIPTORS:
            self._links[descriptor] = link.index | SEALED
            self.heed(link)

    def forget(self, link: Link) -> None:
        descriptor = link.socket.fileno()
        if 0 <= descriptor < _DESCRIPTORS:
            self._links[descriptor] = -1
        super().forget(link)

    def _read(self, until_ns: int) -> bool:
        return self._step(until_ns) != _IDLE

    def _step(self, until_ns: int) -> int:
        """Read until `until_ns` or until Python has work; do that work and return its kind."""
        state, capture = self._state, self.capture
        state.at = capture.at
        why: int = self._run_in_c(ctypes.addressof(state), until_ns)
        if made := state.made:
            capture.at = state.at
            capture.reads.frombytes(self._new_reads[: _NOTE_BYTES * made].data)
            capture.stamps += self._new_stamps[: _STAMP_BYTES * made].data
        if why == _LOOK:
            index, stamp_ns, size = capture.reads[-3:]
            look = self.links[index & ~SEALED].look
            assert look is not None  # set by `heed`
            look(capture.at - size, capture.at, stamp_ns)
        elif why == _FULL:
            if capture.at > capture.limit:
                self.on_full()
        elif why == _OVER:
            link = self.links[self._links[state.descriptor] & ~SEALED]
            link.over(outcome(state.error) if state.error else "closed")
        elif why == _OTHER:
            self._drain([(state.descriptor, state.mask)])
        return why
