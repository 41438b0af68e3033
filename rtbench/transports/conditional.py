"""Long polling by conditional GET, as Nchan does it: Last-Modified and Etag are the cursor, an answer is one message.

Each answer's `Last-Modified` and `Etag` go back as `If-Modified-Since` and `If-None-Match`; who has none begins from
now. A message is the body, an envelope in it says its id (`envelope.reader`). 304 and 408: nothing came in
time. Used by the load generator and `rtbench verify` for subjects that say `codec = "conditional"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rtbench.transports import Asked, Control, Message
from rtbench.transports.envelope import Reader, reader
from rtbench.transports.http import Complete, Head, request_head
from rtbench.transports.poll import Glance, PollResponse, Responses

WAITED = (304, 408)
"""Statuses that say that nothing came."""


def codec(asked: Asked) -> ConditionalClient:
    """The codec of what a subscriber asks for; the cursor is not ours, so a resumption begins from now."""
    return ConditionalClient(
        asked.host, asked.path, asked.headers, reader(asked.carries_id, asked.json_payload, asked.payload)
    )


class ConditionalClient(Responses):
    """One polling subscriber; the same face as `rtbench.transports.poll.PollClient`."""

    def __init__(self, host: str, path: str, headers: Mapping[str, str], read: Reader) -> None:
        self.since: int | None = None
        self._read = read
        self._request = request_head("GET", path, host, headers)[:-2]
        self._validators = b""
        self.reconnected()

    def request(self) -> bytes:
        """The next GET: what comes after the last answer."""
        return self._request + self._validators + b"\r\n"

    def glance(self, data: bytes) -> Glance | None:
        """Nothing can be told at a glance."""
        return None

    def feed(self, data: bytes) -> list[PollResponse]:
        """Answers completed by `data`. Raises ProtocolError; the connection is then unusable."""
        answers: list[PollResponse] = []
        self._take(self._http.feed(data), answers)
        return answers

    def _response(self, head: Head, body: bytes, complete: Complete) -> PollResponse:
        messages: tuple[Message, ...] = ()
        controls: tuple[Control, ...] = ()
        if head.status == 200:
            found = self._read(body)
            if isinstance(found, Message):
                messages, self.since = (found,), found.id
            else:
                controls = (found,)
            modified, tag = head.headers.get("last-modified", ""), head.headers.get("etag", "")
            self._validators = f"If-Modified-Since: {modified}\r\nIf-None-Match: {tag}\r\n".encode("latin-1")
        status = 304 if head.status in WAITED else head.status
        return PollResponse(
            status, head.headers, self.since, False, messages, controls, complete.wire_bytes, complete.keep_alive
        )


CODECS: dict[str, Callable[[Asked], Any]] = {"conditional": codec}
