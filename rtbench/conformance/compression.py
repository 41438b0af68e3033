"""What is compressed arrives as soon as what is not: nothing waits in a compressor for more (RFC 9110 §8.4, RFC 7692).

Seen in the wild: 32 KiB held back, or events that come at the end of the stream. A server that does not compress is
skipped; one of ours is started with each coding that it declares, and then must.
"""

from __future__ import annotations

from functools import partial

from rtbench.conformance import HTTP, Run, Skipped, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.transports import Heartbeat
from rtbench.transports.coding import CODINGS

COUNT = 20


def _negotiated(subscriber: Subscriber) -> str:
    head = subscriber.opened.headers if subscriber.opened is not None else {}
    return head.get("content-encoding", "") or head.get("sec-websocket-extensions", "")


def _compressed(coding: str, target: Target) -> list[str]:
    must = target.coding == coding
    with Subscriber(target, compression=coding) as subscriber:
        found = subscriber.messages(COUNT)
        used = _negotiated(subscriber)
        if coding not in used:
            if must:
                return [f"the client offered {coding}, the response has {used or 'no coding'}"]
            raise Skipped(f"it does not compress with {coding}")
    if len(found) < COUNT:
        held = f"{len(found)} of {COUNT} messages came within {target.patience_s:g} s"
        return [f"compressed with {coding}, {held} ({subscriber.why()}): flush after each message"]
    problems = consecutive(found)
    if target.workload is not None:
        sent = {tick.seq: tick.payload for tick in target.ticks(found[-1].id)}
        problems += [f"message {m.id} has other bytes than were sent" for m in found if m.payload != sent.get(m.id)]
    return problems or _alone(coding, target)


def _alone(coding: str, target: Target) -> list[str]:
    """A heartbeat, which is small and often alone: a compressor that fills a buffer first never lets it go."""
    if not (target.quiet and target.owned) or target.transport != "sse" or "heartbeat" not in target.claims:
        return []
    with Subscriber(target, stream=target.quiet, compression=coding) as subscriber:
        while (event := subscriber.event()) is not None:
            if isinstance(event, Heartbeat):
                return []
        return [f"compressed with {coding}, no heartbeat came: {subscriber.why()}: flush after each one"]


def _register(coding: str) -> None:
    run: Run = partial(_compressed, coding)
    run.__doc__ = f"With {coding}, each message arrives at once and whole."
    case(f"compression-{coding}", transports=HTTP if coding == "deflate" else _IN_A_BODY, coding=coding)(run)


_IN_A_BODY = tuple(name for name in HTTP if name != "websocket")
for _coding in CODINGS:
    _register(_coding)
