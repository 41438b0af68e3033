"""The visits of [churn]: when each visitor arrives and leaves, as a pure function of the seed.

Arrivals are a Poisson process, stays are exponential, and the visitors that are there at the window's start are drawn
from what such a process settles at (a Poisson number with the mean rate × stay, whose remaining stays are exponential
again). So the number of visitors has no trend over the window. Invariant: the same arguments give the same visits, in
the order of their arrival. Called by the load processes, each for its own share, by loadtests/churn.py, and by the
checks of a scenario.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Visit:
    """One visitor: its number, from 0, and its times in ns from the window's start."""

    number: int
    arrives_ns: int
    leaves_ns: int


def visits(seed: int, rate_hz: float, stay_s: float, window_s: float, lead_s: float) -> tuple[Visit, ...]:
    """All visits. The visitors of the window's start arrive within `lead_s` before it, the others in the window."""
    if not rate_hz:
        return ()
    random = Random(f"rtbench/{seed}/visits")
    times: list[tuple[float, float]] = []
    for _ in range(_poisson(random, rate_hz * stay_s)):
        times.append((-random.random() * lead_s, random.expovariate(1 / stay_s)))
    at_s = random.expovariate(rate_hz)
    while at_s < window_s:
        times.append((at_s, at_s + random.expovariate(1 / stay_s)))
        at_s += random.expovariate(rate_hz)
    return tuple(Visit(number, _ns(begin), _ns(end)) for number, (begin, end) in enumerate(sorted(times)))


def there(whole: Sequence[Visit], at_ns: int) -> int:
    """How many visitors are there at an instant of the window."""
    return sum(visit.arrives_ns <= at_ns < visit.leaves_ns for visit in whole)


def most_at_once(rate_hz: float, stay_s: float) -> int:
    """A number of visitors that is not reached: the mean and six standard deviations."""
    mean = rate_hz * stay_s
    return math.ceil(mean + 6 * math.sqrt(mean))


def _poisson(random: Random, mean: float) -> int:
    """How many arrivals of a process of rate 1 fall into a time of `mean`."""
    count, at = 0, random.expovariate(1)
    while at < mean:
        count, at = count + 1, at + random.expovariate(1)
    return count


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
