"""The second technique: every connection has a queue and sends through its library's public API.

The hub writes to a `QueuedTransport`, and the subject's handler takes from it and sends. The same limit holds: queued
bytes count as held.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from rtbench.servers.kit.channel import Around, ClientTransport

__all__ = ["Queued", "QueuedTransport"]


class Queued:
    """An encoder that leaves framing to the library: messages, notices and heartbeats are arguments of its API."""

    def __init__(
        self,
        message: Callable[[int, bytes], bytes],
        control: Callable[[str, dict[str, Any]], bytes],
        heartbeat: bytes,
    ) -> None:
        self.message = message
        self.control = control
        self.heartbeat = heartbeat


class QueuedTransport(Around):
    """A queue before one connection; iterate over it to send."""

    def __init__(self, transport: ClientTransport) -> None:
        super().__init__(transport)
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self._closed = False
        self._wake: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        """Queue one message."""
        self._items.append(data)
        self._bytes += len(data)
        self._rouse()

    def get_write_buffer_size(self) -> int:
        """Bytes held here and in the transport."""
        return self._bytes + self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Cut the connection."""
        self._items.clear()
        super().abort()

    def close(self) -> None:
        """End the iteration after the queued messages."""
        self._closed = True
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def __aiter__(self) -> QueuedTransport:
        return self

    async def __anext__(self) -> bytes:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = self._items.popleft()
        self._bytes -= len(data)
        return data
