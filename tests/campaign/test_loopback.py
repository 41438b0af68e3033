"""The loopback bench of a calibration: what it is asked, what is kept of its answers, and what is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy

from rtbench.analysis import calibration as truths
from rtbench.analysis.calibration.loopback import interval
from rtbench.campaign import loopback
from rtbench.machine.placement import Place
from rtbench.messages.loopback import Burst, Measure, Measured, State
from rtbench.records.loopback import Loopback
from rtbench.records.record import plain, read

# Of each state: CPU of sender and receiver in ns, and interrupts, a message.
SUSTAINED: dict[State, tuple[float, float, float]] = {
    "off": (7900, 7200, 0), "on": (5100, 8500, 0.004), "interrupted": (6600, 11_700, 0.24),
    "late-off": (8300, 8200, 0), "late-on": (7900, 5100, 0.004),
}  # fmt: skip
SPARSE: dict[State, tuple[float, float, float]] = {
    "off": (11_500, 5400, 0), "on": (5200, 5800, 0.004), "dropped": (6800, 6000, 0)
}  # fmt: skip


def answer(states: dict[State, tuple[float, float, float]], why_not: str = "") -> Measured:
    """Three rounds, the second 100 ns dearer for both, the third 100 ns cheaper."""
    rounds = tuple(
        {state: Burst(a + more, b + more, i) for state, (a, b, i) in states.items()} for more in (0, 100, -100)
    )
    return Measured(170, rounds, why_not)


def asked(gap_s: float, *states: State) -> Measure:
    return Measure(1, 250, 3, gap_s, states)


@pytest.fixture
def found() -> Loopback:
    return truths.loopback((asked(0.05), answer(SUSTAINED)), (asked(0.25), answer(SPARSE)))


def test_shares_are_differences_within_rounds(found: Loopback) -> None:
    """What makes all states of a round dearer is not in a difference: these intervals are points."""
    share, sparse = found.sustained.share_ns, found.sparse.share_ns
    assert share is not None
    assert sparse is not None
    assert (share.value, share.low, share.high) == (2800, 2800, 2800)
    assert sparse.value == 6300
    assert found.acknowledged_ns is not None
    assert found.acknowledged_ns.value == 3100
    assert found.at_least_ns is not None
    assert found.at_least_ns.value == 4700
    assert (found.connections, found.message_bytes, found.sustained.rounds) == (250, 170, 3)
    assert (found.sustained.gap_s, found.sparse.gap_s) == (0.05, 0.25)
    assert set(found.sustained.states) == set(SUSTAINED)
    assert found.sustained.states["interrupted"].interrupts == pytest.approx(0.24)


def test_an_interval_is_students() -> None:
    values = [3.0, 5.0, 4.0, 9.0]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    got = interval(values)
    assert (got.value, got.low, got.high) == pytest.approx((5.25, expected.low, expected.high))


def test_it_is_stored_and_read_again(found: Loopback) -> None:
    assert read(Loopback, plain(found), "here") == found


def test_what_is_printed(found: Loopback) -> None:
    assert loopback.lines(found) == [
        "loopback, sustained (every 0.05 s): of 7.9 µs a send 2.8 µs [2.8, 2.8] are the receiver's",
        "loopback, sparse (every 0.25 s): of 11.5 µs a send 6.3 µs [6.3, 6.3] are the receiver's",
        "loopback, sustained: for each message the receiver pays 3.1 µs [3.1, 3.1] of the sender's",
        "loopback, sparse, without steering: at least 4.7 µs [4.7, 4.7] of a send are the receiver's",
    ]


def test_an_ordinary_user_gets_no_share_but_the_reason_the_remedy_and_a_bound() -> None:
    why = "receive packet steering needs root"
    without = truths.loopback(
        (asked(0.05), answer({"off": SUSTAINED["off"]}, why)),
        (asked(0.25), answer({state: SPARSE[state] for state in ("off", "dropped")}, why)),
    )
    assert (without.sustained.share_ns, without.sparse.share_ns, without.acknowledged_ns) == (None, None, None)
    assert loopback.lines(without) == [
        f"loopback, what a sender pays for its receiver was not measured: {why}; run `rtbench calibrate` as root, "
        "outside of a container, on two cores",
        "loopback, sparse, without steering: at least 4.7 µs [4.7, 4.7] of a send are the receiver's",
    ]


def test_both_paces_are_asked_for_on_the_cores_of_a_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []

    class Bench:
        def __init__(self, core: int, log: Path) -> None:
            told.append((core, log))

        def __enter__(self) -> Bench:
            return self

        def __exit__(self, *_: object) -> None:
            told.append("over")

        def measure(self, wanted: Measure) -> Measured:
            told.append(wanted)
            return answer(SUSTAINED)

    monkeypatch.setattr(loopback, "LoopbackBench", Bench)
    (sustained, _), (sparse, _) = loopback.measure(Place((2,), (3, 4), (4,)), tmp_path, rounds=7)
    here = (2, tmp_path / "loopback.log")
    assert told == [here, sustained, "over", here, sparse, "over"]
    assert sustained == Measure(3, 250, 7, 0.05, ("off", "on", "interrupted", "late-off", "late-on"))
    assert sparse == Measure(3, 250, 7, 0.25, ("off", "on", "dropped"))
