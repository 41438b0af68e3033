"""`short-poll-hyperlane`: short polling on hyperlane, the article's framework."""

from __future__ import annotations

from rtbench.servers.stacks.hyperlane import subject

SUBJECT = subject("short-poll", "short polling on hyperlane (Rust), the article's framework, one thread; ETag and 304")
