"""The server's end of the feed: the publisher's ticks go into the hub, subscribers' messages go to the publisher.

Invariant: a server without a publisher tries to reconnect for ever; the publisher then sends the missed ticks. Called
by `app`.
"""

from __future__ import annotations

import asyncio
from typing import cast

from rtbench.messages.feed import HELLO
from rtbench.servers.kit import feed
from rtbench.servers.kit.hub import Hub

__all__ = ["ingest"]


class Ingest(asyncio.Protocol):
    """One connection to the publisher."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._reader = feed.Reader()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the uplink over this connection."""
        self._hub.fed_by(cast(asyncio.WriteTransport, transport).write)

    def data_received(self, data: bytes) -> None:
        """Publish ticks as they arrive."""
        for kind, body in self._reader.feed(data):
            if kind == feed.TICKS:
                self._hub.publish(body)
            elif kind == feed.HELLO:
                self._hub.hello(HELLO(body))
            elif kind == feed.LIVE:
                self._hub.live.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The publisher is gone; `ingest` tries again."""
        self._hub.fed_by(None)
        if not self.lost.done():
            self.lost.set_result(None)


async def ingest(hub: Hub, path: str) -> None:
    """Stay connected to the publisher at `path`, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, protocol = await loop.create_unix_connection(lambda: Ingest(hub), path)
            await protocol.lost
        except OSError:
            pass
        await asyncio.sleep(0.05)
