"""The clock of the tutorial of `websockets`: a server of somebody else, on the listening socket with number argv[1]."""

from __future__ import annotations

import asyncio
import socket
import sys
from datetime import UTC, datetime

from websockets.asyncio.server import ServerConnection, serve


async def clock(link: ServerConnection) -> None:
    while True:
        await link.send(datetime.now(UTC).isoformat())
        await asyncio.sleep(0.2)


async def main() -> None:
    async with serve(clock, sock=socket.socket(fileno=int(sys.argv[1]))) as server:
        await server.serve_forever()


asyncio.run(main())
