"""Subscribers connect and leave without a farewell while another one stays."""

from __future__ import annotations

from contextlib import ExitStack

from rtbench.conformance import PUSH, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target

ROUNDS = 8
CROWD = 12


@case("churn", transports=PUSH)
def churn(target: Target) -> list[str]:
    """A subscriber that stays misses nothing while crowds connect and leave without a farewell."""
    with Subscriber(target) as first, Subscriber(target) as staying:
        first.open()
        staying.open()
        found = staying.messages(1)
        for _ in range(ROUNDS):
            with ExitStack() as leaving:
                crowd = [leaving.enter_context(Subscriber(target)) for _ in range(CROWD)]
                for subscriber in crowd:
                    subscriber.open()
            found += staying.messages(2)
        found += staying.messages(5)
        problems = consecutive(found)
        if len(found) < 2 * ROUNDS + 6:
            problems.append(
                f"the subscriber that stayed got {len(found)} of {2 * ROUNDS + 6} messages: {staying.why()}"
            )
        return problems
