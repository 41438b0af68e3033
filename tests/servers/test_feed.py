"""The feed's frames, split anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.messages.feed import HELLO, Hello, PlayedWorkload
from rtbench.messages.lines import line
from rtbench.servers.kit import feed
from rtbench.streams import Pace
from rtbench.workload import Workload

TICK = st.tuples(
    st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.binary(max_size=50)
)
FRAME = st.tuples(st.integers(1, 4), st.binary(max_size=200))


@given(st.lists(TICK, max_size=20))
def test_ticks_come_out_as_they_went_in(ticks: list[tuple[int, int, int, bytes]]):
    assert list(feed.unpack(b"".join(feed.pack(*tick) for tick in ticks))) == ticks


@given(st.lists(FRAME, max_size=10), st.lists(st.integers(1, 40), min_size=1))
def test_frames_split_anywhere(frames: list[tuple[int, bytes]], cuts: list[int]):
    wire = b"".join(feed.frame(kind, body) for kind, body in frames)
    reader = feed.Reader()
    found: list[tuple[int, bytes]] = []
    at = turn = 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        found += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == frames


def test_frames_byte_by_byte():
    frames = [(feed.TICKS, b"x" * 300), (feed.LIVE, b""), (feed.HELLO, b"{}")]
    wire = b"".join(feed.frame(*frame) for frame in frames)
    reader = feed.Reader()
    assert [found for byte in wire for found in reader.feed(bytes([byte]))] == frames


def test_a_workload_comes_out_as_it_went_in():
    workload = Workload(("fanout", "stocks"), 7, 1_000, 12, Pace("unicast", 2.5, 99, "poisson", True, "trace", True))
    assert HELLO(line(Hello("e", "b", PlayedWorkload.of(workload)))).workload.restore() == workload


def test_the_reader_survives_a_consumer_that_stops_in_the_middle():
    """`Ingest` iterates while it publishes; frames that were taken are not given again."""
    wire = feed.frame(feed.LIVE) + feed.frame(feed.TICKS, b"[]")
    reader = feed.Reader()
    first = list(reader.feed(wire[:7]))
    assert first == [(feed.LIVE, b"")]
    assert list(reader.feed(wire[7:])) == [(feed.TICKS, b"[]")]


@pytest.mark.parametrize("body", [b"x", feed.pack(0, 1, 2, b"abc")[:-1], feed.pack(0, 1, 2, b"") + b"x" * 23])
def test_a_tick_that_is_cut_off_is_an_error_and_no_shorter_tick(body: bytes):
    with pytest.raises(feed.FeedError, match="a tick"):
        list(feed.unpack(body))


def test_a_frame_s_length_is_judged_before_its_body_is_kept():
    reader = feed.Reader(100)
    assert list(reader.feed(feed.frame(feed.LIVE, b"x" * 100))) == [(feed.LIVE, b"x" * 100)]
    with pytest.raises(feed.FeedError, match="a frame of 101 bytes, limit 100"):
        list(reader.feed(feed.frame(feed.LIVE, b"x" * 101)[:5]))
