"""Polling by conditional GET, as Nchan does it: Last-Modified and Etag are the cursor.

Each answer's `Last-Modified` and `Etag` go back as `If-Modified-Since` and `If-None-Match`; a request without them
begins from now. A body is one message, or several with a newline after each; an envelope in it has the id
(`envelope.reader`). 304 and 408: nothing came in time. Used by the load generator and `rtbench verify` for subjects
with `codec = "conditional"` (long polling) or `codec = "interval"` (Nchan's interval polling).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rtbench.transports import Asked, Control, Message
from rtbench.transports.envelope import Reader, reader
from rtbench.transports.http import Complete, Head, request_head
from rtbench.transports.poll import Glance, PollResponse, Responses

WAITED = (304, 408)
"""The statuses of an answer without a message."""
OLDEST = b"If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\nIf-None-Match: 0\r\n"
"""The cursor before every message. (Nchan treats the epoch itself as no cursor.)"""


def codec(asked: Asked) -> ConditionalClient:
    """The codec for a subscriber's request. It ignores the cursor, which is rtbench's: a resumption begins from now."""
    return ConditionalClient(
        asked.host, asked.path, asked.fields, reader(asked.carries_id, asked.json_payload, asked.payload)
    )


def interval(asked: Asked) -> IntervalClient:
    """The same for interval polling."""
    return IntervalClient(
        asked.host, asked.path, asked.fields, reader(asked.carries_id, asked.json_payload, asked.payload)
    )


class ConditionalClient(Responses):
    """One polling subscriber, with the interface of `rtbench.transports.poll.PollClient`."""

    def __init__(self, host: str, path: str, headers: Mapping[str, str], read: Reader) -> None:
        self.since: int | None = None
        self._read = read
        self._request = request_head("GET", path, host, headers)[:-2]
        self._validators = b""
        self.reconnected()

    def request(self) -> bytes:
        """The next GET: for the message after the last answer."""
        return self._request + self._validators + b"\r\n"

    def glance(self, data: bytes) -> Glance | None:
        """Always None: `feed` has to read every answer."""
        return None

    def _response(self, head: Head, body: bytes, complete: Complete) -> PollResponse:
        messages: list[Message] = []
        controls: list[Control] = []
        if head.status == 200:
            # A payload is one line, so a newline only separates.
            for line in body.removesuffix(b"\n").split(b"\n") if body.endswith(b"\n") else [body]:
                found = self._read(line)
                if isinstance(found, Message):
                    messages.append(found)
                    self.since = found.id
                else:
                    controls.append(found)
            modified, tag = head.headers.get("last-modified", ""), head.headers.get("etag", "")
            self._validators = f"If-Modified-Since: {modified}\r\nIf-None-Match: {tag}\r\n".encode("latin-1")
        return PollResponse(
            304 if head.status in WAITED else head.status,
            head.headers,
            self.since,
            False,
            tuple(messages),
            tuple(controls),
            complete.wire_bytes,
            complete.keep_alive,
        )


class IntervalClient(ConditionalClient):
    """A short poll of Nchan: an answer is the message after the cursor, or 304. While there are messages, `more` says
    that the next request follows at once.

    The location must have `nchan_subscriber_first_message -1`: the answer to the first request is then the newest
    message that is held, or 304. It only says where to begin, for that message is older than the subscription. With
    Nchan's `newest` an answer without a message has no cursor, so no request would ever get one.
    """

    def __init__(self, host: str, path: str, headers: Mapping[str, str], read: Reader) -> None:
        super().__init__(host, path, headers, read)
        self._begun = False

    def _response(self, head: Head, body: bytes, complete: Complete) -> PollResponse:
        found = super()._response(head, body, complete)
        if found.status == 200:
            found = replace(found, messages=found.messages if self._begun else (), more=True)
        elif found.status == 304 and not self._begun:
            self._validators = OLDEST  # nothing was held: whatever there will be is new
        self._begun = self._begun or found.status in (200, 304)
        return found


CODECS: dict[str, Callable[[Asked], Any]] = {"conditional": codec, "interval": interval}
