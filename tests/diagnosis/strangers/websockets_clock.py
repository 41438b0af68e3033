"""The clock of the tutorial of `websockets`, on a port of this machine: a server of somebody else's."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from websockets.asyncio.server import ServerConnection, serve


async def clock(link: ServerConnection) -> None:
    while True:
        await link.send(datetime.now(UTC).isoformat())
        await asyncio.sleep(0.2)


async def main() -> None:
    async with serve(clock, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
