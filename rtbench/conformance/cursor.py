"""The start of a subscription: from now, or with everything in the ring."""

from __future__ import annotations

from rtbench.conformance import EVERY, Skipped, case
from rtbench.conformance._checks import consecutive, few
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target

TURNS = 5


@case("from-now", transports=EVERY, quick=True)
def from_now(target: Target) -> list[str]:
    """Without a cursor a subscriber gets messages from now on, nothing older, and no gap notice."""
    problems: list[str] = []
    with Subscriber(target) as before:
        if not before.messages(3):
            raise Skipped(f"no message came: {before.why()}")
        for _ in range(TURNS):
            before.messages(1000, 0.001)  # to the newest one that it has
            last = before.last
            with Subscriber(target) as now:
                new = now.messages(5)
                problems += consecutive(new)
                if not new:
                    problems.append(f"a subscriber without a cursor got no message: {now.why()}")
                    break
                if new[0].id <= last and not target.numbered:
                    raise Skipped("its messages carry no id, or ids that begin anew on each connection")
                if new[0].id <= last:
                    problems.append(
                        f"a subscriber without a cursor got id {new[0].id}, which is not newer than id {last}"
                    )
                if now.gaps:
                    problems.append(f"a subscriber without a cursor got a gap notice: {dict(now.gaps[0].fields)}")
    return few(problems)


@case("everything-held", transports=EVERY, claims={"resume"}, needs={"quiet"}, quick=True)
def everything(target: Target) -> list[str]:
    """`since=0` gives everything in the ring, from id 1 if nothing was dropped, without a gap notice."""
    with Subscriber(target, 0, target.quiet) as subscriber:
        found = subscriber.messages(20, None if target.owned is not None else 0.5)
        problems = consecutive(found)
        if target.owned is None and (subscriber.gaps or not found):
            raise Skipped("something was dropped already" if found else "nothing is held yet")
        if not found or found[0].id != 1:
            problems.append(f"since=0 began with {found[0].id if found else 'nothing'}, not with id 1")
        if len(found) < 20 and target.owned is not None:
            problems.append(f"since=0 gave {len(found)} of 20 messages: {subscriber.why()}")
        if subscriber.gaps:
            problems.append(f"since=0 got a gap notice though nothing was dropped: {dict(subscriber.gaps[0].fields)}")
        return problems
