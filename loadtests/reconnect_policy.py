"""The reconnect policy: when a subscriber connects again after its connection ended, as its transport's clients do.

An EventSource waits its reconnection time, which the server's `retry` field sets, the same for everyone, and stops for
good on 204 and on any other status (WHATWG 9.2.3). WebSockets and polls have no such rule: their libraries back off
exponentially with full jitter, and reset the backoff once they are connected. `[reconnect] policy` has all subscribers
do one and the same instead. A subscriber whose stream is over (an end notice and close code 1000, `"end":true`, a
failure for good) does not reconnect. Invariant: waits depend on the seed, the subscriber and the attempt alone. Used by
the subscribers.
"""

from __future__ import annotations

from random import Random

from rtbench.messages.load import ReconnectPolicy


def wait_s(policy: ReconnectPolicy, transport: str, subscriber: int, attempt: int, retry_ms: int | None) -> float:
    """Seconds to wait before the next connection; `attempt` counts attempts since the last success, from 0."""
    kind = policy.policy if policy.policy != "usual" else "retry" if transport == "sse" else "jitter"
    if kind == "retry":
        return policy.eventsource_s if retry_ms is None else retry_ms / 1000
    if kind == "at-once":
        if not attempt:
            return 0.0
        attempt -= 1
    most_s = min(policy.backoff_most_s, policy.backoff_s * 2.0 ** min(attempt, 60))
    if kind != "jitter":
        return most_s
    return Random(f"rtbench/{policy.seed}/comeback/{subscriber}/{attempt}").random() * most_s
