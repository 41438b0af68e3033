"""Payloads match the seed byte for byte, and ids rise by one."""

from __future__ import annotations

from rtbench.conformance import EVERY, Skipped, case
from rtbench.conformance._checks import consecutive, right_bytes
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target

COUNT = 30


@case("bytes", transports=EVERY, needs={"workload"}, quick=True)
def right(target: Target) -> list[str]:
    """Every payload matches `rtbench ticks` byte for byte, live and replayed, on every stream."""
    assert target.workload is not None
    problems: list[str] = []
    # A server that cannot resume replays nothing.
    seeded = [name for name in target.workload.streams if name != target.uplink]
    for stream in seeded if "resume" in target.claims else ():
        with Subscriber(target, 0, stream) as late:
            # Our own server holds enough messages, or its stream is over. Another server may have a long pause now.
            found = late.messages(COUNT, None if target.owned is not None or stream == target.stream else 0.3)
            if not found and (target.owned is not None or stream == target.stream):
                problems.append(f"{stream}: no message at all: {late.why()}")
        problems += right_bytes(target, stream, found)
    with Subscriber(target) as live:
        found = live.messages(COUNT)
        if not found:
            problems.append(f"{target.stream}: no live message: {live.why()}")
    return problems + right_bytes(target, target.stream, found)


@case("order", transports=EVERY, quick=True)
def order(target: Target) -> list[str]:
    """Ids rise by one; no message is lost, sent twice or out of order."""
    with Subscriber(target) as subscriber:
        found = subscriber.messages(COUNT)
        if len(found) < 2 and target.owned is None and subscriber.closed is None:
            raise Skipped(f"only {len(found)} messages came within {target.patience_s:g} s")
        if found and all(message.id < 1 for message in found) and not target.numbered:
            raise Skipped("its messages carry no id")
        problems = consecutive(found)
        if any(message.id < 1 for message in found):
            problems.append("a message has no id of at least 1")
        if not found or (len(found) < COUNT and target.owned is not None):
            problems.append(f"only {len(found)} of {COUNT} messages: {subscriber.why()}")
        return problems
