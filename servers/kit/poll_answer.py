"""How polls are answered: one JSON object with everything since the cursor. Shared by the polling subjects.

Invariant: an answer is a value, independent of any web framework, so that every stack answers alike: 200 with the new
messages; 304 to a short poll whose ETag is current; 204 to a long poll whose time is up; 503 once the client of a
stream that failed for good has its last message. While there is retry advice, a short poll's answer is a 200 with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rtbench.servers.kit.channel import Channel, Gap
from rtbench.servers.kit.cursor import cursor, seconds
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.ring import Held
from rtbench.transports.envelope import wrap

__all__ = ["LONGEST_S", "RETRY_AFTER_S", "Answer", "Enveloped", "body", "news", "short", "wait"]

RETRY_AFTER_S = 5
"""`Retry-After` of a failed stream's 503: the same as the retry advice of its failures (5,000 ms)."""

LONGEST_S = 300.0
"""The longest time that a long poll may ask to wait."""

_JSON = {"Content-Type": "application/json"}


class Enveloped:
    """The hub's encoder for polling: it keeps a message as a member of `messages`."""

    heartbeat = b""

    def message(self, seq: int, payload: bytes) -> bytes:
        return wrap(seq, payload)

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return b""  # between polls no connection waits: the next answers carry the notice


class Answer(NamedTuple):
    """An answer to a poll. `body` is empty where the status has none (204, 304)."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


NOTHING = Answer(204)
"""The answer to a long poll whose time is up."""


def entity_tag(value: int) -> str:
    """The cursor as an ETag (RFC 9110 §8.8.3)."""
    return f'"{value}"'


def _position(query: Mapping[str, str], headers: Mapping[str, str]) -> int | None:
    """The cursor: `?since`, else the client's ETag (`If-None-Match`). Raises BadParameter."""
    at = cursor(query.get("since"), "since")
    if at is None and (known := headers.get("If-None-Match")):
        text = known.removeprefix("W/").strip('"')
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
    return at


def news(hub: Hub, channel: Channel, at: int | None, known: str | None = None, advise: bool = True) -> Answer | None:
    """What there is to say to a client at this cursor; None when there is nothing new.

    `known`: the client's ETag; 304 when it is current. `advise`: retry advice alone makes an answer.
    """
    start, gap = hub.start(channel, at)
    held, following = hub.held(channel, start)
    tag = entity_tag(following)
    if not held and gap is None:
        if channel.failure is not None:
            return Answer(503, {**_JSON, "Retry-After": str(RETRY_AFTER_S)}, _text(channel.failure))
        # A client that has every message may not know yet that the stream ended or that its source is failing.
        unknown = channel.ended or (advise and channel.advice is not None)
        if known == tag and not unknown:
            return Answer(304, {"ETag": tag})
        if at is not None and not unknown:
            return None
    return _messages(tag, body(held, following, gap, channel.ended and channel.failure is None, channel.advice))


def short(hub: Hub, channel: Channel, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """The answer to a short poll with this query and these header fields: the news, at once. Raises BadParameter."""
    at = _position(query, headers)
    found = news(hub, channel, at, headers.get("If-None-Match"))
    return _messages(entity_tag(at or 0), body((), at or 0, None, False)) if found is None else found


async def wait(
    hub: Hub, channel: Channel, query: Mapping[str, str], headers: Mapping[str, str], default_s: float
) -> Answer:
    """The answer to a long poll: without a cursor the current one at once, else the messages after it when they come.

    It waits for `?timeout`, else `default_s`. Retry advice ends a wait but does not prevent it: a client that asks
    again at once would spin. Raises BadParameter.
    """
    at, timeout = _position(query, headers), query.get("timeout")
    timeout_s = default_s if timeout is None else seconds(timeout, "timeout", LONGEST_S)
    found = news(hub, channel, at, advise=False)
    if found is None:
        await hub.next(channel, timeout_s)
        found = news(hub, channel, at)
    return NOTHING if found is None else found


def _messages(tag: str, text: bytes) -> Answer:
    return Answer(200, {**_JSON, "ETag": tag, "Cache-Control": "no-cache"}, text)


def body(
    held: Sequence[Held], following: int, gap: Gap | None, end: bool, advice: dict[str, Any] | None = None
) -> bytes:
    """The body of a 200 (interface.md, short-poll); `retry` is a member only while there is advice."""
    return b'{"messages":[%b],"next":%d,"gap":%b,"end":%b%b}' % (
        b",".join([item.data for item in held]),
        following,
        b"null" if gap is None else _text(gap.fields()),
        b"true" if end else b"false",
        b"" if advice is None else b',"retry":%b' % _text(advice),
    )


def _text(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
