"""`long-poll-faulty`: `long-poll-aiohttp` with injected faults."""

from __future__ import annotations

from rtbench.servers import long_poll_aiohttp
from rtbench.servers.faulty import subject

SUBJECT = subject(long_poll_aiohttp.SUBJECT)
