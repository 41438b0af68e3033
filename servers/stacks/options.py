"""The options of a program that takes our feed: one JSON object, its only argument. Used by hyperlane, Go and Node."""

from __future__ import annotations

import json
from typing import Any

from rtbench.messages.server import Bounds
from rtbench.streams import catalogue
from rtbench.subjects import Launch

_LIMITS = ("ring_messages", "ring_bytes", "buffer_bytes", "heartbeat_s")


def argument(launch: Launch, transport: str = "") -> str:
    """The argument. `transport`: the one that a program serves, which is then given the streams' traits, too."""
    options: dict[str, Any] = {
        "host": launch.host,
        "port": launch.port,
        "ingest": str(launch.feed),
        "limits": {name: launch.limits[name] for name in _LIMITS},
        "bounds": {name: launch.limits[name] for name in Bounds.__struct_fields__},
        "allow_origin": list(launch.limits["allow_origin"]),
    }
    if launch.tls:
        options["tls"] = {name: getattr(launch.tls, name) for name in ("certificate", "key", "version")}
    if transport:
        options |= {"transport": transport, "streams": _traits()}
    return json.dumps(options)


def _traits() -> dict[str, dict[str, Any]]:
    """What the feed does not say of a stream: whether it is finite, and its own headers and heartbeat."""
    return {
        stream.name: {
            "finite": stream.finite,
            "from_start": stream.from_start,
            "heartbeat_s": stream.heartbeat_s,
            "headers": dict(stream.headers),
        }
        for stream in catalogue().values()
    }
