"""Framing by arithmetic, against messages that are written out here as the specifications have them."""

from __future__ import annotations

import pytest

from rtbench.analysis.samples.framing import FRAMED, sse_bytes, websocket_bytes


@pytest.mark.parametrize(("seq", "payload"), [(1, b"{}"), (9, b"x" * 150), (10, b"x" * 150), (123_456, b"x" * 5000)])
def test_an_event_in_a_chunk(seq: int, payload: bytes) -> None:
    event = b"id: %d\ndata: %b\n\n" % (seq, payload)
    assert sse_bytes(seq, len(payload)) == len(b"%x\r\n%b\r\n" % (len(event), event))


@pytest.mark.parametrize(
    ("payload_bytes", "head"),
    [(1, 2), (109, 2), (110, 4), (65_519, 4), (65_520, 10), (200_000, 10)],
    ids=["small", "125 bytes", "126 bytes", "65,535 bytes", "65,536 bytes", "large"],
)
def test_a_frame_around_an_envelope(payload_bytes: int, head: int) -> None:
    """RFC 6455 §5.2: the length is in 7 bits up to 125, in 16 more up to 65,535, in 64 more beyond."""
    text = b'{"id":7,"data":%b}' % (b"x" * payload_bytes)
    assert websocket_bytes(7, payload_bytes) == head + len(text)


def test_polls_depend_on_how_many_messages_come_together() -> None:
    assert FRAMED.keys() == {"sse", "websocket"}
