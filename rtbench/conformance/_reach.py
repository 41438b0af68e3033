"""The preconditions of all cases: the server accepts a subscriber, and it accepts published messages.

Invariant: a problem names the request and the answer, and replaces the failures that it would cause in the cases.
Anything that cannot be decided in time is left to the cases. Called by `rtbench.conformance.verify`.
"""

from __future__ import annotations

import contextlib
import ssl
import time

from rtbench.conformance._client import CLOSED, Subscriber, connect, fetch, subscribing
from rtbench.conformance._target import Target
from rtbench.processes.publisher import PublisherProcess
from rtbench.subjects.tls import fault

POLLS_TAKE = (200, 204, 304)
FIRST_POST_S = 0.5
"""The time in which a server must accept a POST, from the first subscription on: before it, it may refuse all."""
_ASK_S = 0.02


def not_subscribed(target: Target) -> str:
    """The refused subscription: the request, the wanted and the received answer; "" if none is known to be refused."""
    if target.transport == "tcp":
        return ""
    if untrusted := _untrusted(target):
        return untrusted
    headers = subscribing(target, target.subject.headers if target.subject is not None else {})
    if target.subject is not None and target.subject.subprotocol:
        headers["Sec-WebSocket-Protocol"] = target.subject.subprotocol
    path = target.path()
    answer = fetch(target, path, headers=headers)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    wanted = {"websocket": "101", "sse": "200 text/event-stream"}.get(target.transport, "200")
    taken = {"websocket": (101,), "sse": (200,)}.get(target.transport, POLLS_TAKE)
    other = kind == "application/json" if target.transport == "sse" else kind == "text/event-stream"
    if answer.status == CLOSED or (answer.status in taken and not other):
        return ""
    if kind == "text/event-stream":
        hint = "is this SSE?"
    elif answer.status == 426:
        hint = "is this WebSocket?"
    elif other:
        hint = "is this polling?"
    else:
        hint = "is this its path?"
    return f"GET {target.url(path)}: wanted {wanted}, got {f'{answer.status} {kind}'.rstrip()}: {hint}"


def _untrusted(target: Target) -> str:
    """Why the TLS of the target fails; "" if it does not, or if it has none."""
    if not target.secure:
        return ""
    try:
        connect(target).close()
    except ssl.SSLError as error:
        return f"{target.url('')}: {fault(error)}: is tls_ca the PEM file of its authority?"
    except OSError:
        pass  # the cases find out
    return ""


def not_published(target: Target, publisher: PublisherProcess) -> str:
    """The first refused POST, if the server accepts none even with a subscriber; else ""."""
    deadline = time.monotonic() + target.patience_s
    while not (counts := publisher.posted()).refused:
        if counts.posted or time.monotonic() > deadline:
            return ""
        time.sleep(_ASK_S)
    with contextlib.suppress(OSError), Subscriber(target) as subscriber:
        subscriber.open()
        time.sleep(FIRST_POST_S)
        counts = publisher.posted()
    return "" if counts.posted else f"publishing is refused: {counts.refusal(target.url(''))}: is this its post_path?"
