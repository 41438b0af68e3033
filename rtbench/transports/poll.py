"""Short and long polling as a client does them: one GET after another on a kept-alive connection, with a cursor.

`PollClient` makes the next request and reads the responses. `glance` reads only what the next request needs from a
common response, for a load generator that decodes later.

Invariant: the cursor is the `next` of the last 200 (interface.md, Wire), and a payload is the exact bytes in the body.
Called by the load generator, `rtbench verify` and the tests.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from rtbench.transports import Asked, Closed, Control, Message, ProtocolError, TooLarge
from rtbench.transports.catalogue import Transport
from rtbench.transports.coding import decoder
from rtbench.transports.envelope import elements, members, unwrap
from rtbench.transports.http import Body, Complete, Head, Part, ResponseParser, request_head

MAX_BODY_BYTES = 128 * 1024 * 1024
_MESSAGES = '{"messages":'
_ETAG_CURSOR = re.compile(r'"([0-9]{1,18})"')


@dataclass(frozen=True, slots=True)
class PollResponse:
    """One response. `next` and `end` are the body's (None and False without one); `received_bytes`: all bytes on TCP.

    `controls`: gap and retry from the body; failure and retry of a 503 with Retry-After in seconds. A 503 without it
    comes from an intermediary, such as a proxy without its server, not from the stream (interface.md, Wire).
    `keep_alive` is false if the server will close: the next request needs a new connection. `more`: an answer holds
    one message and others may be waiting, so a short poll asks again at once instead of at its next slot.
    """

    status: int
    headers: Mapping[str, str]
    next: int | None
    end: bool
    messages: tuple[Message, ...]
    controls: tuple[Control, ...]
    received_bytes: int
    keep_alive: bool = True
    more: bool = False

    @property
    def failed(self) -> bool:
        """Whether the stream failed for good."""
        return any(control.kind == "failure" for control in self.controls)


def codec(asked: Asked) -> PollClient:
    """The codec for a subscriber's request."""
    return PollClient(
        asked.host, asked.path, asked.cursor, asked.timeout_s, asked.fields, json_payload=asked.json_payload
    )


class Responses(ABC):
    """The reading side of a polling client: responses in order on one kept-alive connection. `_response` makes each."""

    def reconnected(self) -> None:
        """Begin a new connection: drop an incomplete response of the old one, keep the cursor."""
        self._http = ResponseParser()
        self._head: Head | None = None
        self._body = bytearray()
        self._closed = False
        self._fault = ""

    def feed(self, data: bytes) -> list[PollResponse]:
        """Responses completed by `data`. Raises ProtocolError; after that, every call raises it."""
        if self._fault:
            raise ProtocolError(self._fault)
        responses: list[PollResponse] = []
        fault = self._http.hand(data, lambda parts: self._take(parts, responses))
        if fault is not None:
            self._fault = str(fault)
            self._body.clear()
            fault.events = tuple(responses)
            raise fault
        return responses

    def eof(self) -> list[PollResponse | Closed]:
        """The response that ended with the connection, if one did, and Closed; clean between two responses."""
        if self._closed:
            return []
        self._closed = True
        responses: list[PollResponse] = []
        if self._fault:
            return [Closed(False, reason=self._fault)]
        try:
            self._take(self._http.eof(), responses)
        except ProtocolError as error:
            return [Closed(False, reason=str(error))]
        return [*responses, Closed(True, reason="connection closed between responses")]

    def _take(self, parts: list[Part], responses: list[PollResponse]) -> None:
        for part in parts:
            if isinstance(part, Head):
                self._head = part
            elif isinstance(part, Body):
                if len(self._body) + len(part.data) > MAX_BODY_BYTES:
                    raise TooLarge(f"body longer than {MAX_BODY_BYTES} bytes")
                self._body += part.data
            else:
                assert self._head is not None
                head, body = self._head, bytes(self._body)
                self._head = None
                self._body.clear()
                if body and (unpack := decoder(head.headers)) is not None:
                    body = unpack.feed(body)
                responses.append(self._response(head, body, part))

    @abstractmethod
    def _response(self, head: Head, body: bytes, complete: Complete) -> PollResponse:
        """Make a response from its parts. It may move the cursor."""


