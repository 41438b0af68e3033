"""Polling: does an unchanged answer cost a body, and does a long poll wait?"""

from __future__ import annotations

from rtbench.diagnosis import INFO, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, seconds


@check("no-304", transports=("short-poll",))
def validators(seen: Evidence) -> list[Finding]:
    """An answer has an ETag, and the same ETag gets 304 without a body."""
    first = seen.plain
    if first.status != 200:
        raise Undecided(f"the answer has status {first.status}")
    if "etag" not in first.headers and "last-modified" not in first.headers:
        text = "each poll gets the whole answer, also when nothing is new"
        return [Finding("no-304", INFO, text, "send an ETag, and 304 to If-None-Match", (first.header("ETag"),))]
    again = seen.validated
    if again is not None and again.status == 200 and again.headers.get("etag") == first.headers.get("etag"):
        text = "the server sends an ETag and ignores If-None-Match: each poll gets the whole answer"
        return [Finding("no-304", WARNING, text, "answer 304 when the ETag is still right", (first.header("ETag"),))]
    return []


@check("never-waits", transports=("long-poll",))
def waits(seen: Evidence) -> list[Finding]:
    """A long poll waits for news, and does not answer empty at once."""
    empty = [poll for poll in seen.polls[1:] if poll.status in (204, 304) or (poll.status == 200 and not poll.items)]
    quick = [poll for poll in empty if poll.stopped_at - poll.asked_at < 0.1]
    if len(seen.polls) < 3:
        raise Undecided("too few answers")
    if len(quick) < 3:
        return []
    waited = seconds(max(poll.stopped_at - poll.asked_at for poll in quick))
    text = "empty answers come at once, so every client asks without pause"
    return [Finding("never-waits", WARNING, text, "wait for news or the time-out", (f"{len(quick)} within {waited}",))]
