"""`short-poll-go`: polling on Go's net/http, answered at once with the new messages, or with 304."""

from __future__ import annotations

from rtbench.servers.stacks import go

SUBJECT = go.subject("short-poll", "encode-once", "short polling on Go (net/http); ETag and 304")
