"""A stream that is over sends its end notice, again to every later subscriber."""

from __future__ import annotations

from rtbench.conformance import EVERY, case
from rtbench.conformance._checks import consecutive, few, right_bytes
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target


@case("end", transports=EVERY, claims={"end"}, needs={"finite", "workload"}, quick=True)
def end(target: Target) -> list[str]:
    """A late subscriber gets a whole finite stream, then its end notice and a clean close."""
    problems: list[str] = []
    for stream in target.finite:
        count = len(target.ticks(100_000, stream))
        problems += few(_ends(target, stream, count)) + _again(target, stream, count)
    return problems


def _ends(target: Target, stream: str, count: int) -> list[str]:
    """Problems of late subscribers, with and without a cursor."""
    problems: list[str] = []
    for since, first in ((None, 1), (0, 1), (count - 1, count)):
        asked = stream if since is None else f"{stream}?since={since}"
        with Subscriber(target, since, stream) as subscriber:
            found = subscriber.messages(count + 1)
            problems += consecutive(found, asked) + right_bytes(target, stream, found)
            if [found[0].id, found[-1].id] != [first, count] if found else True:
                problems.append(f"{asked}: wanted ids {first} to {count}, got {len(found)}: {subscriber.why()}")
            ends = [control for control in subscriber.controls if control.kind == "end"]
            if [control.fields.get("last") for control in ends] != [count]:
                problems.append(f"{asked}: wanted one end notice with last {count}, got {ends or 'none'}")
            closed = subscriber.closed
            if closed is None or not closed.clean:
                problems.append(f"{asked}: no clean close: {subscriber.why()}")
            elif target.transport == "websocket" and closed.code != 1000:
                problems.append(f"{asked}: wanted close code 1000, got {closed.code}")
    return problems


def _again(target: Target, stream: str, last: int) -> list[str]:
    """Problems of a subscriber that returns with the last id."""
    if target.transport == "sse":
        answer = fetch(target, target.path(stream), headers={"Last-Event-ID": str(last)})
        # An EventSource stops for good with 204 (WHATWG 9.2.3).
        return [] if answer.status == 204 else [f"Last-Event-ID {last} after the end: wanted 204, got {answer.shown}"]
    if target.transport == "short-poll":
        path = f"{target.path(stream)}?since={last}"
        answer = fetch(target, path, headers={"If-None-Match": f'"{last}"'})
        if answer.status != 200 or not (answer.json() or {}).get("end"):
            # With a 304 a client that has every message would never learn of the end.
            return [f"GET {path} with that ETag after the end: wanted 200 with the end, got {answer.shown}"]
    with Subscriber(target, last, stream) as subscriber:
        subscriber.rest()
        if not any(control.kind == "end" for control in subscriber.controls):
            return [f"since={last} after the end: no end notice: {subscriber.why()}"]
    return []
