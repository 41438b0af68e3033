"""Two clocks of one moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rtbench.machine import clock


def test_the_tightest_of_five_tries_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the other tries' reads the process was preempted for up to 9 ms."""
    waits: Iterator[int] = iter([9_000_000, 6_000_000, 20, 7_000_000, 8_000_000])
    now = 1_000

    def monotonic() -> int:
        return now

    def real() -> int:
        nonlocal now
        wait = next(waits)
        now += wait
        return now - wait // 2 + 5_000_000_000

    monkeypatch.setattr(time, "monotonic_ns", monotonic)
    monkeypatch.setattr(time, "time_ns", real)
    assert clock.offset_ns() == 5_000_000_000


def test_a_pair_is_of_now() -> None:
    before = time.monotonic_ns(), time.time_ns()
    pair = clock.pair()
    after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= pair[0] <= after[0] and before[1] <= pair[1] <= after[1]
