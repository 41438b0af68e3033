"""`websocket-faulty`: `websocket-aiohttp` with injected faults."""

from __future__ import annotations

from rtbench.servers import websocket_aiohttp
from rtbench.servers.faulty import subject

SUBJECT = subject(websocket_aiohttp.SUBJECT)
