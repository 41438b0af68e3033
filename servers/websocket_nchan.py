"""`websocket-nchan`: WebSocket on nginx with Nchan."""

from __future__ import annotations

from rtbench.servers.stacks.nchan import subject

SUBJECT = subject("websocket", "WebSocket on nginx with Nchan (C), one worker")
