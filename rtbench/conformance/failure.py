"""A stream whose source fails: retry advice before each retry, then a failure notice and an unclean end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from rtbench.conformance import EVERY, POLL, case
from rtbench.conformance._checks import consecutive, few, right_bytes
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.transports import Control, Message
from rtbench.transports.http import END_OF_HEAD

FAILURE_CODE = 1011
SOME = 30


@case("failure", transports=EVERY, claims={"failure"}, needs={"failing", "workload"}, quick=True)
def failure(target: Target) -> list[str]:
    """Retry advice has its delay and count; a late subscriber gets the whole failed stream, then its failure."""
    stream = target.failing
    script = [shown for _, shown in target.notices(stream)]
    if script[-1]["control"] != "failure":
        return [f"{stream}: the seed makes no failure"]
    with Subscriber(target, stream=stream) as present:
        present.rest()
        shown = present.controls
        problems = _advice(target, present, [fields for fields in script if fields["control"] == "retry"])
        problems += _failed(target, present, shown, script[-1])
    count = script[-1]["last"]
    with Subscriber(target, 0, stream) as late:
        found: list[Message] = late.messages(count + 1)
        problems += consecutive(found, f"{stream}?since=0")
        if not found or [found[0].id, found[-1].id] != [1, count]:
            problems.append(f"{stream}?since=0: wanted ids 1 to {count}, got {len(found)}: {late.why()}")
        late.rest()
        problems += right_bytes(target, stream, [*found[:SOME], *found[-SOME:]])
        problems += _failed(target, late, late.controls, script[-1])
    return few(problems)


def _advice(target: Target, subscriber: Subscriber, script: Sequence[dict[str, Any]]) -> list[str]:
    """Problems with the retry advice: it has no gaps to the last one, each once (push) or repeated (polls)."""
    # A poll's 503 has its own Retry-After after the failure notice: that one is not the stream's advice.
    before = list(takewhile(lambda control: control.kind != "failure", subscriber.controls))
    advice = [dict(c.fields) for c in before if c.kind == "retry" and "count" in c.fields]
    wanted = [{name: value for name, value in fields.items() if name != "control"} for fields in script]
    if target.transport in POLL:
        advice = [one for number, one in enumerate(advice) if not number or one != advice[number - 1]]
    if not advice:
        if any(control.kind == "retry" for control in before):
            return ["retry advice has no count"]
        # A subscriber that came after the failure got messages instead.
        return [] if subscriber.last > 0 else ["no retry advice came before the failure"]
    if advice != wanted[-len(advice) :]:
        return [f"wanted the retry advice {wanted[-len(advice) :]}, got {advice}"]
    body = bytes(subscriber.raw).partition(END_OF_HEAD)[2]
    field = b"\nretry: %d\n" % advice[0]["after_ms"]
    if target.transport == "sse" and body.count(field) != len(advice):
        return [f"retry advice without the field `retry: {advice[0]['after_ms']}`, which an EventSource obeys"]
    return []


def _failed(target: Target, subscriber: Subscriber, controls: Sequence[Control], script: dict[str, Any]) -> list[str]:
    """Problems with the failure notice and with the end after it."""
    problems: list[str] = []
    if target.transport in POLL:
        path = f"{target.path(target.failing)}?since={script['last']}"
        answer = fetch(target, path)
        if answer.status != 503 or not answer.headers.get("retry-after", "").isdigit():
            problems.append(f"GET {path}: wanted 503 with Retry-After in seconds, got {answer.shown}")
    found = [control.fields for control in controls if control.kind == "failure"]
    if len(found) != 1:
        return [*problems, f"wanted one failure notice, got {found or f'none: {subscriber.why()}'}"]
    if found[0].get("error") != script["error"] or found[0].get("last") != script["last"]:
        problems.append(
            f"the failure should have error {script['error']!r} and last {script['last']}, it has {found[0]}"
        )
    if any(control.kind == "end" for control in controls):
        problems.append("an end notice came with the failure")
    closed = subscriber.closed
    if closed is None:
        problems.append(f"no end after the failure: {subscriber.why()}")
    elif target.transport == "websocket" and closed.code != FAILURE_CODE:
        problems.append(f"wanted close code {FAILURE_CODE} after the failure, got {closed.code}")
    elif target.transport == "sse" and not closed.clean:
        problems.append(f"the response is incomplete after the failure: {subscriber.why()}")
    return problems
