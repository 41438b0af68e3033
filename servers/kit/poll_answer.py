"""How polls are answered: one JSON object with everything since the cursor. Shared by the polling subjects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rtbench.servers.kit.channel import Gap
from rtbench.servers.kit.ring import Held
from rtbench.transports.envelope import wrap

__all__ = ["RETRY_AFTER_S", "Enveloped", "body"]

RETRY_AFTER_S = 5
"""`Retry-After` of a failed stream's 503: the same as the retry advice of its failures (5,000 ms)."""


class Enveloped:
    """The hub's encoder for polling: it keeps a message as a member of `messages`."""

    heartbeat = b""

    def message(self, seq: int, payload: bytes) -> bytes:
        return wrap(seq, payload)

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return b""  # between polls no connection waits: the next answers carry the notice


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


def _text(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
