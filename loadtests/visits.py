"""The visitors of [churn] in one load process: each connects when its visit begins and closes when it ends.

A visit is one connection: a visitor whose connection ends early does not return, and its row says how it ended. The
plan is `rtbench.scenario.visits`, of which this process plays its share. Invariant: every visit that began has a row,
and a visitor closes its socket without a farewell, as a program that ends does. What this process may have been too
late to read is never charged to the server. Made by the trial's control.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtbench.messages.load import ChurnSettings
from rtbench.scenario.visits import Visit, visits

if TYPE_CHECKING:
    from rtbench.loadtests.load import Load
    from rtbench.loadtests.reactor.links import Link
    from rtbench.loadtests.subscriber import Subscriber


class Visits:
    """The visits of one load process."""

    def __init__(self, load: Load, settings: ChurnSettings) -> None:
        self.first = settings.first
        """The number of the first visitor."""
        self._load = load
        self._settings = settings
        self._start_ns = 0
        self._links: list[tuple[Visit, Link]] = []
        self.probes: Sequence[tuple[int, int]] = ()
        """When each probe of this process's loop was due, in order, and how late it was, in nanoseconds."""

    def begin(self, start_ns: int) -> None:
        """Plan the visits of a window that starts at `start_ns`."""
        settings, self._start_ns = self._settings, start_ns
        whole = visits(settings.seed, settings.rate_hz, settings.stay_s, settings.window_s, settings.lead_s)
        for visit in whole:
            if visit.number % settings.workers == settings.worker:
                self._load.reactor.at(start_ns + visit.arrives_ns, self._arrive, visit)

    def _arrive(self, visit: Visit) -> None:
        load = self._load
        assert load.target is not None  # the ramp named it
        visitor = load.visitor(self.first + visit.number)
        self._links.append((visit, visitor.connect(load.target)))
        load.reactor.at(self._start_ns + visit.leaves_ns, self._leave, visitor)

    def _leave(self, visitor: Subscriber) -> None:
        if visitor.link is not None:
            visitor.link.over("closed by the subscriber")

    def table(self) -> dict[str, Any]:
        """The rows of `visits`. A visitor has patience, and beyond it the longest time that this process was late."""
        patience_ns = int(self._settings.patience_s * 1e9)
        due_ns, late_ns = np.array(self.probes, dtype=np.int64).reshape(-1, 2).T
        now_ns = time.monotonic_ns()
        ends_ns = [link.closed_ns if link.closed_ns >= 0 else now_ns for _, link in self._links]
        return {
            "subscriber": [link.subscriber.index for _, link in self._links],
            "planned_ns": [self._start_ns + visit.arrives_ns for visit, _ in self._links],
            "leaves_ns": [self._start_ns + visit.leaves_ns for visit, _ in self._links],
            "had_until_ns": [
                end_ns
                - patience_ns
                - int(late_ns[slice(*np.searchsorted(due_ns, (link.started_ns, end_ns)))].max(initial=0))
                for end_ns, (_, link) in zip(ends_ns, self._links, strict=True)
            ],
        }
