"""The audit of visits ([churn]): each visitor must have every message that was due between its joining and its leaving.

Which messages these are is decided from both ends. Due it are those that the publisher was ready to send after the
visitor had its first answer, and any after the first that it got; up to those whose time to arrive had passed when it
left (`had_until_ns`), and any before the last that it got. What was due before it left, and is not among these, is
undecided: it may have been on its way. Invariant: expected = delivered + lost, all integers exact, of ticks of the
window. Called by the trial's judge and by the analysis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.records.audit import EXAMPLES

Ints = npt.NDArray[np.int64]
Table = Mapping[str, npt.NDArray[Any]]

_SEQ_BITS = 40
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class VisitAudit:
    """What became of the window's messages at the visitors."""

    visits: int
    """Visits that were to begin in the window."""
    expected: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    corrupted: int
    undecided: int
    """Messages that were due before a visitor left and may have been on their way."""
    lost_of: Ints
    """Of each visit (a row of the table), how many it lost."""
    examples: tuple[tuple[int, int], ...]
    """The first (visitor, seq) that were lost."""

    def counts(self) -> dict[str, int]:
        """The integers under their names in the manifest."""
        names = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted", "undecided")
        return {"visits": self.visits} | {f"visits_{name}": getattr(self, name) for name in names}


def of_visit(visits: Table, connections: Table, column: str) -> npt.NDArray[Any]:
    """For each row of `visits` this column of its one connection. Raises ValueError where a visit has none."""
    order = np.argsort(connections["subscriber"], kind="stable")
    at = np.searchsorted(connections["subscriber"][order], visits["subscriber"])
    row = order[np.minimum(at, max(0, order.size - 1))] if order.size else np.zeros(at.size, dtype=np.int64)
    if at.size and (not order.size or (connections["subscriber"][row] != visits["subscriber"]).any()):
        raise ValueError("a visit has no connection")
    found: npt.NDArray[Any] = connections[column][row] if order.size else np.empty(0, dtype=np.int64)
    return found


def audit(
    visits: Table,
    connections: Table,
    deliveries: Table,
    ticks: Table,
    window: tuple[int, int],
    channel_of: npt.ArrayLike,
) -> VisitAudit:
    """Audit `visits` and `visit_deliveries`; `channel_of[i]` is the channel of the visitor in row i of `visits`.

    Raises ValueError where a visit has no connection.
    """
    channels = np.asarray(channel_of, dtype=np.int64)
    responses, ends = (of_visit(visits, connections, name) for name in ("response_ns", "closed_ns"))
    key, of_key = np.unique((ticks["channel"].astype(np.int64) << _SEQ_BITS) | ticks["seq"], return_index=True)
    due, sent = ticks["due_ns"][of_key], ticks["sent_ns"][of_key]
    row, place, known = _located(visits, deliveries, key, channels)
    span = max(1, key.size)
    cell = row * span + place
    _, first_rows = np.unique(cell[known], return_index=True)
    first = np.zeros(known.size, dtype=np.bool_)
    first[np.flatnonzero(known)[first_rows]] = True
    inside = np.zeros(known.size, dtype=np.bool_)
    inside[known] = (due[place[known]] >= window[0]) & (due[place[known]] < window[1])

    lost_of = np.zeros(channels.size, dtype=np.int64)
    expected = delivered = undecided = 0
    examples: list[tuple[int, int]] = []
    had = np.sort(cell[first])
    for number, channel in enumerate(channels.tolist()):
        begin, end = np.searchsorted(key, (channel << _SEQ_BITS, (channel + 1) << _SEQ_BITS))
        mine = had[np.searchsorted(had, number * span) : np.searchsorted(had, (number + 1) * span)] - number * span
        response_ns, closed_ns = int(responses[number]), int(ends[number])
        if response_ns < 0:
            continue
        within = slice(int(begin), int(end))
        low = int(begin) + int(np.searchsorted(sent[within], response_ns))
        high = int(begin) + int(np.searchsorted(due[within], int(visits["had_until_ns"][number])))
        if mine.size:
            low, high = min(low, int(mine[0])), max(high, int(mine[-1]) + 1)
        opened, closed = (int(begin) + int(np.searchsorted(due[within], edge)) for edge in window)
        left = int(begin) + int(np.searchsorted(due[within], closed_ns if closed_ns >= 0 else _NEVER))
        low, high = max(low, opened), min(high, closed)
        undecided += max(0, min(left, closed) - max(low, high))
        if high <= low:
            continue
        got = mine[(mine >= low) & (mine < high)]
        expected, delivered = expected + high - low, delivered + int(got.size)
        lost_of[number] = high - low - got.size
        if lost_of[number] and len(examples) < EXAMPLES:
            missing = np.setdiff1d(np.arange(low, high), got)[: EXAMPLES - len(examples)]
            who = int(visits["subscriber"][number])
            examples += [(who, int(seq)) for seq in key[missing] & ((1 << _SEQ_BITS) - 1)]
    differs = np.zeros(known.size, dtype=np.bool_)
    for name in ("digest", "payload_bytes"):
        differs[known] |= deliveries[name][known] != ticks[name][of_key][place[known]]
    planned = visits["planned_ns"]
    return VisitAudit(
        visits=int(np.count_nonzero((planned >= window[0]) & (planned < window[1]))),
        expected=expected,
        delivered=delivered,
        lost=expected - delivered,
        duplicated=int(np.count_nonzero(inside & ~first)),
        reordered=int(np.count_nonzero(inside & _late(row, cell, first))),
        corrupted=int(np.count_nonzero((inside & differs) | ~known)),
        undecided=undecided,
        lost_of=lost_of,
        examples=tuple(examples),
    )


def _located(visits: Table, deliveries: Table, key: Ints, channels: Ints) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """For each delivery the row of its visit, the place of its tick in `key`, and whether it has both."""
    order = np.argsort(visits["subscriber"], kind="stable")
    numbers = visits["subscriber"][order]
    at = np.searchsorted(numbers, deliveries["subscriber"])
    known = at < numbers.size
    at = np.where(known, at, 0)
    row = order[at].astype(np.int64) if numbers.size else np.zeros(at.size, dtype=np.int64)
    seq = deliveries["seq"].astype(np.int64)
    if not (key.size and numbers.size):
        return row, np.zeros(at.size, dtype=np.int64), np.zeros(at.size, dtype=np.bool_)
    known &= (numbers[at] == deliveries["subscriber"]) & (channels[row] == deliveries["channel"])
    known &= (seq >= 0) & (seq < 1 << _SEQ_BITS)
    wanted = (deliveries["channel"].astype(np.int64) << _SEQ_BITS) | np.where(known, seq, 0)
    place = np.minimum(np.searchsorted(key, wanted), key.size - 1).astype(np.int64)
    return row, place, known & (key[place] == wanted)


def _late(row: Ints, cell: Ints, first: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """First arrivals after a higher number of the same visit: cells rise by visit, then by tick."""
    rows = np.flatnonzero(first)
    rows = rows[np.argsort(row[rows], kind="stable")]
    found = np.zeros(cell.size, dtype=np.bool_)
    found[rows] = cell[rows] < np.maximum.accumulate(cell[rows])
    return found
