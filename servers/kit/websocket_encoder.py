"""Writes WebSocket messages: RFC 6455 server frames, unmasked (§5.1), one frame a message, compressed if asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from rtbench.servers.kit import compression
from rtbench.servers.kit.channel import Channel, Encoder
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.queue import Queued
from rtbench.transports.envelope import wrap

if TYPE_CHECKING:
    from websockets import frames
else:
    frames = Framework("websockets.frames")

__all__ = ["CLOSE", "EXTENSION", "Framed", "Refused", "encoder", "notice", "target"]

DEFLATED = 0x40
"""RSV1: the message is compressed (RFC 7692 §6)."""
EXTENSION = "permessage-deflate; server_no_context_takeover"
"""How a server whose messages are compressed once answers a client that offers compression (RFC 7692 §7.1.1.1)."""


def text(data: bytes) -> bytes:
    """One text frame."""
    return frames.Frame(frames.Opcode.TEXT, data).serialize(mask=False)


def notice(kind: str, fields: dict[str, Any]) -> bytes:
    """A notice's text (interface.md)."""
    return json.dumps({"control": kind, **fields}, ensure_ascii=False, separators=(",", ":")).encode()


def _deflated(data: bytes) -> bytes:
    """One text frame whose message is compressed (RFC 7692 §6.1)."""
    frame = text(data)
    return bytes((frame[0] | DEFLATED,)) + frame[1:]


def encoder(coding: str) -> Encoder:
    """The hub's encoder: `Framed`; with `deflate` each message is compressed once, without context takeover."""
    if coding == compression.NONE:
        return Framed()
    press = compression.pressed(coding)
    # RFC 7692 §7.2.1: without the last four bytes of the flush.
    return compression.Once(Framed(), Queued(wrap, notice, b""), _deflated, lambda text: press(text)[:-4])


class Framed:
    """The hub's encoder for WebSocket: each message is one frame, the same bytes for every connection."""

    def __init__(self) -> None:
        self.heartbeat = frames.Frame(frames.Opcode.PING, b"").serialize(mask=False)

    def message(self, seq: int, payload: bytes) -> bytes:
        return text(wrap(seq, payload))

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return text(notice(kind, fields))


CLOSE = {"end": 1000, "stop": 1001, "failure": 1011}
"""Close codes by the reason of the end (RFC 6455 §7.4.1): end of stream, shutdown, failure."""


class Refused(Exception):
    """The request gets an HTTP answer instead of a WebSocket."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def target(hub: Hub, path: str, prefix: str) -> tuple[Channel, int | None]:
    """The channel and the cursor in a request's target, for libraries without a router. Raises Refused."""
    parts = urlsplit(path)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    folder, _, stream = unquote(parts.path).rpartition("/")
    if folder != prefix:
        raise Refused(404, "there is nothing here")
    try:
        channel = hub.find(stream, number(query.get("channel", "0"), "channel"))
        at = cursor(query.get("since"), "since")
    except BadParameter as error:
        raise Refused(400, str(error)) from error
    if channel is None:
        raise Refused(404, f"unknown stream or channel; choose one of {', '.join(hub.streams)}")
    return channel, at
