"""What became of the connections of a scenario with [idle]: which were cut, when, and which side noticed.

The subscribers' side is in connections.parquet. The server's side is read from the kernel once a second: a connection
that the server still holds while its subscriber's is gone was cut by something between them, or the server sleeps.
Invariant: a look takes no longer than reading /proc/net/tcp. Filled by `rtbench.trial._counters`, recorded by the
judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from rtbench.machine.probes import CLOSE_WAIT, ESTABLISHED
from rtbench.records import tables
from rtbench.records.manifest import Silence as SilenceRecord
from rtbench.scenario.model import Scenario


class Silence:
    """The server's connections by their peers, from the beginning of the silence on."""

    def __init__(self) -> None:
        self._began = False
        self._first: dict[str, int] | None = None
        self._left: dict[str, int] = {}
        self._last: Mapping[str, int] = {}

    def begin(self) -> None:
        """The next look finds the connections that are watched."""
        self._began = True

    def look(self, now_ns: int, peers: Mapping[str, int]) -> None:
        """Note which of them the server has closed."""
        if not self._began:
            return
        if self._first is None:
            self._first = {peer: now_ns for peer, state in peers.items() if state == ESTABLISHED}
        for peer in self._first:
            if peers.get(peer) not in (ESTABLISHED, CLOSE_WAIT):
                self._left.setdefault(peer, now_ns)
        self._last = peers

    def record(
        self, scenario: Scenario, connections: tables.Columns, window: tuple[int, int], heartbeats: int
    ) -> SilenceRecord:
        """Both sides, for the manifest."""
        start_ns, end_ns = window
        closed_ns, asked_ns = connections["closed_ns"], connections["response_ns"]
        there = (asked_ns >= 0) & (asked_ns < start_ns) & ((closed_ns < 0) | (closed_ns >= start_ns))
        cut = there & (closed_ns >= 0) & (closed_ns < end_ns)
        subscribed_ns = float(np.median(asked_ns[there])) if there.any() else float(start_ns)
        first = self._first or {}
        left = [at_ns - subscribed_ns for peer, at_ns in self._left.items() if at_ns <= end_ns]
        return SilenceRecord(
            minutes=scenario.idle.minutes,
            heartbeat_s=scenario.server.heartbeat_s,
            heartbeats=heartbeats,
            connections=int(there.sum()),
            cut=int(cut.sum()),
            cut_after_s=_spread((closed_ns[cut] - asked_ns[cut]).tolist()),
            outcomes=dict(Counter(connections["outcome"][cut].tolist())),
            server_connections=len(first),
            server_left=len(left),
            server_left_after_s=_spread(left),
            server_half_closed=sum(self._last.get(peer) == CLOSE_WAIT for peer in first),
        )


def _spread(times_ns: Sequence[float]) -> list[float]:
    """Shortest, median and longest, seconds; empty without any."""
    return [round(float(value) / 1e9, 3) for value in np.percentile(times_ns, (0, 50, 100))] if times_ns else []
