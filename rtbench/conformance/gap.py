"""A gap notice reports messages that cannot be replayed: cursors older than the ring, and cursors from the future."""

from __future__ import annotations

import time

from rtbench.conformance import EVERY, Skipped, case
from rtbench.conformance._checks import consecutive, gap_fields
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.transports import Control, Event, Message, Opened

FUTURE = 10**12


def _beginning(subscriber: Subscriber) -> Event | None:
    """The first event that is a message or a notice."""
    deadline = time.monotonic() + subscriber.target.patience_s
    while True:
        event = subscriber.event(deadline - time.monotonic())
        if event is None or isinstance(event, Message | Control):
            return event
        if not isinstance(event, Opened) and subscriber.closed is not None:
            return None


@case("gap-old", transports=EVERY, claims={"gap"}, quick=True)
def old(target: Target) -> list[str]:
    """A cursor older than the ring gets a gap notice, then the oldest message in the ring."""
    problems: list[str] = []
    for since in (0, 1):
        asked = f"since={since}"
        with Subscriber(target, since) as subscriber:
            first = _beginning(subscriber)
            if isinstance(first, Message) and first.id == since + 1:
                if target.owned is None:
                    raise Skipped("nothing was dropped yet")
                problems.append(f"{asked}: id {first.id} came, though the ring cannot hold it any more")
                continue
            if not (isinstance(first, Control) and first.kind == "gap"):
                what = f"began with id {first.id}" if isinstance(first, Message) else f"{first or subscriber.why()}"
                problems.append(f"{asked}: wanted a gap notice, {what}")
                continue
            wrong = gap_fields(first)
            problems += [f"{asked}: {problem}" for problem in wrong]
            found = subscriber.messages(10)
            problems += consecutive(found, asked)
            if not found:
                problems.append(f"{asked}: no message after the gap notice: {subscriber.why()}")
            elif not wrong and (first.fields["from"], first.fields["to"]) != (since + 1, found[0].id - 1):
                problems.append(
                    f"{asked}: the notice has {first.fields['from']} to {first.fields['to']}, "
                    f"missing are {since + 1} to {found[0].id - 1}"
                )
    return problems


@case("gap-future", transports=EVERY, claims={"gap"}, quick=True)
def future(target: Target) -> list[str]:
    """A cursor from the future gets a gap notice and then live messages, never an error."""
    with Subscriber(target) as live, Subscriber(target, FUTURE) as subscriber:
        known = live.messages(2)
        first = _beginning(subscriber)
        problems: list[str] = []
        if isinstance(first, Control) and first.kind == "gap":
            problems += gap_fields(first)
        else:
            problems.append(f"since={FUTURE}: wanted a gap notice, got {first or subscriber.why()}")
        found = subscriber.messages(5)
        problems += consecutive(found)
        if known and not found:
            problems.append(f"since={FUTURE}: no live message came afterwards: {subscriber.why()}")
        elif known and abs(found[0].id - known[-1].id) > 1000:
            problems.append(f"since={FUTURE}: id {found[0].id} came, though {known[-1].id} was published just before")
        return problems
