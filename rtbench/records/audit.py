"""The audit of deliveries: every tick that was due in the window, at every subscriber of its channel (R3).

Invariant: expected = delivered + lost, all integers exact; nothing is inferred from "between the first and the last",
which would hide a lost tail. Rows of one subscriber stand in order of arrival; rows of different subscribers may be
mixed in any way. Memory and time are linear in the rows (10 M rows: a few seconds). Called by the campaign at a
trial's end and by the analysis, which also uses `match` to join deliveries with their ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Table = Mapping[str, npt.NDArray[Any]]

EXAMPLES = 100
"""How many (subscriber, seq) pairs of each kind an audit keeps for the manifest."""

_SEQ_BITS = 40  # a channel and a seq packed into one int64: 2^23 channels of 2^40 messages


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of the ticks of the window. A corrupted message counts as delivered too: it did arrive."""

    expected: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    corrupted: int
    examples: Mapping[str, tuple[tuple[int, int], ...]]
    """Kind ("lost", "duplicated", …) to the first few (subscriber, seq) of it."""

    def counts(self) -> dict[str, int]:
        """The six integers under the names that manifest and report use."""
        return {
            "expected": self.expected,
            "delivered": self.delivered,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "corrupted": self.corrupted,
        }

    def details(self) -> dict[str, list[list[int]]]:
        """The examples as JSON takes them."""
        return {kind: [list(pair) for pair in pairs] for kind, pairs in self.examples.items()}


@dataclass(frozen=True, slots=True)
class Match:
    """Deliveries joined with ticks. Arrays with one entry a delivery are in the order of the deliveries' rows."""

    tick: Ints
    """The row in the ticks table that this delivery is of; -1: no tick of that subscriber's channel has this number."""
    first: Bools
    """True for the first arrival of its tick at its subscriber; False for duplicates and for unknown numbers."""
    reordered: Bools
    """True for a first arrival that came after a higher number of its channel at its subscriber."""
    audience: Ints
    """One entry a tick: how many subscribers should see it."""
    order: Ints
    """The ticks' rows by channel and seq."""
    channel_start: Ints
    """Where channel c begins in `order`; one entry more than there are channels."""
    cell_start: Ints
    """Where subscriber s begins in the dense numbering of (subscriber, tick of its channel); one entry more."""


