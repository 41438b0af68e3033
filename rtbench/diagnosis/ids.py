"""Ids and reconnections: can a client go on where it was, does it lose or repeat events, how soon does it return?"""

from __future__ import annotations

from itertools import pairwise

from rtbench.conformance._checks import consecutive
from rtbench.diagnosis import INFO, PUSH, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, number, quote
from rtbench.diagnosis._recording import RETRY
from rtbench.transports import Message

_FEW = 3
_LEAST_MS, _MOST_MS = 500, 60_000


@check("no-resume", transports=("sse",))
def resume(seen: Evidence) -> list[Finding]:
    """A client that reconnects with Last-Event-ID gets what it missed, once."""
    events = seen.plain.events
    if len(events) < _FEW:
        raise Undecided(f"{len(events) or 'no'} events came")
    remedy = "number the events (id:), keep the last ones, and start after Last-Event-ID"
    if not any(item.id for item in events):
        text = "events have no id: what is sent while a client reconnects is lost, and neither side knows"
        return [Finding("no-resume", WARNING, text, remedy, (f"first event {quote(events[0].text)}",))]
    if seen.resumed is None or not seen.resumed.status:
        raise Undecided("too few ids came" if seen.resumed is None else "the reconnection got no answer in time")
    ids = list(dict.fromkeys(item.id for item in events if item.id))
    asked = f"Last-Event-ID: {seen.resumed_from}"
    wanted = ids[ids.index(seen.resumed_from) + 1]
    got = [item.id for item in seen.resumed.events if item.id]
    if seen.resumed.status == 204:
        text = "a client that lost its connection gets 204, and an EventSource then stops for good"
        return [Finding("no-resume", WARNING, text, "answer 204 to the last id of an ended stream only", (asked,))]
    if not got:
        text = "nothing is replayed after a reconnection"
        return [Finding("no-resume", WARNING, text, remedy, (asked, f"wanted id {wanted}, and no event came"))]
    if got[0] == wanted:
        return []
    evidence = (asked, f"wanted id {wanted}, got {', '.join(got[:3])}")
    if got[0] in ids and ids.index(got[0]) <= ids.index(seen.resumed_from):
        text = "a reconnection repeats events that the client has"
        return [Finding("no-resume", WARNING, text, "start after Last-Event-ID, not at the first event kept", evidence)]
    return [Finding("no-resume", WARNING, "a reconnection loses the events in between", remedy, evidence)]


@check("gap-in-ids", transports=PUSH)
def gaps(seen: Evidence) -> list[Finding]:
    """Ids that count one by one have no gap, no repetition, and never fall."""
    numbers = [found for item in seen.plain.events if (found := number(item)) is not None]
    if len(numbers) < _FEW:
        raise Undecided("the events carry no numbers")
    steps = [after - before for before, after in pairwise(numbers)]
    if 2 * steps.count(1) < len(steps):
        raise Undecided(f"ids do not count one by one: {', '.join(map(str, numbers[:3]))}")
    problems = consecutive([Message(found, b"") for found in numbers])
    if not problems:
        return []
    text = "messages are lost, repeated or out of order on one connection"
    remedy = "subscribe before reading the history, and drop a slow client rather than single messages"
    return [Finding("gap-in-ids", WARNING, text, remedy, tuple(problems))]


@check("retry", transports=("sse",))
def retry(seen: Evidence) -> list[Finding]:
    """The `retry` field neither makes clients storm nor keeps them away."""
    values = [int(item.id) for item in seen.plain.items if item.kind == RETRY and not item.type]
    if seen.plain.status != 200:
        raise Undecided("the answer is not a stream")
    evidence = tuple(f"retry: {value}" for value in dict.fromkeys(values))[:3]
    if any(value < _LEAST_MS for value in values):
        text = "clients reconnect almost at once: after a restart all come together"
        return [Finding("retry", WARNING, text, "send retry: 3000 or more, different for each client", evidence)]
    if any(value > _MOST_MS for value in values):
        text = "after a cut, clients stay away for more than a minute"
        return [Finding("retry", INFO, text, "send a shorter retry:", evidence)]
    return []