class PollClient(Responses):
    """One polling subscriber. `since` is its cursor, None until the first answer if it begins with "from now".

    `timeout_s` makes it a long poll; `json_payload` is `envelope.unwrap`'s. The caller sends `request()`,
    feeds what it reads, and sends the next one when it wants to; `reconnected()` is for a new connection.
    """

    def __init__(
        self,
        host: str,
        path: str,
        since: int | None = None,
        timeout_s: float | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        use_etag: bool = True,
        json_payload: bool | None = None,
    ) -> None:
        self.since = since
        self._json_payload = json_payload
        self.etag = ""
        head = request_head("GET", path, host, headers)  # ValueError now, not in the middle of a trial
        self._target, _, fields = head.partition(b" HTTP/1.1\r\n")  # a path has no blank in it
        self._fields = b" HTTP/1.1\r\n" + fields[:-2]
        self._query = b"&" if "?" in path else b"?"
        self._timeout = b"" if timeout_s is None else b"timeout=%b" % format(timeout_s, "g").encode()
        self._use_etag = use_etag
        self.reconnected()

    def request(self) -> bytes:
        """The next GET: everything after the cursor, or 304 if the ETag still holds."""
        since = b"" if self.since is None else b"since=%d" % self.since
        between = b"&" if since and self._timeout else b""
        start = self._query if since or self._timeout else b""
        etag = b"If-None-Match: %b\r\n" % self.etag.encode("latin-1") if self.etag and self._use_etag else b""
        return b"%b%b%b%b%b%b%b\r\n" % (self._target, start, since, between, self._timeout, self._fields, etag)

    def glance(self, data: bytes) -> Glance | None:
        """`glance` at the answer to a request and take over its cursor; None: `feed` has to read it."""
        # Without a cursor (the first answer) feed has to read: an empty answer's ETag may be one.
        seen = None if self.since is None else glance(data)
        if seen is not None and seen.status == 200:
            self.since, self.etag = seen.next, seen.etag.decode("latin-1")
        return seen

    def _response(self, head: Head, body: bytes, complete: Complete) -> PollResponse:
        status, headers = head.status, head.headers
        messages: tuple[Message, ...] = ()
        controls: tuple[Control, ...] = ()
        cursor: int | None = None
        end = False
        if status == 200:
            messages, cursor, end, controls = parse_body(body, self._json_payload)
            self.since = cursor
            self.etag = headers.get("etag", "")
        elif status == 503:
            controls = _failure(headers, body)
        elif status in (204, 304) and self.since is None:
            # "From now" would skip what comes between two empty answers; the ETag is the cursor (interface.md).
            found = _ETAG_CURSOR.fullmatch(headers.get("etag", ""))
            if found is not None:
                self.since = int(found[1])
        return PollResponse(status, headers, cursor, end, messages, controls, complete.wire_bytes, complete.keep_alive)


def parse_body(
    body: bytes, json_payload: bool | None = None
) -> tuple[tuple[Message, ...], int, bool, tuple[Control, ...]]:
    """Messages, `next`, `end` and controls (gap, retry) of a 200's body. Raises ProtocolError."""
    try:
        return _parse(body.decode(), json_payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"malformed poll body: {error}") from error


