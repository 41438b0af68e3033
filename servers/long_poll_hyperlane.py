"""`long-poll-hyperlane`: long polling on hyperlane, the article's framework."""

from __future__ import annotations

from rtbench.servers.stacks.hyperlane import subject

SUBJECT = subject("long-poll", "long polling on hyperlane (Rust), the article's framework, one thread")
