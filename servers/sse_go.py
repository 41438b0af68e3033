"""`sse-go`: Server-Sent Events on Go's net/http: a goroutine a connection, one Write and Flush a message."""

from __future__ import annotations

from rtbench.servers.stacks import go

SUBJECT = go.subject("sse", "per-connection", "Server-Sent Events on Go (net/http)")