def _parse(text: str, json_payload: bool | None) -> tuple[tuple[Message, ...], int, bool, tuple[Control, ...]]:
    if text.startswith(_MESSAGES + "["):
        spans = list(elements(text, len(_MESSAGES)))
        stop = spans[-1][1] if spans else len(_MESSAGES) + 1
        stop = text.index("]", stop) + 1  # only blanks can stand before it
        fields = json.loads('{"messages":[]' + text[stop:])
    else:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        at = len(text) - len(text.lstrip(" \t\r\n"))
        spans = []
        for name, _, start, _ in members(text, at):
            if name == "messages":
                spans = list(elements(text, start))
    cursor, end, gap, retry = fields.get("next"), fields.get("end"), fields.get("gap"), fields.get("retry")
    if "messages" not in fields or type(cursor) is not int or not 0 <= cursor < 2**63 or not isinstance(end, bool):
        raise ValueError("not messages, next and end")
    messages = []
    for start, stop in spans:
        message = unwrap(text[start:stop].encode(), json_payload)
        if not isinstance(message, Message):
            raise ValueError(f"no message at character {start}")
        messages.append(message)
    return tuple(messages), cursor, end, (*_control("gap", gap), *_control("retry", retry))


def _control(kind: str, fields: Any) -> tuple[Control, ...]:
    if fields is None:
        return ()
    if not isinstance(fields, dict):
        raise ValueError(f"{kind} is not an object")
    return (Control(kind, fields),)


def _failure(headers: Mapping[str, str], body: bytes) -> tuple[Control, ...]:
    after = headers.get("retry-after", "")
    if not (after.isascii() and after.isdigit() and len(after) <= 9):  # a date is the other form; a codec has no clock
        return ()
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # not our server's JSON
        fields = None
    failure = Control("failure", fields if isinstance(fields, dict) else {})
    return failure, Control("retry", {"after_ms": 1000 * int(after)})


class Glance(NamedTuple):
    """What the next request needs of a response. A tuple: a frozen dataclass takes three times as long to make."""

    status: int
    next: int  # -1: no body
    etag: bytes
    end: bool


_NEXT, _GOES_ON, _ENDS = b'],"next":', b',"gap":null,"end":false}', b',"gap":null,"end":true}'
_TAIL_BYTES = 64  # more than the three of them and 18 digits
_STATUS = {b"HTTP/1.1 200 ": 200, b"HTTP/1.1 204 ": 204, b"HTTP/1.1 304 ": 304}


def glance(data: bytes) -> Glance | None:
    """Status, cursor, ETag and end of `data` if that is exactly one plain response; None: use PollClient.feed.

    Plain: 204 or 304 alone, or 200 with a Content-Length and a body that ends `],"next":N,"gap":null,"end":…}`. The
    only brace of that tail is its last byte, so `next` and `end` belong to the outermost object whatever payloads hold;
    a chunked body cannot end like this. A head that HTTP forbids (two lengths) is not detected here.
    """
    status = _STATUS.get(data[:13])
    if status is None:
        return None
    stop = data.find(b"\r\n\r\n")
    if stop < 0:
        return None
    body = stop + 4
    head = data[: stop + 2].lower()
    # find() and not `in`, which takes twice as long for bytes.
    if head.find(b"\r\nconnection:") >= 0 and head.find(b"\r\nconnection: keep-alive\r\n") < 0:
        return None
    cursor, end = -1, False
    if status == 200:
        size = len(data)
        if head.find(b"\r\ncontent-length: %d\r\n" % (size - body)) < 0:
            return None
        start = data.rfind(_NEXT, max(body, size - _TAIL_BYTES)) + len(_NEXT)
        end = data.endswith(_ENDS)
        if start < body or not (end or data.endswith(_GOES_ON)):
            return None
        digits = data[start : -len(_ENDS) if end else -len(_GOES_ON)]
        if not digits.isdigit() or len(digits) > 18:
            return None
        cursor = int(digits)
    elif body != len(data):
        return None
    at = head.find(b"\r\netag:")
    if at >= 0 and head.find(b"\r\netag:", at + 7) >= 0:
        return None
    etag = data[at + 7 : head.find(b"\r\n", at + 7)].strip() if at >= 0 else b""
    return Glance(status, cursor, etag, end)


TRANSPORTS = (
    Transport("short-poll", "/poll", "ShortPollUser", "Short polling", make=codec, polls=True, place=3),
    Transport("long-poll", "/long-poll", "LongPollUser", "Long polling", make=codec, polls=True, place=4),
)
