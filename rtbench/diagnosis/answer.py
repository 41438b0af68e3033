"""The answer itself: is there one, is it an event stream, does it end where it should, do its events come out?"""

from __future__ import annotations

from rtbench.diagnosis import ERROR, EVERY, POLL, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, quote, seconds
from rtbench.diagnosis._listening import looks_like_events
from rtbench.diagnosis._recording import CUT, ENDED, OPEN

UPGRADE = "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


@check("no-answer", transports=EVERY)
def answered(seen: Evidence) -> list[Finding]:
    """The server answers a request with the status that its transport needs."""
    plain = seen.plain
    if not plain.status:
        waited = f"no response head within {seconds(plain.stopped_at - plain.asked_at)}"
        text = "the server accepts the connection and does not answer"
        remedy = "send the head at once, before the first event; behind a proxy: turn its buffering off"
        return [Finding("no-answer", ERROR, text, remedy, (plain.why or waited,))]
    wanted = 101 if seen.transport == "websocket" else 200
    if plain.status == wanted or (seen.transport in POLL and plain.status in (204, 304)):
        return []
    evidence = (plain.line or f"status {plain.status}", plain.header("Server"))
    if plain.status == 204:
        text, remedy = "the stream has ended: 204 stops an EventSource", "answer 200 while events may still come"
    elif wanted == 101:
        text, remedy = f"the upgrade to WebSocket fails with status {plain.status}", f"check the path; {UPGRADE}"
    else:
        text, remedy = f"the stream is refused with status {plain.status}", "check the path and the access rules"
    return [Finding("no-answer", ERROR, text, remedy, evidence)]


@check("wrong-content-type", transports=("sse",))
def content_type(seen: Evidence) -> list[Finding]:
    """An event stream is text/event-stream in UTF-8; an EventSource refuses anything else."""
    plain = seen.plain
    if plain.status != 200:
        raise Undecided("the answer is not a stream")
    kind, _, rest = plain.headers.get("content-type", "").partition(";")
    evidence = (plain.header("Content-Type"),)
    if kind.strip().lower() != "text/event-stream":
        seems = (f"the body begins with {quote(plain.beginning)}",) if plain.beginning else ()
        text = "an EventSource fails for good: the content type is not text/event-stream"
        remedy = "send Content-Type: text/event-stream"
        return [Finding("wrong-content-type", ERROR, text, remedy, evidence + seems)]
    charset = rest.lower().replace('"', "").partition("charset=")[2].partition(";")[0].strip()
    if charset not in ("", "utf-8", "utf8"):
        text = f"the charset is {charset}, and an event stream is always read as UTF-8"
        return [Finding("wrong-content-type", WARNING, text, "send UTF-8 and no other charset", evidence)]
    return []


@check("endless-answer", transports=POLL)
def endless(seen: Evidence) -> list[Finding]:
    """An answer to a poll ends."""
    for poll in (*seen.polls, seen.plain):
        if poll.status == 200 and (poll.state == OPEN or poll.full):
            size = f"{poll.body_bytes:,} bytes in {seconds(poll.stopped_at - poll.asked_at)}, and no end"
            text = "the answer does not end, so the client never has it"
            remedy = "send Content-Length or chunks, and end the answer; for a stream send text/event-stream"
            return [Finding("endless-answer", ERROR, text, remedy, (size, poll.header("Content-Type")))]
        if poll.status and poll.state == CUT:
            text, remedy = "the answer breaks off", "send Content-Length or chunks, so that a cut shows"
            return [Finding("endless-answer", WARNING, text, remedy, (poll.why, f"{poll.body_bytes:,} bytes came"))]
    return []


@check("unterminated", transports=("sse",))
def unterminated(seen: Evidence) -> list[Finding]:
    """Every event ends with an empty line, and each of its lines has a field's name."""
    plain = seen.plain
    if plain.status != 200 or not plain.body_bytes:
        raise Undecided("nothing came")
    if not plain.events and plain.data_lines and looks_like_events(plain.beginning):
        text = f"{plain.data_lines} data lines came, and not one event: no empty line ends them"
        evidence = (f"the body begins with {quote(plain.beginning)}",)
        return [Finding("unterminated", ERROR, text, "end each event with an empty line: data: TEXT\\n\\n", evidence)]
    if plain.strange and looks_like_events(plain.beginning):
        text = "lines without the name of a field are dropped by every client"
        remedy = "begin each line of a text with data: (a text of several lines needs several)"
        return [Finding("unterminated", WARNING, text, remedy, tuple(repr(line) for line in plain.strange))]
    return []


@check("ends-early", transports=("sse", "websocket"))
def ends(seen: Evidence) -> list[Finding]:
    """A stream stays open; if it ends for good, it says so (204, close code 1000)."""
    plain = seen.plain
    if plain.status not in (200, 101):
        raise Undecided("the answer is not a stream")
    if plain.state == OPEN:
        return []
    last = plain.reads[-1][0] if plain.reads else plain.asked_at
    after = f"after {seconds(plain.stopped_at - plain.asked_at)} and {len(plain.events)} events"
    if seen.transport == "websocket" and plain.code not in (0, 1000, 1001, 1006):
        remedy = "1011: look into the server's log; 1008, 1009 and 1013: the server's own limits"
        text = f"the server closed with code {plain.code}"
        return [Finding("ends-early", WARNING, text, remedy, (f"{after}: {plain.why or 'no reason given'}",))]
    if plain.state == CUT and plain.stopped_at - last < seen.limits.cut_s and not _until_closed(seen):
        text = "the connection broke off while it was in use"
        remedy = "end the answer (last chunk, close frame); a crash or a proxy's restart looks like this"
        return [Finding("ends-early", WARNING, text, remedy, (f"{after}: {plain.why}",))]
    again = seen.again
    if plain.state == ENDED and again is not None and again.status == 200 and again.events and plain.events:
        same = again.events[0].digest == plain.events[0].digest
        if same:
            text = "the stream ends, and a client that reconnects gets it all again: an EventSource repeats for ever"
            remedy = "answer 204 to a request whose Last-Event-ID is the last id"
            evidence = (f"it ended {after}", f"then status {again.status}, first event {quote(again.events[0].text)}")
            return [Finding("ends-early", WARNING, text, remedy, evidence)]
    return []


def _until_closed(seen: Evidence) -> bool:
    """Whether only the end of the connection ends this answer."""
    headers = seen.plain.headers
    return seen.transport == "sse" and "transfer-encoding" not in headers and "content-length" not in headers
