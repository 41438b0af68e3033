"""`long-poll-nchan`: long polling on nginx with Nchan; Last-Modified and Etag are the cursor.

An answer has everything that came since the last one, a line each (`nchan_longpoll_multipart_response raw`).
"""

from __future__ import annotations

from rtbench.servers.stacks.nchan import subject

SUBJECT = subject("long-poll", "long polling on nginx with Nchan (C), one worker; messages joined", "conditional")
