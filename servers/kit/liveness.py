"""Dead peers: the kernel's limits on every connection, and its view of one connection (TCP_INFO).

A peer that vanished without FIN (its packets are dropped) and one that stopped reading look alike: they acknowledge
nothing. Invariant: both are detected within two heartbeats, on every subject in the same way. The hub watches push
connections, since it writes to each at every heartbeat. The kernel's limits, set on the listening socket and inherited
by every accepted one, watch the rest: polling connections and answers under way.
"""

from __future__ import annotations

import math
import socket
import struct
from typing import Any, NamedTuple

__all__ = ["TCP_USER_TIMEOUT", "progress", "watch"]

TCP_USER_TIMEOUT, TCP_INFO = 18, 11
_INFO_BYTES = 256
_UNACKED, _ACKED, _NOT_SENT = struct.Struct("@24xI"), struct.Struct("@120xQ"), struct.Struct("@144xI")
_LEAST_BYTES = 148

LEAST_TIMEOUT_MS = 1000
"""The shortest TCP_USER_TIMEOUT: TCP's own retransmissions begin after 200 ms."""


class Acknowledged(NamedTuple):
    """How many bytes a peer has acknowledged, and whether more are outstanding."""

    acknowledged_bytes: int
    outstanding: bool


def watch(
    listener: socket.socket, heartbeat_s: float, unacknowledged: float = 1.5, least_ms: int = LEAST_TIMEOUT_MS
) -> dict[str, int]:
    """Let the kernel end connections unacknowledged for so many heartbeats, and probe the silent ones.

    Keepalive's times are whole seconds; TCP_USER_TIMEOUT overrides its count, after one probe at least.
    Returns the options set, for the trial's manifest (R11).
    """
    limits = {
        "user_timeout_ms": min(max(least_ms, int(1000 * unacknowledged * heartbeat_s)), 2**31 - 1),
        "keepalive_idle_s": min(max(1, math.floor(heartbeat_s / 2)), 32767),
        "keepalive_interval_s": min(max(1, math.floor(heartbeat_s / 4)), 32767),
    }
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, limits["user_timeout_ms"])
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits["keepalive_idle_s"])
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits["keepalive_interval_s"])
    return limits


def progress(link: Any) -> Acknowledged | None:
    """The kernel's view of a connection's socket; None where it has none, or the connection is over."""
    try:
        info = link.getsockopt(socket.IPPROTO_TCP, TCP_INFO, _INFO_BYTES)
    except (OSError, ValueError):
        return None
    if len(info) < _LEAST_BYTES:
        return None
    (unacked,), (acked,), (not_sent,) = (part.unpack_from(info) for part in (_UNACKED, _ACKED, _NOT_SENT))
    return Acknowledged(acked, bool(unacked or not_sent))
