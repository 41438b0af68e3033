"""`websocket-node`: WebSocket on Node's ws."""

from __future__ import annotations

from rtbench.servers.stacks.node import subject

SUBJECT = subject("websocket", "WebSocket on Node (ws); one encoded frame for all connections")
