"""`long-poll-node`: long polling on Node's node:http."""

from __future__ import annotations

from rtbench.servers.stacks.node import subject

SUBJECT = subject("long-poll", "long polling on Node (node:http); messages encoded once, joined into each answer")
