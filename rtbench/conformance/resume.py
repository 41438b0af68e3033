"""Resumption with a cursor: messages from N+1 on, with none lost between replay and live."""

from __future__ import annotations

import time

from rtbench.conformance import EVERY, Skipped, case
from rtbench.conformance._checks import consecutive, few
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.transports import Message

BACK = 20
TURN_S = 0.002
TIMES = {"sse": 24, "websocket": 24, "tcp": 24, "short-poll": 6, "long-poll": 6}


@case("resume", transports=EVERY, claims={"resume"}, quick=True)
def resume(target: Target) -> list[str]:
    """A subscriber that resumes from the id N gets N+1 and everything after it."""
    with Subscriber(target) as first:
        seen = first.messages(5)
        if not seen:
            raise Skipped(f"no message came: {first.why()}")
    problems: list[str] = []
    for cursor in (seen[0].id, seen[-1].id):  # one to be replayed from, one that may be the newest
        with Subscriber(target, cursor) as second:
            found = second.messages(10)
            problems += consecutive(found, f"since={cursor}")
            if not found:
                problems.append(f"nothing came after since={cursor}: {second.why()}")
            elif found[0].id != cursor + 1:
                problems.append(f"since={cursor} began with id {found[0].id}, not with {cursor + 1}")
            if second.gaps:
                problems.append(f"since={cursor} got a gap notice: {dict(second.gaps[0].fields)}")
    return problems


@case("last-event-id", claims={"resume"}, transports=("sse",), quick=True)
def last_event_id(target: Target) -> list[str]:
    """`Last-Event-ID` resumes as `?since` does, and takes precedence."""
    problems: list[str] = []
    with Subscriber(target) as first:
        if len(first.messages(8)) < 8:
            raise Skipped(f"no messages came: {first.why()}")
    cursor = first.last - 4
    for since in (None, first.last):
        asked = f"Last-Event-ID: {cursor}" + ("" if since is None else f" with since={since}")
        with Subscriber(target, since, headers={"Last-Event-ID": str(cursor)}) as second:
            found = second.messages(6)
            problems += consecutive(found, asked)
            if not found or found[0].id != cursor + 1:
                problems.append(f"{asked} began with {found[0].id if found else 'nothing'}, not with id {cursor + 1}")
    return problems


def _read(subscribers: list[Subscriber], last: int) -> list[tuple[Subscriber, list[Message]]]:
    """The messages of each subscriber up to the id `last`. Read in turns: one left unread would be a slow consumer."""
    found: list[tuple[Subscriber, list[Message]]] = [(subscriber, []) for subscriber in subscribers]
    waiting = found
    deadline = time.monotonic() + subscribers[0].target.patience_s
    while waiting and time.monotonic() < deadline:
        for subscriber, messages in waiting:
            messages += subscriber.messages(1000, TURN_S)
        waiting = [(s, m) for s, m in waiting if s.closed is None and (not m or m[-1].id < last)]
    return found


@case("seamless", transports=EVERY, claims={"resume"}, quick=True)
def seamless(target: Target) -> list[str]:
    """A subscriber that resumes during publishing misses nothing between replay and live, in many attempts."""
    subscribers: list[Subscriber] = []
    problems: list[str] = []
    with Subscriber(target) as pace:
        try:
            if not pace.messages(2):
                raise Skipped(f"no message came: {pace.why()}")
            since = max(0, pace.last - BACK)
            for turn in range(TIMES[target.transport]):
                subscribers.append(Subscriber(target, since))
                if turn % 3 == 2:
                    pace.messages(1)  # so that they come before, while and after something is published
            last = pace.last + 10
            for number, (subscriber, found) in enumerate(_read(subscribers, last), start=1):
                attempt = f"resume {number} of {len(subscribers)} from {since}"
                problems += consecutive(found, attempt)
                if subscriber.gaps:
                    continue  # a ring that is smaller than BACK; the notice says what is missing
                if not found or found[0].id != since + 1:
                    problems.append(f"{attempt} began with {found[0].id if found else f'nothing: {subscriber.why()}'}")
                elif found[-1].id < last:
                    problems.append(f"{attempt} ended with id {found[-1].id} of {last}: {subscriber.why()}")
        finally:
            for subscriber in subscribers:
                subscriber.close()
    return few(problems)
