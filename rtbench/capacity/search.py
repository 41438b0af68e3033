"""The search for one subject's capacity: given the probes so far, the next value and window, or the end (R19).

Invariant: pure functions without clocks and processes; the same probes give the same next step, so that a resumed
search goes on as if it had not stopped. A value holds or fails by its probes' majority, a long window counts twice;
probes of one value that disagree are repeated until one side leads by two. `low` was confirmed over a long window,
`high` failed twice. A probe that the harness spoiled judges nothing; a value that it spoils three times is a bar,
never a capacity. Called by `rtbench.capacity.probing` and benchmarks/capacity_search.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["holds", "fails", "unclear"]
Standing = Literal["holds", "fails", "barred", "open"]

LEAD = 2
"""By how much one side has to lead where probes of a value disagree, and the weight that settles an end."""
MOST_REPEATS = 5
"""Conclusive probes of a value after which, still without a lead, it counts as failing: the careful side."""
MOST_UNCLEAR = 3
"""Probes spoiled by the harness that make a value a bar, where the others do not settle it."""
MOST_PROBES = 60
"""Probes of a subject after which the search ends, whatever is open."""
LONG_WEIGHT = 2

_UP = (2.0, 8.0)
"""The smallest and the largest step upwards."""
_DOWN = 3.0
_AIM = 0.7
"""The share of the busiest core that a step upwards aims at."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is searched: from `first`, within `least` and `most`, until (high - low) / high is at most `width`."""

    first: float
    least: float
    most: float
    width: float = 0.1
    whole: bool = True
    """Whether values are whole numbers."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe's result. `busy`: the share of its core that the busiest of server and load used; 0: not known."""

    value: float
    outcome: Outcome
    long: bool = False
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """The next probe."""

    value: float
    long: bool = False


@dataclass(frozen=True, slots=True)
class Bracket:
    """What the probes show. `low`: confirmed, `high`: refuted; None: not reached. `barred`: the lowest value that only
    the harness kept from being judged, where no refuted one is below it. `held`: the highest value that holds below
    these, confirmed or not."""

    low: float | None
    high: float | None
    held: float | None
    barred: float | None
    closed: bool


@dataclass(slots=True)
class _Tally:
    """The probes of one value."""

    holds: int = 0
    fails: int = 0
    unclear: int = 0
    conclusive: int = 0
    long: bool = False
    """Whether a long one was conclusive."""
    confirmed: bool = False
    """Whether it held over a long window."""

    @property
    def standing(self) -> Standing:
        if self.unclear >= MOST_UNCLEAR and abs(self.holds - self.fails) < LEAD:
            return "barred"
        if not self.conclusive:
            return "open"
        if not self.fails:
            return "holds"
        if not self.holds:
            return "fails"
        if abs(self.holds - self.fails) >= LEAD:
            return "holds" if self.holds > self.fails else "fails"
        return "fails" if self.conclusive >= MOST_REPEATS else "open"

    @property
    def refuted(self) -> bool:
        """Whether it failed often enough to be an end of the bracket."""
        return self.standing == "fails" and self.fails >= LEAD


def bracket(goal: Goal, probes: Iterable[Probe]) -> Bracket:
    """The bracket that these probes show."""
    found = _tallies(probes)
    low, top = _ends(found)
    confirmed = [v for v, one in found.items() if one.confirmed and one.standing == "holds" and (not top or v < top)]
    refuted = [v for v, one in found.items() if one.refuted]
    barred = top if top is not None and found[top].standing == "barred" else None
    sure, high = max(confirmed, default=None), min(refuted, default=None)
    closed = sure is not None and high is not None and barred is None and _narrow(goal, sure, high)
    return Bracket(sure, high if barred is None else None, low, barred, closed)


def step(goal: Goal, probes: Sequence[Probe], closing: bool = False) -> Step | None:
    """The next probe; None: nothing more to find out.

    `closing`: the time is nearly over: nothing new is explored, what is known gets confirmed.
    """
    found = _tallies(probes)
    if not probes:
        return None if closing else Step(_rounded(goal, goal.first))
    if len(probes) >= MOST_PROBES:
        return None
    low, top = _ends(found)
    if closing:
        return _confirming(found, low, top)
    open_ = [value for value, one in found.items() if one.standing == "open" and _matters(value, low, top)]
    if open_:
        return Step(min(open_), found[min(open_)].long)
    above = [value for value, one in found.items() if one.standing == "holds" and top is not None and value > top]
    if above and top is not None and not _settled(found[top]):
        return Step(top)  # a higher value held: a second opinion
    explored = _explored(goal, low, top, probes)
    return Step(explored) if explored is not None else _confirming(found, low, top)


def _confirming(found: Mapping[float, _Tally], low: float | None, top: float | None) -> Step | None:
    """What settles the ends: a long window at the lower one, a second opinion of the upper one."""
    if low is not None and not found[low].confirmed:
        return Step(low, long=True)
    return Step(top) if top is not None and not _settled(found[top]) else None


def _explored(goal: Goal, low: float | None, top: float | None, probes: Sequence[Probe]) -> float | None:
    """A value that was not tried yet; None where the ends are close enough, or as far out as they may be."""
    if top is None:
        if low is None or low >= goal.most:
            return None
        busy = max(one.busy for one in probes if one.value == low)
        by = min(max(_AIM / busy, _UP[0]), _UP[1]) if busy > 0 else _UP[0]
        return _rounded(goal, min(low * by, goal.most))
    if low is None:
        return None if top <= goal.least else _rounded(goal, max(top / _DOWN, goal.least))
    if _narrow(goal, low, top):
        return None
    return _between(goal, low, top)


def _between(goal: Goal, low: float, high: float) -> float | None:
    """Half way, by ratio: a value between two others; None where there is none."""
    value = _rounded(goal, math.sqrt(low * high))
    if goal.whole:
        value = min(max(value, low + 1), high - 1)
    return value if low < value < high else None


def _rounded(goal: Goal, value: float) -> float:
    """A whole number, or four significant digits."""
    return float(round(value)) if goal.whole else float(f"{value:.4g}")


def _narrow(goal: Goal, low: float, high: float) -> bool:
    return (high - low) / high <= goal.width or (goal.whole and high - low <= 1)


def _settled(one: _Tally) -> bool:
    return one.refuted or one.standing == "barred"


def _matters(value: float, low: float | None, top: float | None) -> bool:
    """Whether an open value is above what holds and below what fails: elsewhere it decides nothing."""
    return (low is None or value > low) and (top is None or value < top)


def _ends(found: Mapping[float, _Tally]) -> tuple[float | None, float | None]:
    """The highest value that holds below the lowest that fails or is barred, and that one. A bar below a value that
    holds was a disturbance."""
    best = max((v for v, one in found.items() if one.standing == "holds"), default=-math.inf)
    ends = [v for v, one in found.items() if one.standing == "fails" or (one.standing == "barred" and v > best)]
    top = min(ends, default=None)
    low = max((v for v, one in found.items() if one.standing == "holds" and (top is None or v < top)), default=None)
    return low, top


def _tallies(probes: Iterable[Probe]) -> dict[float, _Tally]:
    found: dict[float, _Tally] = {}
    for probe in probes:
        one = found.setdefault(probe.value, _Tally())
        weight = LONG_WEIGHT if probe.long else 1
        if probe.outcome == "unclear":
            one.unclear += 1
            continue
        one.conclusive += 1
        one.long |= probe.long
        if probe.outcome == "holds":
            one.holds += weight
            one.confirmed |= probe.long
        else:
            one.fails += weight
    return found
