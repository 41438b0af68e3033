"""The first arrivals of what was due in the window: what drift, halves and limits look at.

Invariant: one entry an arrival; `kernel_ns` is -1 without a stamp of its own (R2). Made once by the trial's judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rtbench.records.audit import Match, in_window
from rtbench.records.tables import Columns

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """`late_ns`: how late the publisher was with the message that arrived."""

    due_ns: Ints
    late_ns: Ints
    kernel_ns: Ints
    app_ns: Ints

    @classmethod
    def of(cls, joined: Match, deliveries: Columns, ticks: Columns, window: tuple[int, int]) -> Arrivals:
        """Those of a trial whose deliveries are joined with its ticks."""
        if not len(ticks["due_ns"]):
            return cls(*[np.empty(0, dtype=np.int64)] * 4)
        kept = joined.first & in_window(ticks, window)[joined.tick]
        tick = joined.tick[kept]
        due_ns = ticks["due_ns"][tick]
        return cls(due_ns, ticks["sent_ns"][tick] - due_ns, deliveries["kernel_ns"][kept], deliveries["app_ns"][kept])

    @cached_property
    def stamped(self) -> npt.NDArray[np.bool_]:
        """Which have a kernel stamp of their own."""
        return self.kernel_ns >= 0

    @cached_property
    def headline(self) -> tuple[npt.NDArray[np.bool_], Ints]:
        """Which arrivals the headlined latency is of, and when these came: by the kernel's stamp where half of them
        have one, else by the application's."""
        if 2 * np.count_nonzero(self.stamped) >= self.stamped.size:
            return self.stamped, self.kernel_ns[self.stamped]
        return np.ones(self.stamped.size, dtype=np.bool_), self.app_ns

    def between(self, begin_ns: int, end_ns: int) -> Arrivals:
        """Those of what was due in that time."""
        here = (self.due_ns >= begin_ns) & (self.due_ns < end_ns)
        return Arrivals(self.due_ns[here], self.late_ns[here], self.kernel_ns[here], self.app_ns[here])

    def kernel_p50_ns(self) -> int | None:
        """Median latency at the kernel's stamp, of those that have one; None without any."""
        return median((self.kernel_ns - self.due_ns)[self.stamped])

    def app_p50_ns(self) -> int | None:
        """Median latency at the application's stamp; None where nothing arrived."""
        return median(self.app_ns - self.due_ns)


def median(values: Ints) -> int | None:
    """The lower median (nearest rank, as the report's); None of nothing."""
    if not values.size:
        return None
    place = (values.size - 1) // 2
    return int(np.partition(values, place)[place])
