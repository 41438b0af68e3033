"""`short-poll-nchan`: Nchan's interval polling on nginx; Last-Modified and Etag are the cursor, a message an answer.

Nchan's interval poll answers with the message after the cursor, or at once with 304. It cannot join messages: with
`nchan_longpoll_multipart_response` it gathers what is waiting, then answers 304 with the cursor behind it
(longpoll_respond_status in Nchan 1.3.6), and the messages are lost; tried with 1.3.6. So a client that wants everything
that is waiting asks on at once until the 304, and then waits for its next slot. That is one request a message and one
an interval, where other stacks have one an interval: the stack decides their number here, not only their price.
"""

from __future__ import annotations

from rtbench.servers.stacks.nchan import subject

SUBJECT = subject(
    "short-poll",
    "interval polling on nginx with Nchan (C), one worker; one message an answer, asked on until 304",
    "interval",
    place="poll",
)
