"""One seed, one workload: the same bytes on the same timetable in every trial, whatever the subject (R1, R7)."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import Any

import pytest

from rtbench.records import tables

pytestmark = pytest.mark.slow

COLUMNS = ("channel", "seq", "due_ns", "payload_bytes", "digest")


def played(whole: Any) -> list[tuple[int, ...]]:
    """The ticks, due times counted from the timetable's start: of a constant broadcast, the first tick's."""
    ticks: tables.Columns = whole.table("ticks")
    columns = {name: ticks[name].tolist() for name in COLUMNS}
    assert columns["seq"][0] == 1
    columns["due_ns"] = [due - columns["due_ns"][0] for due in columns["due_ns"]]
    return list(zip(*columns.values(), strict=True))


def test_two_trials_of_one_seed_play_the_same(pushed: Any, polled: Any) -> None:
    assert pushed.manifest["seed"] == polled.manifest["seed"] == 1
    one, other = played(pushed), played(polled)
    common = min(len(one), len(other))
    assert common >= 25  # the window, at least
    assert one[:common] == other[:common]


def test_what_is_played_is_the_workloads(pushed: Any) -> None:
    workload = pushed.spec.scenario.make_workload()
    wanted = [
        (tick.channel, tick.seq, tick.due_ns, len(tick.payload), zlib.crc32(tick.payload))
        for tick in islice(workload.ticks_of(workload.channel(0)), len(played(pushed)))
    ]
    assert played(pushed) == wanted


def test_another_seed_has_the_same_timetable_and_other_bytes(pushed: Any, over_ipv6: Any) -> None:
    assert over_ipv6.manifest["seed"] == 2
    pairs = list(zip(played(pushed), played(over_ipv6), strict=False))
    assert all(one[:4] == other[:4] for one, other in pairs)
    assert all(one[4] != other[4] for one, other in pairs)
