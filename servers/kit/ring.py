"""The replay ring: the newest messages of each channel, bounded in messages a channel and in bytes over all.

Invariant: a channel's held messages are consecutive ids that end with its last; the oldest are dropped first.
A finite stream is kept whole, since a late subscriber gets all of it (interface.md). The hub keeps encoded messages,
the publisher keeps payloads to refill a restarted server.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

__all__ = ["Budget", "Held", "Ring"]


class Held(NamedTuple):
    """One message: its id, its due time (CLOCK_MONOTONIC), its bytes (encoded in a hub, the payload in a publisher)."""

    seq: int
    due_ns: int
    data: bytes


class Ring:
    """One channel's messages. Bytes over all channels are bounded by the `Budget` that they share."""

    __slots__ = ("_budget", "_limit", "finite", "held", "last")

    def __init__(self, budget: Budget, limit_messages: int, finite: bool) -> None:
        self.held: deque[Held] = deque()
        self.last = 0
        self.finite = finite
        self._limit = limit_messages
        self._budget = budget

    def append(self, seq: int, due_ns: int, data: bytes) -> None:
        """Keep the next message, and drop the oldest over the limits."""
        self.held.append(Held(seq, due_ns, data))
        self.last = seq
        if not self.finite:
            if len(self.held) > self._limit:
                self._budget.changed(len(data) - len(self.held.popleft().data))
            else:
                self._budget.grew(self, len(data))

    def clear(self) -> None:
        """Drop everything; the next message may have any higher id."""
        if not self.finite:
            self._budget.used -= sum(len(held.data) for held in self.held)
        self.held.clear()

    @property
    def first(self) -> int:
        """The oldest id held; one past the last when the ring is empty."""
        return self.held[0].seq if self.held else self.last + 1

    def after(self, cursor: int) -> list[Held]:
        """The held messages with a higher id than `cursor`, oldest first."""
        missing = self.last - cursor
        if missing <= 0:
            return []
        if missing >= len(self.held):
            return list(self.held)
        newest = list(islice(reversed(self.held), missing))
        newest.reverse()
        return newest


class Budget:
    """The limit of bytes over all rings of a process. Over it, the ring that grew longest ago drops a message first.

    A ring has one place in the order for each message that it holds beyond the last. A ring that replaces its oldest
    message keeps its places.
    """

    __slots__ = ("_limit", "_order", "used")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._order: deque[Ring] = deque()
        self.used = 0

    def grew(self, ring: Ring, size: int) -> None:
        """`ring` holds one message of `size` bytes more."""
        self._order.append(ring)
        self.changed(size)

    def changed(self, size: int) -> None:
        """Count `size` more bytes; drop what is over the limit."""
        self.used += size
        while self.used > self._limit and self._order:
            oldest = self._order.popleft()
            if len(oldest.held) > 1:
                self.used -= len(oldest.held.popleft().data)
