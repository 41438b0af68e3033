"""The meter: charges every byte that a server reads from and writes to its TCP connections to an account.

A browser uses one connection for a poll, then for a page, then for another poll, so bytes are charged to the request
that the connection serves: heads, chunks, frames and pings included. Invariant: a byte is charged once, and never to
another request (browsers do not pipeline). Bytes written to a connection that is then cut are charged, too. Used by the
demo only: no measured server has a meter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

Protocols = Callable[[], asyncio.Protocol]


@dataclass(slots=True)
class Account:
    """A subscriber's cost in bytes of the TCP stream (`down`: from the server), and its number of requests."""

    down: int = 0
    up: int = 0
    requests: int = 0


class MeteredConnection:
    """aiohttp's transport with a meter: it counts the bytes written and takes the count of bytes read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._account: Account | None = None
        self._busy = False
        self._unclaimed = 0
        """Bytes read before their request is known."""

    def begin(self) -> None:
        """A request came. Bytes written from now on have no account until `claim`."""
        self._account = None

    def claim(self, account: Account) -> None:
        """Charge this account: the bytes read for the request, and all that follow."""
        account.requests += 1
        account.up += self._unclaimed
        self._account, self._unclaimed, self._busy = account, 0, True

    def end(self) -> None:
        """The request is answered, or about to be: bytes read from now on belong to the next one."""
        self._unclaimed, self._busy = 0, False

    def heard(self, size: int) -> None:
        """Count `size` bytes read."""
        if self._busy and self._account is not None:
            self._account.up += size
        else:
            self._unclaimed += size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As the transport's."""
        self._charge(data)
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        """As the transport's."""
        every = list(parts)
        for data in every:
            self._charge(data)
        self._transport.writelines(every)

    def _charge(self, data: bytes | bytearray | memoryview) -> None:
        if self._account is not None and not self._transport.is_closing():
            self._account.down += memoryview(data).nbytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Metered(asyncio.Protocol):
    """Sits between a connection and the protocol that serves it."""

    def __init__(self, served: asyncio.Protocol) -> None:
        self._served = served
        self._link: MeteredConnection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = MeteredConnection(cast(asyncio.Transport, transport))
        self._served.connection_made(cast(asyncio.Transport, self._link))

    def data_received(self, data: bytes) -> None:
        assert self._link is not None
        self._link.heard(len(data))
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._served.connection_lost(exc)

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()


def metered(protocols: Protocols) -> Protocols:
    """A factory of `protocols`, each behind a meter."""
    return lambda: _Metered(protocols())
