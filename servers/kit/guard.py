"""What clients may take of a server (`[server]`), counted in one place for all servers on asyncio.

A `Guard` has a server's bounds, its connections, the rates of each address, and what was refused by its reason, for the
trial's manifest. Invariant: nothing here runs when a server sends. Used by `door`, which applies the bounds to each
connection, and by the handlers of POSTs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from rtbench.messages.server import Bounds
from rtbench.servers.kit.frames import Bucket

if TYPE_CHECKING:
    from rtbench.servers.kit.door import Door

__all__ = ["Guard"]

LOOK_S = 0.5
"""The time between two looks for heads that are late."""
PEERS = 10_000
"""So many addresses have a rate of their own at once."""


class Guard:
    """One server's bounds and counts."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.refused: Counter[str] = Counter()
        """Refusals by the key of the bound, or `origin` or `frames`."""
        self.connections = 0
        self._by_peer: Counter[str] = Counter()
        self._posts: dict[str, Bucket] = {}
        self._requests: dict[str, Bucket] = {}
        self.heads: dict[Door, bool] = {}
        """Doors whose head is not whole, the oldest first; true: seen late once."""
        self.lingering: dict[Door, float] = {}
        """Refused clients, and until when they may linger."""
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, peer: str) -> str:
        """Count a connection. Returns the bound that it would exceed, and then does not count it; else "".

        It counts as its first request, whether that comes or not.
        """
        if not self.requests(peer, 1):
            return "requests_hz"
        if self.connections >= self.bounds.connections:
            return "connections"
        if self._by_peer[peer] >= self.bounds.connections_by_peer:
            return "connections_by_peer"
        self.connections += 1
        self._by_peer[peer] += 1
        return ""

    def leave(self, peer: str) -> None:
        """A counted connection is over."""
        self.connections -= 1
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]

    def publishes(self, peer: str) -> bool:
        """Count a message that came by POST; whether it is within the rate of its address."""
        bucket = self._posts.get(peer) or _bucket(self._posts, peer, self.bounds.publishes_hz)
        if bucket.take():
            return True
        self.refused["publishes_hz"] += 1
        return False

    def requests(self, peer: str, count: int) -> bool:
        """Whether so many more requests are within the rate of this address."""
        bucket = self._requests.get(peer) or _bucket(self._requests, peer, self.bounds.requests_hz)
        return bucket.take(count)

    def look(self) -> None:
        """Look for late heads, again and again as long as there are some at all."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(min(LOOK_S, self.bounds.head_s / 2), self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for door in list(self.heads):
            if now_s < door.since_s + self.bounds.head_s:
                break
            # At the second look: a process that was stopped reads what came meanwhile before it judges.
            if self.heads[door]:
                door.late()
            else:
                self.heads[door] = True
        for door, until_s in list(self.lingering.items()):
            if now_s >= until_s:
                door.abort()
        if self.heads or self.lingering:
            self.look()

    def close(self) -> None:
        """Close what waits for its head: the server stops."""
        for door in [*self.heads, *self.lingering]:
            door.abort()


def _bucket(rates: dict[str, Bucket], peer: str, hz: float) -> Bucket:
    """A rate for one more address. Where there are many, those that were silent for a second go."""
    if len(rates) >= PEERS:
        for name in [name for name, each in rates.items() if each.full]:
            del rates[name]
    return rates.setdefault(peer, Bucket(hz))
