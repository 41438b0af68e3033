"""The audit against a slow one that anybody can read, and against faults that were put in by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbench.records.audit import audit, match

WINDOW = (100, 200)

Row = tuple[int, int, int, int, int]  # subscriber, channel, seq, payload_bytes, digest


def ticks_of(rows: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Ticks from (channel, seq, due_ns); length 10 + seq % 3, digest 1000 × channel + seq."""
    channel, seq, due = (np.array([r[i] for r in rows], dtype=np.int64) for i in range(3))
    return {
        "channel": channel.astype(np.int32),
        "seq": seq,
        "due_ns": due,
        "payload_bytes": (10 + seq % 3).astype(np.int32),
        "digest": (1000 * channel + seq).astype(np.uint32),
    }


def deliveries_of(rows: list[Row]) -> dict[str, Any]:
    kinds = (np.int32, np.int32, np.int64, np.int32, np.uint32)
    names = ("subscriber", "channel", "seq", "payload_bytes", "digest")
    return {n: np.array([r[i] for r in rows], dtype=k) for i, (n, k) in enumerate(zip(names, kinds, strict=True))}


def good(subscriber: int, channel: int, seq: int) -> Row:
    return (subscriber, channel, seq, 10 + seq % 3, 1000 * channel + seq)


def slowly(rows: list[Row], ticks: dict[str, Any], channel_of: list[int]) -> dict[str, int]:
    """R3 word by word, with dictionaries."""
    table = {
        (int(c), int(s)): (int(due), int(size), int(digest))
        for c, s, due, size, digest in zip(*(ticks[n] for n in ticks), strict=True)
    }
    window = {key for key, (due, _, _) in table.items() if WINDOW[0] <= due < WINDOW[1]}
    count = dict.fromkeys(("expected", "delivered", "lost", "duplicated", "reordered", "corrupted"), 0)
    count["expected"] = sum(1 for c in channel_of for key in window if key[0] == c)
    seen: set[tuple[int, int, int]] = set()
    highest: dict[int, int] = {}
    for subscriber, channel, seq, size, digest in rows:
        key = (channel, seq)
        if not 0 <= subscriber < len(channel_of) or channel != channel_of[subscriber] or key not in table:
            count["corrupted"] += 1
            continue
        first = (subscriber, channel, seq) not in seen
        seen.add((subscriber, channel, seq))
        if key in window:
            count["delivered"] += first
            count["duplicated"] += not first
            count["reordered"] += first and seq < highest.get(subscriber, -1)
            count["corrupted"] += (size, digest) != table[key][1:]
        highest[subscriber] = max(seq, highest.get(subscriber, -1))
    count["lost"] = count["expected"] - count["delivered"]
    return count


@st.composite
def campaigns(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, int, int]], list[int]]:
    channels = draw(st.integers(1, 3))
    ticks = [
        (c, seq, draw(st.integers(80, 220)))
        for c in range(channels)
        for seq in draw(st.lists(st.integers(0, 8), unique=True, max_size=6))
    ]
    ticks = draw(st.permutations(ticks))
    channel_of = draw(st.lists(st.integers(-1, channels - 1), min_size=1, max_size=4))
    one = st.builds(
        lambda s, c, seq, spoil: (s, c, seq, 10 + seq % 3 + (spoil == 1), 1000 * max(c, 0) + seq + (spoil == 2)),
        st.integers(0, len(channel_of)),
        st.integers(0, channels),
        st.integers(0, 9),
        st.sampled_from([0, 0, 0, 1, 2]),
    )
    return draw(st.lists(one, max_size=30)), ticks, channel_of


@pytest.mark.slow
@given(campaigns())
@settings(max_examples=400, deadline=None)
def test_agrees_with_the_slow_one(campaign: tuple[list[Row], list[tuple[int, int, int]], list[int]]) -> None:
    rows, tick_rows, channel_of = campaign
    ticks = ticks_of(tick_rows)
    result = audit(deliveries_of(rows), ticks, WINDOW, channel_of, examples=1000)
    assert result.counts() == slowly(rows, ticks, channel_of)
    for kind in ("lost", "duplicated", "reordered", "corrupted"):
        assert len(result.examples[kind]) == result.counts()[kind]
    assert result.lost == result.expected - result.delivered >= 0


