"""Writes Server-Sent Events: WHATWG HTML 9.2 in HTTP/1.1 chunks. Shared by the SSE subjects."""

from __future__ import annotations

import json
from typing import Any

from rtbench.servers.kit.channel import Around
from rtbench.streams import find

__all__ = [
    "COMMENT",
    "HEADERS",
    "PARTED_COMMENT",
    "Chunked",
    "Event",
    "Unchunked",
    "chunk",
    "event",
    "headers",
    "notice",
    "parted",
    "parted_notice",
]

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
    "X-Proxy-Buffering": "no",
}
"""The article's response headers."""


def headers(stream: str) -> dict[str, str]:
    """The response headers of a stream; some streams add their own."""
    return {**HEADERS, **find(stream).headers}


def event(seq: int, payload: bytes) -> bytes:
    """One message; the default event type, so that `onmessage` sees it."""
    return b"id: %d\ndata: %b\n\n" % (seq, payload)


def notice(kind: str, fields: dict[str, Any]) -> bytes:
    """A notice as an event of its own type. It has no id, so Last-Event-ID stays.

    Retry advice is also a `retry` field, which an EventSource obeys (WHATWG 9.2.6). The field comes after `event`, so
    that a client that reads line by line knows which event it belongs to.
    """
    field = f"retry: {fields['after_ms']}\n" if kind == "retry" else ""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\n{field}data: {text}\n\n".encode()


COMMENT = b":\n\n"


class Event(bytes):
    """An event for a library that frames it itself: the parts beside the bytes, which count as its size.

    `text` is its data, None for a comment. Made once a message, read for each connection.
    """

    text: str | None
    id: str | None
    event: str | None
    retry: int | None

    @classmethod
    def of(cls, text: str | None, id: str | None = None, event: str | None = None, retry: int | None = None) -> Event:
        made = cls((text or "").encode())
        made.text, made.id, made.event, made.retry = text, id, event, retry
        return made


def parted(seq: int, payload: bytes) -> Event:
    """One message, in parts."""
    return Event.of(payload.decode(), id=str(seq))


def parted_notice(kind: str, fields: dict[str, Any]) -> Event:
    """A notice, in parts: see `notice`."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return Event.of(text, event=kind, retry=fields["after_ms"] if kind == "retry" else None)


PARTED_COMMENT = Event.of(None)


def chunk(data: bytes) -> bytes:
    """`data` as one HTTP/1.1 chunk (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Unchunked(Around):
    """The transport of an HTTP/1.0 client (nginx as shipped, for one), which cannot read chunks (RFC 9112 §7.1).

    The hub writes the same bytes to all connections, one chunk a write; this class removes the chunk's frame.
    """

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Write the content of one chunk."""
        self._transport.write(data[data.index(b"\r\n") + 2 : -2])


class Chunked:
    """The hub's encoder for SSE: each message is one event in one chunk, the same bytes for every connection."""

    heartbeat = chunk(COMMENT)

    def message(self, seq: int, payload: bytes) -> bytes:
        return chunk(event(seq, payload))

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return chunk(notice(kind, fields))
