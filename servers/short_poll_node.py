"""`short-poll-node`: short polling on Node's node:http."""

from __future__ import annotations

from rtbench.servers.stacks.node import subject

SUBJECT = subject(
    "short-poll", "short polling on Node (node:http); encoded once, joined into each answer; ETag and 304"
)
