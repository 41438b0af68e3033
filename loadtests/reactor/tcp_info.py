"""What the kernel knows of one of our connections (TCP_INFO, linux/tcp.h): bytes, segments, silence.

Invariant: a value that the kernel does not have is -1, or 0 for silence, never guessed. Read by the links at the
window's edges, and once a second by the load process for silent connections.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

_TCP_INFO = 11
_ACKED_RECEIVED = struct.Struct("<QQ")
_SENT = struct.Struct("<Q")
_DATA_SEGMENTS_IN = struct.Struct("<I")
_LAST_RECEIVED_MS = struct.Struct("<I")
_CLOSE_WAIT = 8


class TcpCounts(NamedTuple):
    """What a TCP socket has carried so far; -1: not known."""

    received_bytes: int = -1
    sent_bytes: int = -1
    received_segments: int = -1


def tcp_counts(sock: Any) -> TcpCounts:
    """Stream bytes and data segments of a TCP socket, from TCP_INFO (R5); all -1 where the kernel has none.

    Received counts bytes that arrived in order; sent leaves out retransmissions. A segment is one that had data: with
    Nagle's algorithm off, and below the MSS, one write of the server.
    """
    try:
        info = sock.getsockopt(6, _TCP_INFO, 256)
    except OSError:
        return TcpCounts()
    if len(info) < 216:
        return TcpCounts()
    _, received = _ACKED_RECEIVED.unpack_from(info, 120)
    received -= info[0] == _CLOSE_WAIT  # the peer's FIN takes a sequence number and was counted
    (sent,) = _SENT.unpack_from(info, 200)
    (again,) = _SENT.unpack_from(info, 208)
    (segments,) = _DATA_SEGMENTS_IN.unpack_from(info, 152)
    return TcpCounts(received, sent - again, segments)


def silent_s(sock: Any) -> float:
    """Seconds since a TCP socket received data (tcpi_last_data_recv); 0 where the kernel has no figure."""
    try:
        info = sock.getsockopt(6, _TCP_INFO, 64)
    except OSError:
        return 0.0
    return _LAST_RECEIVED_MS.unpack_from(info, 52)[0] / 1000 if len(info) >= 56 else 0.0
