"""The capture buffer: preallocated, never written past its end, begun again."""

from __future__ import annotations

import pytest

from rtbench.loadtests.reactor.capture import NO_STAMP, READ_BYTES, CaptureBuffer


@pytest.mark.parametrize("asked", [0, READ_BYTES, 10 * READ_BYTES])
def test_there_is_room_for_a_whole_read_up_to_the_limit(asked: int) -> None:
    capture = CaptureBuffer(asked)
    assert len(capture.data) == max(asked, 4 * READ_BYTES)
    assert capture.limit + READ_BYTES == len(capture.data)
    assert len(capture.view[capture.limit : capture.limit + READ_BYTES]) == READ_BYTES


def test_view_writes_the_data() -> None:
    capture = CaptureBuffer(0)
    capture.view[5:8] = b"abc"
    assert capture.data[5:8] == b"abc"


def test_clear_keeps_the_memory() -> None:
    capture = CaptureBuffer(0)
    data = capture.data
    capture.reads.extend((0, 1, 2))
    capture.stamps += NO_STAMP
    capture.at = 2
    capture.clear()
    assert (capture.at, len(capture.reads), len(capture.stamps)) == (0, 0, 0)
    assert capture.data is data
    assert capture.reads.itemsize == 8
