"""The first arrivals of the messages due in the window: the input of drift tests, halves and limits.

Invariant: one entry per arrival; `kernel_ns` is -1 without its own stamp (R2). Made once by the trial's judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rtbench.records.audit import Match, in_window
from rtbench.records.fetches import asked_ns
from rtbench.records.tables import Columns

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """`late_ns`: the publisher's lag with the message that arrived. `asked_ns`: the start of the request that
    fetched it, -1 if none did; None of a push."""

    due_ns: Ints
    late_ns: Ints
    kernel_ns: Ints
    app_ns: Ints
    asked_ns: Ints | None = None

    @classmethod
    def of(
        cls,
        joined: Match,
        deliveries: Columns,
        ticks: Columns,
        window: tuple[int, int],
        requests: Columns | None = None,
    ) -> Arrivals:
        """The arrivals of a trial, from its deliveries joined with its ticks; of a polled subject with its requests."""
        if not len(ticks["due_ns"]):
            return cls(*[np.empty(0, dtype=np.int64)] * 4)
        kept = joined.first & in_window(ticks, window)[joined.tick]
        tick = joined.tick[kept]
        due_ns, app_ns = ticks["due_ns"][tick], deliveries["app_ns"][kept]
        asked = None if requests is None else asked_ns(requests, deliveries["subscriber"][kept], app_ns)
        return cls(due_ns, ticks["sent_ns"][tick] - due_ns, deliveries["kernel_ns"][kept], app_ns, asked)

    @cached_property
    def stamped(self) -> npt.NDArray[np.bool_]:
        """A mask of the arrivals with their own kernel stamp."""
        return self.kernel_ns >= 0

    @cached_property
    def headline(self) -> tuple[npt.NDArray[np.bool_], Ints]:
        """Which arrivals the headlined latency is of, and when these came: by the kernel's stamp where half of them
        have one, else by the application's."""
        if 2 * np.count_nonzero(self.stamped) >= self.stamped.size:
            return self.stamped, self.kernel_ns[self.stamped]
        return np.ones(self.stamped.size, dtype=np.bool_), self.app_ns

    def between(self, begin_ns: int, end_ns: int) -> Arrivals:
        """The arrivals of the messages due in that time."""
        here = (self.due_ns >= begin_ns) & (self.due_ns < end_ns)
        asked = None if self.asked_ns is None else self.asked_ns[here]
        return Arrivals(self.due_ns[here], self.late_ns[here], self.kernel_ns[here], self.app_ns[here], asked)

    @cached_property
    def asked_late_share(self) -> float:
        """Share of the headlined arrivals whose request did not wait at the server when the message was due. 1 where
        no requests are known."""
        of, _ = self.headline
        if self.asked_ns is None or not np.count_nonzero(of):
            return 1.0
        asked = self.asked_ns[of]
        return float(((asked < 0) | (asked >= self.due_ns[of])).mean())

    def kernel_p50_ns(self) -> int | None:
        """Median latency by the kernel's stamp, where it exists; None without any."""
        return median((self.kernel_ns - self.due_ns)[self.stamped])

    def app_p50_ns(self) -> int | None:
        """Median latency by the application's stamp; None if nothing arrived."""
        return median(self.app_ns - self.due_ns)


def quantile(values: Ints, q: float) -> int | None:
    """The lower quantile (nearest rank, as in the report), 0 ≤ q ≤ 1; None without values."""
    if not values.size:
        return None
    place = min(max(math.ceil(q * values.size) - 1, 0), values.size - 1)
    return int(np.partition(values, place)[place])


def median(values: Ints) -> int | None:
    """The lower median; None without values."""
    return quantile(values, 0.5)
