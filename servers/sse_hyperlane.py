"""`sse-hyperlane`: Server-Sent Events on hyperlane, the article's framework."""

from __future__ import annotations

from rtbench.servers.stacks.hyperlane import subject

SUBJECT = subject("sse", "Server-Sent Events on hyperlane (Rust), the article's framework, one thread")
