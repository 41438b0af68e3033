"""`websocket-hyperlane`: WebSocket on hyperlane, the article's framework."""

from __future__ import annotations

from rtbench.servers.stacks.hyperlane import subject

SUBJECT = subject("websocket", "WebSocket on hyperlane (Rust), the article's framework, one thread")