def match(deliveries: Table, ticks: Table, channel_of: npt.ArrayLike) -> Match:
    """Join deliveries (subscriber, channel, seq) with ticks (channel, seq).

    `channel_of[s]` is the channel of subscriber s, -1 when s expects nothing. Raises ValueError when a tick is listed
    twice, or is none that can be (a damaged table).
    """
    channels = np.asarray(channel_of, dtype=np.int64)
    tick_channel = np.asarray(ticks["channel"], dtype=np.int64)
    tick_seq = np.asarray(ticks["seq"], dtype=np.int64)
    for values, bits in ((tick_channel, 63 - _SEQ_BITS), (tick_seq, _SEQ_BITS)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < 1 << bits:
            raise ValueError("a tick's channel or number is out of range")
    key = (tick_channel << _SEQ_BITS) | tick_seq
    order = np.argsort(key, kind="stable").astype(np.int64)
    key = key[order]
    if key.size > 1 and bool((key[1:] == key[:-1]).any()):
        raise ValueError("a tick is listed twice")

    top = 1 + max(int(tick_channel.max(initial=-1)), int(channels.max(initial=-1)))
    channel_start = np.searchsorted(key, np.arange(top + 1, dtype=np.int64) << _SEQ_BITS).astype(np.int64)
    size = np.diff(channel_start)
    per_subscriber = np.where(channels >= 0, size[channels], 0) if top else np.zeros(channels.size, dtype=np.int64)
    cell_start = np.concatenate(([0], np.cumsum(per_subscriber))).astype(np.int64)
    listeners = np.bincount(channels[channels >= 0], minlength=top)
    audience = listeners[tick_channel].astype(np.int64) if tick_channel.size else np.empty(0, dtype=np.int64)

    tick, cell = _locate(deliveries, key, channels, channel_start, cell_start)
    first, reordered = _arrivals(np.asarray(deliveries["subscriber"]), cell, int(cell_start[-1]))
    if order.size:
        tick = np.where(tick >= 0, order[tick], -1)
    return Match(tick, first, reordered, audience, order, channel_start, cell_start)


def audit(
    deliveries: Table, ticks: Table, window: tuple[int, int], channel_of: npt.ArrayLike, examples: int = EXAMPLES
) -> Audit:
    """Audit one trial.

    `deliveries`: subscriber, channel, seq, payload_bytes, digest; `ticks`: channel, seq, due_ns, payload_bytes,
    digest; `window` = (start_ns, end_ns), a tick belongs to it when start ≤ due < end; `channel_of[s]` = channel of
    subscriber s.

    lost: expected and never arrived. duplicated: arrivals of a window tick beyond the first. reordered: a window
    tick's first arrival after a higher number of its channel at that subscriber. corrupted: arrivals of window ticks
    whose digest or length differ from the tick's, and every arrival of a number that no tick of the subscriber's
    channel has.
    """
    return judge(match(deliveries, ticks, channel_of), deliveries, ticks, window, channel_of, examples=examples)


def judge(
    joined: Match,
    deliveries: Table,
    ticks: Table,
    window: tuple[int, int],
    channel_of: npt.ArrayLike,
    *,
    examples: int = EXAMPLES,
) -> Audit:
    """As `audit`, from a join that is already there."""
    subscriber = np.asarray(deliveries["subscriber"])
    seq = np.asarray(deliveries["seq"])
    inside = in_window(ticks, window)
    known = joined.tick >= 0
    if inside.size:
        of_window = known & inside[joined.tick]
        differs = np.asarray(deliveries["digest"]) != np.asarray(ticks["digest"])[joined.tick]
        differs |= np.asarray(deliveries["payload_bytes"]) != np.asarray(ticks["payload_bytes"])[joined.tick]
        corrupted = (of_window & differs) | ~known
    else:
        of_window, corrupted = np.zeros(known.size, dtype=np.bool_), ~known
    duplicated = of_window & ~joined.first
    reordered = of_window & joined.reordered
    expected = int(joined.audience[inside].sum())
    delivered = int(np.count_nonzero(of_window & joined.first))

    def pairs(mask: Bools) -> tuple[tuple[int, int], ...]:
        rows = np.flatnonzero(mask)[:examples]
        return tuple((int(subscriber[row]), int(seq[row])) for row in rows)

    lost = (
        _lost(joined, deliveries, ticks, inside, np.asarray(channel_of), examples=examples)
        if expected > delivered
        else ()
    )
    return Audit(
        expected=expected,
        delivered=delivered,
        lost=expected - delivered,
        duplicated=int(np.count_nonzero(duplicated)),
        reordered=int(np.count_nonzero(reordered)),
        corrupted=int(np.count_nonzero(corrupted)),
        examples={
            "lost": lost,
            "duplicated": pairs(duplicated),
            "reordered": pairs(reordered),
            "corrupted": pairs(corrupted),
        },
    )


def in_window(ticks: Table, window: tuple[int, int]) -> Bools:
    """Which ticks belong to the window: by their due time, start included, end not."""
    due = np.asarray(ticks["due_ns"])
    return (due >= window[0]) & (due < window[1])


def _locate(deliveries: Table, key: Ints, channels: Ints, channel_start: Ints, cell_start: Ints) -> tuple[Ints, Ints]:
    """For every delivery its place among the sorted ticks and its cell (subscriber, rank in channel); -1: none."""
    subscriber = np.asarray(deliveries["subscriber"])
    channel = np.asarray(deliveries["channel"])
    seq = np.asarray(deliveries["seq"])
    if not key.size or not channels.size:
        nowhere = np.full(subscriber.size, -1, dtype=np.int64)
        return nowhere, nowhere.copy()
    ours = (subscriber >= 0) & (subscriber < channels.size) & (seq >= 0) & (seq < 1 << _SEQ_BITS)
    safe = np.where(ours, subscriber, 0)
    ours &= (channels[safe] == channel) & (channel >= 0)  # a message of another's channel is none that was expected
    wanted = (channel.astype(np.int64) << _SEQ_BITS) | seq
    place = np.searchsorted(key, wanted)
    np.minimum(place, key.size - 1, out=place)
    ours &= key[place] == wanted
    base = np.where(ours, channel, 0)
    cell = cell_start[safe] + place - channel_start[base]
    cell[~ours] = -1
    place[~ours] = -1
    return place.astype(np.int64, copy=False), cell


def _arrivals(subscriber: npt.NDArray[Any], cell: Ints, cells: int) -> tuple[Bools, Bools]:
    """First arrivals, and those that came after a higher number.

    Cells are numbered by subscriber, then by seq, so one running maximum over the rows sorted by subscriber is the
    running maximum of every subscriber at once.
    """
    rows = np.arange(cell.size, dtype=np.int64)
    sorted_already = cell.size < 2 or bool((subscriber[1:] >= subscriber[:-1]).all())
    by_subscriber = rows if sorted_already else np.argsort(subscriber, kind="stable")
    by_subscriber = by_subscriber[cell[by_subscriber] >= 0]
    ordered = cell[by_subscriber]
    # numpy keeps the last of repeated assignments: written backwards, the earliest arrival stays
    earliest = np.empty(cells, dtype=np.int64)
    earliest[ordered[::-1]] = by_subscriber[::-1]
    is_first = earliest[ordered] == by_subscriber
    first = np.zeros(cell.size, dtype=np.bool_)
    first[by_subscriber] = is_first
    late = np.zeros(cell.size, dtype=np.bool_)
    late[by_subscriber] = is_first & (ordered < np.maximum.accumulate(ordered))
    return first, late


def _lost(
    joined: Match, deliveries: Table, ticks: Table, inside: Bools, channels: npt.NDArray[Any], *, examples: int
) -> tuple[tuple[int, int], ...]:
    """The first (subscriber, seq) that never arrived, by subscriber and seq."""
    place_of_tick = np.empty(joined.order.size, dtype=np.int64)
    place_of_tick[joined.order] = np.arange(joined.order.size)
    rows = np.flatnonzero(joined.first)
    subscriber = np.asarray(deliveries["subscriber"])[rows]
    seen = np.zeros(int(joined.cell_start[-1]), dtype=np.bool_)
    seen[
        joined.cell_start[subscriber] + place_of_tick[joined.tick[rows]] - joined.channel_start[channels[subscriber]]
    ] = True
    found: list[tuple[int, int]] = []
    for number, channel in enumerate(channels.tolist()):
        if channel < 0 or len(found) >= examples:
            continue
        mine = joined.order[joined.channel_start[channel] : joined.channel_start[channel + 1]]
        missing = inside[mine] & ~seen[joined.cell_start[number] : joined.cell_start[number + 1]]
        found += [(number, int(seq)) for seq in np.asarray(ticks["seq"])[mine[missing]][: examples - len(found)]]
    return tuple(found)