@pytest.mark.slow
@given(campaigns(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_only_the_order_inside_a_subscriber_matters(campaign: Any, random: Any) -> None:
    rows, tick_rows, channel_of = campaign
    ticks = ticks_of(tick_rows)
    queues = {s: [r for r in rows if r[0] == s] for s in {r[0] for r in rows}}
    mixed = []
    while queues:
        subscriber = random.choice(sorted(queues))
        mixed.append(queues[subscriber].pop(0))
        queues = {s: q for s, q in queues.items() if q}
    one, other = (audit(deliveries_of(r), ticks, WINDOW, channel_of) for r in (rows, mixed))
    assert one.counts() == other.counts()


TICKS = [(0, seq, 90 + 10 * seq) for seq in range(1, 12)]  # 1…10 due 100…190 in the window, 11 due at 200 is not


def test_nothing_wrong() -> None:
    rows = [good(s, 0, seq) for seq in range(1, 12) for s in (0, 1)]
    result = audit(deliveries_of(rows), ticks_of(TICKS), WINDOW, [0, 0])
    assert result.counts() == {
        "expected": 20,
        "delivered": 20,
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "corrupted": 0,
    }
    assert all(not pairs for pairs in result.examples.values())


def test_the_lost_tail_and_head_are_seen() -> None:
    rows = [good(0, 0, seq) for seq in range(3, 9)]
    result = audit(deliveries_of(rows), ticks_of(TICKS), WINDOW, [0, 0], examples=3)
    assert (result.expected, result.delivered, result.lost) == (20, 6, 14)
    assert result.examples["lost"] == ((0, 1), (0, 2), (0, 9))
    assert result.details()["lost"] == [[0, 1], [0, 2], [0, 9]]


def test_a_late_one_is_reordered_once_and_a_second_copy_is_a_duplicate() -> None:
    rows = [good(0, 0, seq) for seq in (1, 2, 4, 3, 3, 5)]
    result = audit(deliveries_of(rows), ticks_of(TICKS), WINDOW, [0])
    assert (result.reordered, result.duplicated) == (1, 1)
    assert result.examples["reordered"] == ((0, 3),)


def test_a_number_that_no_tick_has_does_not_make_the_rest_late() -> None:
    rows = [good(0, 0, 10**9), good(0, 0, 2**62), good(0, 0, -1), *(good(0, 0, seq) for seq in range(1, 11))]
    result = audit(
        deliveries_of(
            [(s, c, seq, 10, 1) if abs(seq) > 99 or seq < 0 else (s, c, seq, n, d) for s, c, seq, n, d in rows]
        ),
        ticks_of(TICKS),
        WINDOW,
        [0],
    )
    assert (result.delivered, result.reordered, result.corrupted) == (10, 0, 3)


def test_a_message_of_anothers_channel_is_corrupted_and_not_delivered() -> None:
    ticks = ticks_of([(0, 1, 100), (1, 1, 100)])
    result = audit(deliveries_of([good(0, 1, 1), good(1, 1, 1)]), ticks, WINDOW, [0, 1])
    assert (result.expected, result.delivered, result.corrupted) == (2, 1, 1)


@pytest.mark.parametrize("channel_of", [[], [0], [-1, -1]])
def test_empty_tables(channel_of: list[int]) -> None:
    nothing = audit(deliveries_of([]), ticks_of([]), WINDOW, channel_of)
    assert set(nothing.counts().values()) == {0}
    one = audit(deliveries_of([good(0, 0, 1)]), ticks_of([]), WINDOW, channel_of)
    assert one.corrupted == 1


def test_a_tick_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        match(deliveries_of([]), ticks_of([(0, 1, 100), (0, 1, 110)]), [0])


@pytest.mark.slow
def test_two_million_rows_take_seconds() -> None:
    ticks = ticks_of([(0, seq, 100) for seq in range(1, 2001)])
    subscriber = np.tile(np.arange(1000, dtype=np.int32), 2000)
    seq = np.repeat(np.arange(1, 2001), 1000)
    table = {
        "subscriber": subscriber,
        "channel": np.zeros(seq.size, dtype=np.int32),
        "seq": seq,
        "payload_bytes": (10 + seq % 3).astype(np.int32),
        "digest": seq.astype(np.uint32),
    }
    result = audit(table, ticks, WINDOW, np.zeros(1000, dtype=np.int64))
    assert (result.expected, result.delivered, result.corrupted) == (2_000_000, 2_000_000, 0)
