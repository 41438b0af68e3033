"""When events arrive: at once and one by one, or held back, in clumps, in pieces?

Four ways show a buffer, whatever the events hold: planned times (a subject of ours), the same event on two connections
that filled the buffer at different times, an event cut by the buffer's end, and timestamps in the events themselves.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from rtbench.diagnosis import ERROR, EVERY, INFO, PUSH, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, number, seconds
from rtbench.diagnosis._recording import EVENT, Item

_LARGE_BYTES = 4096
_CLUMP_S = 0.02
_FEW = 3
_STAMPS = re.compile(rb"(?<![\d.])(1[5-9]\d{8}|2[0-4]\d{8})(\.\d{1,9}|\d{3}|\d{6})?(?![\d])")
_DATES = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?")
_NAGLE_S = (0.03, 0.25)
_CORKED_S = 0.1
"""Linux sends a corked segment after 200 ms (tcp(7), TCP_CORK); an event waits for half of that on average or more."""
_REMEDY = "send X-Accel-Buffering: no; nginx: proxy_buffering off; flush after every event in the server"


@check("buffered", transports=EVERY)
def buffered(seen: Evidence) -> list[Finding]:
    """An event arrives when it is written, whatever its size."""
    polled = [item for poll in seen.polls for item in poll.items]
    events = polled or seen.plain.events
    evidence = [*_late(seen, events), *_apart(seen), *_cut(seen, events), *_stamped(seen, events)]
    if evidence:
        text = "events are held back between the server's write and the subscriber"
        return [Finding("buffered", ERROR, text, _REMEDY, tuple(evidence))]
    if len(events) < 2:
        raise Undecided(f"{len(events) or 'no'} events came in {seconds(seen.plain.seconds)}")
    clumps = [clump for clump in _clumps(events) if clump[0].at > seen.plain.asked_at + 1]
    gaps = [later[0].at - before[-1].at for before, later in pairwise(clumps)]
    if seen.transport in PUSH and not seen.due and gaps and min(gaps) > 1 and min(map(len, clumps)) >= _FEW:
        text = f"events come in clumps of {min(map(len, clumps))} or more, {seconds(statistics.median(gaps))} apart"
        shown = "no timestamp, and the same on a second connection: the server writes them so, or buffers them itself"
        return [Finding("buffered", INFO, text, "if it makes them one by one, flush after every event", (shown,))]
    return []


def lateness(seen: Evidence, events: Sequence[Item]) -> dict[str, list[float]]:
    """Seconds between due time and arrival of small and of large events."""
    found: dict[str, list[float]] = {"small": [], "large": []}
    for item in events:
        which = number(item)
        if which is not None and seen.due.get(which, 0.0) > seen.plain.head_at:
            size = "large" if seen.due_bytes.get(which, item.size) >= _LARGE_BYTES else "small"
            found[size].append(item.at - seen.due[which])
    return found


def _late(seen: Evidence, events: Sequence[Item]) -> Iterator[str]:
    if not seen.due or not seen.plain.status:
        return
    for size, late in lateness(seen, events).items():
        if late and statistics.median(late) > seen.limits.held_s:
            yield f"{size} events arrive {seconds(statistics.median(late))} after they are due (median of {len(late)})"
    first, last = seen.plain.head_at + seen.limits.held_s, seen.plain.stopped_at - 2 * seen.limits.held_s
    due = [at for at in seen.due.values() if first < at < last]
    if seen.transport in PUSH and len(due) >= _FEW and not events:
        yield f"{len(due)} events were due in {seconds(last - first)}, and none arrived"


def _apart(seen: Evidence) -> Iterator[str]:
    """The same events at different times on two connections."""
    if seen.second is None or not seen.second.status:
        return
    first, second = _unique(seen.plain.events), _unique(seen.second.events)
    opened = max(seen.plain.asked_at, seen.second.asked_at) + 0.2
    pairs = [(first[key], second[key]) for key in first.keys() & second.keys()]
    live = [(a, b) for a, b in pairs if min(a.at, b.at) > opened]
    held = sorted((abs(a.at - b.at) for a, b in live if abs(a.at - b.at) > seen.limits.held_s), reverse=True)
    if len(held) >= 2 and 5 * len(held) >= len(live):
        share = f"{len(held)} of {len(live)} events"
        yield f"{share} came at different times on two connections, up to {seconds(held[0])} apart"


def _unique(events: Sequence[Item]) -> dict[tuple[str, int, int], Item]:
    keys = [(item.id, item.size, item.digest) for item in events]
    count = Counter(keys)
    return {key: item for key, item in zip(keys, events, strict=True) if count[key] == 1}


def _cut(seen: Evidence, events: Sequence[Item]) -> Iterator[str]:
    """Events whose end came long after their beginning."""
    cut = [item for item in events if item.pause > seen.limits.held_s]
    if len(cut) >= 2:
        longest = max(item.pause for item in cut)
        yield f"{len(cut)} of {len(events)} events were cut in two, the rest up to {seconds(longest)} later"


def _stamped(seen: Evidence, events: Sequence[Item]) -> Iterator[str]:
    """Events of one read whose own timestamps are far apart."""
    for clump in _clumps(events):
        if clump[0].at < seen.plain.asked_at + 1 or seen.transport not in PUSH:
            continue  # what a server replays first is old
        stamps = [stamp for item in clump if (stamp := _stamp(item.text)) is not None]
        if len(stamps) >= _FEW and max(stamps) - min(stamps) > 2 * seen.limits.held_s:
            spread = seconds(max(stamps) - min(stamps))
            yield f"{len(clump)} events arrived at once, and their own timestamps lie {spread} apart"
            return


def _clumps(events: Sequence[Item]) -> list[list[Item]]:
    clumps: list[list[Item]] = []
    for item in events:
        if clumps and item.at - clumps[-1][-1].at < _CLUMP_S:
            clumps[-1].append(item)
        else:
            clumps.append([item])
    return clumps


def _stamp(text: bytes) -> float | None:
    """The first time in a text: seconds, milliseconds or microseconds since 1970, or a date; None without one."""
    if found := _STAMPS.search(text):
        rest = (found[2] or b"").decode()
        return float(found[1] + b"." + (rest.lstrip(".") or "0").encode())
    if found := _DATES.search(text):
        try:
            moment = datetime.fromisoformat(found[0].decode().replace("Z", "+00:00"))
        except ValueError:
            return None
        return moment.replace(tzinfo=None).timestamp() if moment.tzinfo is None else moment.timestamp()
    return None


@check("late-head", transports=("sse",))
def late_head(seen: Evidence) -> list[Finding]:
    """The response head comes at once, not with the first event."""
    plain = seen.plain
    if plain.status != 200 or not plain.items:
        raise Undecided("no event came")
    waited = plain.head_at - plain.asked_at
    if waited < 1 or plain.items[0].at - plain.head_at > 0.1:
        return []
    text = f"the head came with the first event, after {seconds(waited)}: until then a client seems unconnected"
    remedy = "flush the head at once, for example with a first comment line"
    return [Finding("late-head", WARNING, text, remedy, (plain.line,))]


@check("nagle", transports=PUSH)
def nagle(seen: Evidence) -> list[Finding]:
    """An event is one write: no piece of it waits for an acknowledgement."""
    events = [item for item in seen.plain.items if item.kind == EVENT]
    if len(events) < _FEW:
        raise Undecided(f"{len(events) or 'no'} events came")
    for size, late in lateness(seen, events).items():
        if len(late) >= _FEW and _CORKED_S < statistics.median(late) <= seen.limits.held_s:
            text = f"{size} events arrive {seconds(statistics.median(late))} after they are due: a write waits for more"
            remedy = "set TCP_NODELAY, and flush without MSG_MORE; HAProxy: option http-no-delay"
            return [Finding("nagle", WARNING, text, remedy, (f"median of {len(late)} events",))]
    low, high = _NAGLE_S
    waited = [item.pause for item in events if low <= item.pause <= high]
    if len(waited) < _FEW or 3 * len(waited) < len(events):
        return []
    apart = seconds(statistics.median(waited))
    text = f"events come in two pieces, {apart} apart: Nagle's algorithm waits for an acknowledgement"
    remedy = "set TCP_NODELAY on the connection, and write an event with one call"
    return [Finding("nagle", WARNING, text, remedy, (f"{len(waited)} of {len(events)} events",))]
