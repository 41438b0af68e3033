"""A message's bytes on a TCP stream by the specifications, to compare with the counted bytes (R5).

Invariant: arithmetic alone, without the code that sends. Called by the calibration and the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def sse_bytes(seq: int, payload_bytes: int) -> int:
    """An event in a chunk: `id: N⏎data: P⏎⏎` (WHATWG 9.2.6) behind its size in hexadecimal (RFC 9112 §7.1)."""
    event = len("id: \ndata: \n\n") + len(str(seq)) + payload_bytes
    return len(f"{event:x}\r\n\r\n") + event


def websocket_bytes(seq: int, payload_bytes: int) -> int:
    """An envelope in an unmasked text frame: 2 bytes of head, 4 from 126 on, 10 from 65,536 on (RFC 6455 §5.2)."""
    text = len('{"id":,"data":}') + len(str(seq)) + payload_bytes
    return (2 if text < 126 else 4 if text < 65536 else 10) + text


FRAMED: Mapping[str, Callable[[int, int], int]] = {"sse": sse_bytes, "websocket": websocket_bytes}
"""Transport to (id, payload bytes) to bytes. A poll's share of its response depends on how many messages came in it."""
