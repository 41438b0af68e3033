"""Sans-I/O client codecs: bytes in, events out; no socket, no clock, no thread.

A codec is one connection's client side of one transport. The caller owns the socket: it sends `open()`,
hands whatever it reads to `feed()` in any split, sends `to_send()` when that is not empty, and calls `eof()`
when the peer closed. The load generator, `rtbench verify` and the tests drive the same codecs.

Invariant: the events that come out do not depend on how the bytes were split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class ProtocolError(Exception):
    """The peer broke its protocol (RFC 6455, RFC 9112, WHATWG 9.2 or rtbench's wire contract).

    `events`: what the same bytes completed before the fault, of the type that the raising call returns. They count as
    delivered, and they do not depend on how the bytes were split.
    """

    def __init__(self, message: str, events: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.events = tuple(events)


class TooLarge(ProtocolError):
    """The peer sent more than a codec keeps. The limit is the codec's own, so that no peer decides how much memory it
    takes (explanation/parsers.md)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The response head arrived: `status` is the HTTP status, `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One tick as the subscriber holds it: `id` its sequence number (-1: none), `payload` its exact bytes."""

    id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Undecodable(Message):
    """A message whose content cannot be read, although its transport framed it well: `id` -1, `payload` all of it.

    The audit counts it as corrupted; the connection goes on.
    """

    why: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """A notice from the server about the stream: `kind` is end, gap, failure or retry; `fields` its JSON members.

    `kind` other: a message of a foreign server's own, such as a greeting or a ping.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A comment line (SSE) or a ping frame (WebSocket). It is not a message, but its bytes count."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over. `clean`: it ended as the protocol requires. `code`: WebSocket close code, else 0."""

    clean: bool
    code: int = 0
    reason: str = ""


Event = Opened | Message | Control | Heartbeat | Closed


@dataclass(frozen=True, slots=True)
class Asked:
    """A subscriber's request. Each transport uses the fields that it supports.

    `host`: the Host header. `cursor`: the subscriber's last id. `timeout_s`: of a long poll. `greeting`: texts to send
    on open (WebSocket). `carries_id`, `payload` and `json_payload`: `rtbench.transports.envelope.reader`.
    """

    host: str
    path: str
    cursor: int | None = None
    timeout_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocol: str = ""
    greeting: Sequence[str] = ()
    carries_id: str = "protocol"
    payload: str = ""
    json_payload: bool | None = None
    compression: str = "none"
    """The coding that the client offers: `deflate` (a WebSocket's messages, too), `gzip` or `zstd`."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The header fields of an HTTP request, with the coding that the client accepts (RFC 9110 §12.5.3)."""
        return self.headers if self.compression == "none" else {**self.headers, "Accept-Encoding": self.compression}

    @property
    def resuming(self) -> str:
        """The path with the cursor as `?since=N`."""
        if self.cursor is None:
            return self.path
        return f"{self.path}{'&' if '?' in self.path else '?'}since={self.cursor}"


class Codec(Protocol):
    """A push transport's client side (SSE, WebSocket)."""

    def open(self) -> bytes:
        """The bytes that request the stream, to be sent once after connecting."""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`. Raises ProtocolError; the connection is then unusable."""

    def to_send(self) -> bytes:
        """Bytes that the protocol owes the peer (pongs, the closing handshake); empty most of the time."""

    def eof(self) -> list[Event]:
        """The peer closed its side: the closing event, once."""
