"""`sse-faulty`: `sse-aiohttp` with injected faults."""

from __future__ import annotations

from rtbench.servers import sse_aiohttp
from rtbench.servers.faulty import subject

SUBJECT = subject(sse_aiohttp.SUBJECT)
