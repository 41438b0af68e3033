"""The tape: preallocated, never written past its end, begun again."""

from __future__ import annotations

import pytest

from rtbench.loadtests.reactor.capture import NO_STAMP, READ_BYTES, Tape


@pytest.mark.parametrize("asked", [0, READ_BYTES, 10 * READ_BYTES])
def test_there_is_room_for_a_whole_read_up_to_the_limit(asked: int) -> None:
    tape = Tape(asked)
    assert len(tape.data) == max(asked, 4 * READ_BYTES)
    assert tape.limit + READ_BYTES == len(tape.data)
    assert len(tape.view[tape.limit : tape.limit + READ_BYTES]) == READ_BYTES


def test_view_writes_the_data() -> None:
    tape = Tape(0)
    tape.view[5:8] = b"abc"
    assert tape.data[5:8] == b"abc"


def test_clear_keeps_the_memory() -> None:
    tape = Tape(0)
    data = tape.data
    tape.reads.extend((0, 1, 2))
    tape.stamps += NO_STAMP
    tape.at = 2
    tape.clear()
    assert (tape.at, len(tape.reads), len(tape.stamps)) == (0, 0, 0)
    assert tape.data is data
    assert tape.reads.itemsize == 8
