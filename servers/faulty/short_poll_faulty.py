"""`short-poll-faulty`: `short-poll-aiohttp` with injected faults."""

from __future__ import annotations

from rtbench.servers import short_poll_aiohttp
from rtbench.servers.faulty import subject

SUBJECT = subject(short_poll_aiohttp.SUBJECT)
