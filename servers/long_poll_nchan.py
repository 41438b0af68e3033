"""`long-poll-nchan`: long polling on nginx with Nchan; Last-Modified and Etag are the cursor, a message an answer."""

from __future__ import annotations

from rtbench.servers.stacks.nchan import subject

SUBJECT = subject("long-poll", "long polling on nginx with Nchan (C), one worker; one message an answer", "conditional")
