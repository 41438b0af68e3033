"""The starver on a clock that is turned by hand: it burns in turns, within its time, and in no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rtbench.messages.lines import text
from rtbench.messages.starver import Burn
from rtbench.processes import _starve

STEP = 10


class FakeTime:
    """A clock that moves by a step whenever it is read; what is not slept is burnt."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.slept: list[tuple[int, int]] = []

    def monotonic_ns(self) -> int:
        self.now += STEP
        return self.now

    def sleep(self, seconds: float) -> None:
        begin = self.now
        self.now += round(seconds * 1e9)
        self.slept.append((begin, self.now))


Starve = Callable[..., FakeTime]


@pytest.fixture
def starve(monkeypatch: pytest.MonkeyPatch) -> Starve:
    """`starve(now, *lines)`: what was slept, when told these lines at this instant."""
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)

    def run(now: int, *lines: Burn) -> FakeTime:
        clock = FakeTime(now)
        monkeypatch.setattr(_starve, "time", clock)
        monkeypatch.setattr(sys, "stdin", [text(line) for line in lines])
        _starve.main()
        return clock

    return run


def told(start_ns: int, end_ns: int, burn_ns: int, every_ns: int) -> Burn:
    return Burn(start_ns, end_ns, burn_ns / 1e9, every_ns / 1e9)


def test_it_burns_in_turns_between_two_instants(starve: Starve) -> None:
    clock = starve(0, told(1000, 3000, 300, 1000))
    (before, begun), (burnt, again) = clock.slept
    assert (before, begun) == (STEP, 1000)
    assert 1300 <= burnt < 1300 + 3 * STEP
    assert again == 2000
    assert 2300 <= clock.now < 2300 + 3 * STEP  # the second turn was the last


def test_it_stops_where_its_time_ends_also_in_the_middle_of_a_turn(starve: Starve) -> None:
    clock = starve(0, told(1000, 2100, 300, 1000))
    assert 2100 <= clock.now < 2100 + 3 * STEP


def test_it_does_not_make_up_for_a_turn_that_has_passed(starve: Starve) -> None:
    clock = starve(5000, told(1000, 3000, 300, 1000))
    assert clock.now < 5000 + 20 * STEP
    assert all(begin == end for begin, end in clock.slept)


def test_it_can_be_restarted_by_message(starve: Starve) -> None:
    clock = starve(0, told(1000, 1500, 100, 1000), told(8000, 8500, 100, 1000))
    assert [end for _, end in clock.slept] == [1000, 8000]


def test_a_starver_without_priority_starves_as_well_as_it_can(starve: Starve, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert starve(0, told(1000, 1500, 100, 1000)).slept == [(STEP, 1000)]


def test_it_goes_before_ordinary_processes_and_after_the_publisher(
    starve: Starve, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda pid, kind, param: asked.append((pid, kind, param.sched_priority))
    )
    starve(0)
    assert asked == [(0, os.SCHED_FIFO, 1)]
