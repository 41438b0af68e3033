"""A sender's CPU for its receiver, from the bursts of the loopback bench, with intervals (R23).

Invariant: a share is a mean of differences within rounds, its interval Student's t over rounds. It has no expected
value, so it cannot fail. Called by `rtbench calibrate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE
from rtbench.messages.loopback import Measure, Measured, State
from rtbench.records.loopback import Interval, Loopback, LoopbackPace, LoopbackState


def record(sustained: tuple[Measure, Measured], sparse: tuple[Measure, Measured]) -> Loopback:
    """The stored part of the bench's results at both paces."""
    asked, answer = sustained
    return Loopback(
        message_bytes=answer.message_bytes,
        connections=asked.connections,
        sustained=_pace(*sustained),
        sparse=_pace(*sparse),
        acknowledged_ns=_less(answer, "receiver_ns", "late-off", "late-on"),
        at_least_ns=_less(sparse[1], "sender_ns", "off", "dropped"),
        why_not=answer.why_not,
    )


def interval(values: Sequence[float] | npt.NDArray[np.float64]) -> Interval:
    """Mean and t-interval of two values or more."""
    row = np.asarray(values, dtype=np.float64)
    mean, error = float(row.mean()), float(row.std(ddof=1)) / row.size**0.5
    half = student.critical(row.size - 1, CONFIDENCE) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


def _pace(asked: Measure, measured: Measured) -> LoopbackPace:
    states: dict[str, LoopbackState] = {
        state: LoopbackState(
            sender_ns=interval(_column(measured, "sender_ns", state)),
            receiver_ns=interval(_column(measured, "receiver_ns", state)),
            interrupts=float(_column(measured, "interrupts", state).mean()),
        )
        for state in sorted(measured.rounds[0])
    }
    share = _less(measured, "sender_ns", "off", "on")
    return LoopbackPace(gap_s=asked.gap_s, rounds=len(measured.rounds), share_ns=share, states=states)


def _less(measured: Measured, side: str, before: State, after: State) -> Interval | None:
    """How much less `side` pays in the state `after`; None where that was not measured."""
    if after not in measured.rounds[0]:
        return None
    return interval(_column(measured, side, before) - _column(measured, side, after))


def _column(measured: Measured, side: str, state: State) -> npt.NDArray[np.float64]:
    return np.array([getattr(row[state], side) for row in measured.rounds], dtype=np.float64)
