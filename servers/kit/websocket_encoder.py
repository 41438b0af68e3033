"""Writes WebSocket messages: RFC 6455 server frames, unmasked (§5.1), one frame a message, no compression."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from rtbench.servers.kit.channel import Channel
from rtbench.servers.kit.cursor import BadParameter, cursor, number
from rtbench.servers.kit.framework import Framework
from rtbench.servers.kit.hub import Hub
from rtbench.transports.envelope import wrap

if TYPE_CHECKING:
    from websockets import frames
else:
    frames = Framework("websockets.frames")

__all__ = ["CLOSE", "Framed", "Refused", "notice", "target"]


def text(data: bytes) -> bytes:
    """One text frame."""
    return frames.Frame(frames.Opcode.TEXT, data).serialize(mask=False)


def notice(kind: str, fields: dict[str, Any]) -> bytes:
    """A notice's text (interface.md)."""
    return json.dumps({"control": kind, **fields}, ensure_ascii=False, separators=(",", ":")).encode()


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
