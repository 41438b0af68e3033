"""`sse-nchan`: Server-Sent Events on nginx with Nchan."""

from __future__ import annotations

from rtbench.servers.stacks.nchan import subject

SUBJECT = subject("sse", "Server-Sent Events on nginx with Nchan (C), one worker", accept="text/event-stream")
