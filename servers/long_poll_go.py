"""`long-poll-go`: long polling on Go's net/http: a request waits for a new message, or until its time is up."""

from __future__ import annotations

from rtbench.servers.stacks import go

SUBJECT = go.subject("long-poll", "encode-once", "long polling on Go (net/http)")
