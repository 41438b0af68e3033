"""Whether a peer is still there: what the kernel is told to watch, and what it knows of one connection (TCP_INFO).

A peer that vanished without FIN (its packets are dropped) and one that stopped reading look alike: what was written
to it is not acknowledged. Invariant: both are found out within two heartbeats, on every subject in the same way. A
push connection is watched by the hub, which writes to it at every heartbeat; the kernel's own limits, set on the
listening socket and inherited by every accepted one, watch everything else: polling connections, answers under way.
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
"""TCP's own retransmissions begin with 200 ms: for heartbeats under a second the kernel is not asked to be quicker."""


class Acknowledged(NamedTuple):
    """How far a peer has acknowledged, and whether something is on its way to it."""

    acknowledged_bytes: int
    outstanding: bool


def watch(listener: socket.socket, heartbeat_s: float) -> dict[str, int]:
    """Let the kernel end what is not acknowledged for one and a half heartbeats, and ask where nothing is sent.

    Keepalive's times are whole seconds; with TCP_USER_TIMEOUT it is that which decides, after one probe at least.
    Returns what was set, for the trial's manifest (R11).
    """
    limits = {
        "user_timeout_ms": min(max(LEAST_TIMEOUT_MS, int(1500 * heartbeat_s)), 2**31 - 1),
        "keepalive_idle_s": min(max(1, math.floor(heartbeat_s / 2)), 32767),
        "keepalive_interval_s": min(max(1, math.floor(heartbeat_s / 4)), 32767),
    }
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, limits["user_timeout_ms"])
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits["keepalive_idle_s"])
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits["keepalive_interval_s"])
    return limits


def progress(link: Any) -> Acknowledged | None:
    """What the kernel knows of a connection's socket; None where it does not say, or the connection is over."""
    try:
        info = link.getsockopt(socket.IPPROTO_TCP, TCP_INFO, _INFO_BYTES)
    except (OSError, ValueError):
        return None
    if len(info) < _LEAST_BYTES:
        return None
    (unacked,), (acked,), (not_sent,) = (part.unpack_from(info) for part in (_UNACKED, _ACKED, _NOT_SENT))
    return Acknowledged(acked, bool(unacked or not_sent))
