"""Aliasing of poll interval and message period: phases that do not mix.

Invariant: no number is changed here, only warned of. A short poll at the interval T on a stream with one message every
P meets the messages at phases m·P/T (mod 1). When P/T is close to a fraction a/b with a small b, each subscriber sees
the same b ages over and over for the whole window; the distribution over subscribers is then held up by the spread of
their starting phases alone (which the load generator spreads evenly), and a single subscriber's ages say little of the
next one's. Poisson arrivals mix by themselves. Called by the caveats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

SMALL = 10
"""A denominator up to this is small: so few ages are a comb, not a distribution."""

PERIODS_S = {"events": 0.1, "metrics": 1.0, "news": 5.0, "stocks": 1.0, "chat": 3.0, "general": 2.0, "dashboard": 2.0}
"""Streams with a fixed pace (streams.md); fanout has the scenario's, the others are irregular."""


@dataclass(frozen=True, slots=True)
class Aliasing:
    """`ages` different ages a subscriber sees; messages : polls stand as `messages` to `polls`."""

    interval_s: float
    period_s: float
    messages: int
    polls: int

    @property
    def ages(self) -> int:
        return self.messages

    def text(self) -> str:
        return (
            f"the poll interval of {self.interval_s:g} s and the message period of {self.period_s:g} s stand as "
            f"{self.messages} : {self.polls}: each poller sees the same {self.ages} "
            f"age{'s' * (self.ages != 1)} again and again, and only the spread of the pollers' starts mixes them"
        )


def aliasing(interval_s: float, period_s: float, window_s: float) -> Aliasing | None:
    """Whether the phases stay on a comb for the whole window; None when they mix.

    P/T = a/b up to an error: the comb has b teeth and creeps by b·|P/T − a/b| a round of b messages. It is filled, and
    the phases have mixed, once it has crept from one tooth to the next, 1/b.
    """
    ratio = period_s / interval_s
    found = Fraction(ratio).limit_denominator(SMALL)
    messages = window_s / period_s
    crept = abs(ratio - found.numerator / found.denominator) * messages
    if found == 0 or crept >= 1 / found.denominator or messages < 2 * found.denominator:
        return None
    return Aliasing(interval_s, period_s, found.denominator, found.numerator)


def aliasings(scenario: Mapping[str, Any], cells: list[dict[str, Any]], polled: bool) -> Iterator[Aliasing]:
    """The aliasings of a campaign, one for each cell that has one; nothing without short polling."""
    seen = set()
    for cell in cells if polled else ():

        def of(table: str, key: str, otherwise: Any, cell: Mapping[str, Any] = cell) -> Any:
            return cell.get(f"{table}.{key}", (scenario.get(table) or {}).get(key, otherwise))

        streams = cell.get("stream", scenario.get("stream", ""))
        interval_s, window_s = of("poll", "interval_s", 1.0), cell.get("window_s", scenario.get("window_s", 0.0))
        for stream in [streams] if isinstance(streams, str) else streams:
            period_s = PERIODS_S.get(stream)
            if stream == "fanout" and of("workload", "arrival", "constant") == "constant":
                period_s = 1 / of("workload", "rate_hz", 5.0)
            found = aliasing(interval_s, period_s, window_s) if period_s else None
            if found is not None and found not in seen:
                seen.add(found)
                yield found
