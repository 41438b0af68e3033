"""Every subscriber receives the messages that subscribers send, in one order."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from rtbench.conformance import case
from rtbench.conformance._checks import consecutive, small_error
from rtbench.conformance._client import Subscriber, fetch
from rtbench.conformance._target import Target
from rtbench.transports import Message
from rtbench.transports.websocket import text_frame

COUNT = 6
AFTER = '{"after":"all"}'


@case("conversation", claims={"conversation"}, needs={"uplink"})
def conversation(target: Target) -> list[str]:
    """Messages sent by two subscribers (WebSocket text, or POST /send/STREAM) reach both, as sent, in one order."""
    where = f"/send/{target.uplink}"
    shown = [json.dumps({"type": "chat", "user": f"User{1 + n % 2}", "message": f"né {n}"}) for n in range(COUNT)]
    problems: list[str] = []
    with Subscriber(target, stream=target.uplink) as first, Subscriber(target, stream=target.uplink) as second:
        if not (first.open() and second.open()):
            return [f"a subscriber did not open: {first.why()}"]
        for number, text in enumerate(shown):
            if target.transport == "websocket":
                (first, second)[number % 2].link.sendall(text_frame(text))
                continue
            body = text.encode()
            answer = fetch(target, where, "POST", {"Content-Length": str(len(body))}, body=body)
            if answer.status != 202:
                problems.append(f"POST {where} got {answer.shown}, wanted 202")
        received = [_receive(one, shown) for one in (first, second)]
        for name, messages in zip(("the first", "the second"), received, strict=True):
            ours = [text for text in map(_text, messages) if text in shown]
            # Two WebSockets may overtake each other on their way up.
            if sorted(ours) != sorted(shown) or (target.transport != "websocket" and ours != shown):
                problems.append(f"{name} subscriber received {len(ours)} of {len(shown)} messages as they were sent")
            problems += consecutive(messages, f"{name} subscriber")
        if len({tuple(m for m in messages if _text(m) in shown) for messages in received}) > 1:
            problems.append("the two subscribers received different messages, or in a different order")
    return problems


def _receive(one: Subscriber, shown: Sequence[str]) -> list[Message]:
    """Messages until all of `shown` are among them: other clients may send, too."""
    deadline = time.monotonic() + one.target.patience_s
    missing, received = set(shown), list[Message]()
    while missing and (more := one.messages(1, deadline - time.monotonic())):
        received += more
        missing -= {_text(message) for message in more}
    return received


def _text(message: Message) -> str:
    return message.payload.decode("utf-8", "replace")


@case("conversation-errors", claims={"conversation"}, needs={"uplink"}, transports=("sse", "short-poll", "long-poll"))
def conversation_errors(target: Target) -> list[str]:
    """A body that is not a line of JSON gets 400, an unknown stream 404, one without uplink 403, with small errors."""
    problems: list[str] = []
    asked = [
        (f"/send/{target.uplink}", b"not JSON", 400),
        (f"/send/{target.uplink}", b'{"two":\n"lines"}', 400),
        (f"/send/{target.uplink}", b"", 400),
        ("/send/no-such-stream", b"{}", 404),
        (f"/send/{target.stream}", b"{}", 403),
    ]
    for where, body, status in asked:
        answer = fetch(target, where, "POST", {"Content-Length": str(len(body))}, body=body)
        problems += small_error(f"POST {where} {body[:20]!r}", answer, status)
    return problems


@case("conversation-refused", claims={"conversation"}, needs={"uplink"}, transports=("websocket",))
def conversation_refused(target: Target) -> list[str]:
    """Text that is not a line of JSON gets {"control":"refused"}, and the connection stays open."""
    with Subscriber(target, stream=target.uplink) as one:
        if not one.open():
            return [f"the subscriber did not open: {one.why()}"]
        one.link.sendall(text_frame("not JSON") + text_frame(AFTER))
        if AFTER not in map(_text, _receive(one, [AFTER])):
            return [f"a good message after a refused one did not come back: {one.why()}"]
        if not any(control.kind == "refused" for control in one.controls):
            return ["a message that is not JSON was not refused"]
    return []
