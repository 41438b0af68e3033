"""A silent connection carries heartbeats."""

from __future__ import annotations

import time

from rtbench.conformance import PUSH, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.transports import Message

SLACK = 0.1
"""The share of the target's patience by which a busy machine may be late."""


@case("heartbeat", claims={"heartbeat"}, transports=PUSH, needs={"server", "quiet"}, quick=True)
def heartbeat(target: Target) -> list[str]:
    """A heartbeat comes within two heartbeat periods and is not a message."""
    assert target.owned is not None
    least_s = target.subject.least_heartbeat_s if target.subject is not None else 0.0
    period = max(target.owned.limits.heartbeat_s, least_s)
    with Subscriber(target, stream=target.quiet) as subscriber:
        if not subscriber.open():
            return [f"{target.quiet} did not open: {subscriber.why()}"]
        began = time.monotonic()
        most_s = 2 * period + SLACK * target.patience_s
        deadline = began + most_s
        found: list[Message] = []
        while not subscriber.heartbeats and (event := subscriber.event(deadline - time.monotonic())) is not None:
            if isinstance(event, Message):
                found.append(event)
        took = time.monotonic() - began
        problems = consecutive(found)
        if not subscriber.heartbeats:
            problems.append(f"no heartbeat within {most_s:.3g} s (one is due every {period:g} s)")
        elif took > most_s:
            problems.append(f"the first heartbeat took {took:.2f} s (one is due every {period:g} s)")
        problems += [f"a heartbeat came as a message: {m.payload!r}" for m in found if m.id < 1 or not m.payload]
        return problems
