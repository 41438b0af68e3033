"""The server cuts off a consumer that stops reading; the others notice nothing."""

from __future__ import annotations

import time

from rtbench.conformance import PUSH, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber, held
from rtbench.conformance._target import Target


@case("slow-consumer", claims={"slow-consumer"}, transports=PUSH, needs={"server"})
def slow_consumer(target: Target) -> list[str]:
    """A subscriber that stops reading is dropped once buffer_bytes wait for it; another one still gets everything."""
    assert target.owned is not None
    limit = target.owned.limits.buffer_bytes
    with Subscriber(target) as healthy, Subscriber(target, receive_bytes=4096) as slow:
        if not (healthy.open() and slow.open()):
            return [f"a subscriber did not open: {slow.why()}"]
        port = slow.link.getsockname()[1]
        found = healthy.messages(5)
        published = 0
        deadline = time.monotonic() + target.patience_s
        stands = held(target.port, port)
        while stands is not False and time.monotonic() < deadline:
            more = healthy.messages(5, 1.0)
            found += more
            published += sum(len(message.payload) for message in more)
            stands = held(target.port, port)
        problems = consecutive(found, "the healthy subscriber")
        if not found:
            problems.append(f"the healthy subscriber got nothing: {healthy.why()}")
        if stands:
            problems.append(f"still connected {published} bytes after it stopped reading (the limit is {limit})")
            return problems
        got = slow.messages(10**6, 1.0)  # what the kernels held, then the end
        if slow.closed is None:
            problems.append("dropped, but its connection does not end")
        elif slow.closed.clean:
            problems.append("dropped with a farewell, as if it had everything")
        problems += consecutive(got, "the slow subscriber, before it was dropped")
        after = healthy.messages(5)
        problems += consecutive([*found[-1:], *after], "the healthy subscriber, afterwards")
        if not after:
            problems.append(f"the healthy subscriber got nothing afterwards: {healthy.why()}")
        return problems
