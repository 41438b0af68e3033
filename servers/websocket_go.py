"""`websocket-go`: WebSocket on Go's coder/websocket: a goroutine a connection, one Write a message."""

from __future__ import annotations

from rtbench.servers.stacks import go

SUBJECT = go.subject("websocket", "per-connection", "WebSocket on Go (coder/websocket)")
