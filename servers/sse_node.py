"""`sse-node`: Server-Sent Events on Node's node:http."""

from __future__ import annotations

from rtbench.servers.stacks.node import subject

SUBJECT = subject("sse", "Server-Sent Events on Node (node:http); one encoded chunk for all connections")
