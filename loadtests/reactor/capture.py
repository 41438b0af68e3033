"""The capture buffer: the bytes of every read with its stamps, in reading order.

Invariant: inside the measured window a read costs one `recvmsg_into` to the buffer and three numbers. Decoding waits
until the window is over (or the buffer is full), is the same for every transport, and works on the original bytes.
Memory is allocated and touched before the first read. Written by the reactor, read by the recorder.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

READ_BYTES = 65536
NO_STAMP = bytes(16)
_PAGE = 4096


class CaptureBuffer:
    """`size_bytes` of preallocated bytes; `reads` holds (link, app_ns, bytes) and `stamps` 16 bytes a read.

    A read of a sealed connection has the link `index | SEALED` (`tls`).
    """

    def __init__(self, size_bytes: int) -> None:
        size_bytes = max(size_bytes, 4 * READ_BYTES)
        self.data = bytearray(size_bytes)
        for page in range(0, size_bytes, _PAGE):
            self.data[page] = 1  # touched, so that the window has no page faults
        self.view = memoryview(self.data)
        self.limit = size_bytes - READ_BYTES
        self.at = 0
        self.reads = array("q")
        self.stamps = bytearray()
        self.cleared = 0
        """How often it was."""

    def reads_of(self, links: Iterable[int], first: int, at: int) -> dict[int, list[tuple[int, int, int]]]:
        """By link, as `reads` has it: number, start and end of its reads, from read number `first`, at `at`, on."""
        reads = np.frombuffer(self.reads, dtype=np.int64).reshape(-1, 3)[first:]
        chosen = np.flatnonzero(np.isin(reads[:, 0], list(links)))
        ends = at + np.cumsum(reads[:, 2])[chosen]
        found: dict[int, list[tuple[int, int, int]]] = {}
        for number, end in zip(chosen.tolist(), ends.tolist(), strict=True):
            link, size = self.reads[3 * (first + number)], self.reads[3 * (first + number) + 2]
            found.setdefault(link, []).append((first + number, end - size, end))
        return found

    def clear(self) -> None:
        """Start again at offset 0, in place, after decoding."""
        self.at = 0
        self.cleared += 1
        del self.reads[:]
        self.stamps.clear()
