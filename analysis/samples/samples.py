"""One trial's samples, joined with their ticks and ready to be reduced to metrics.

Invariant: everything here is about the window. Latency and its parts are of the ticks *due* in the window, first
arrivals only (R1, R3); costs are divided by the messages that *arrived* between its edges, because processor time and
TCP bytes are read at the edges and were spent on those (R4, R5). Lives while one trial is measured: 10 M deliveries
fit in 2 GB only one at a time. Called by the metrics (one attribute each) and by the series of the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.statistics.quantiles import LEVELS, eligible, quantiles, sorted_by_group, within_groups
from rtbench.errors import ResultsError
from rtbench.records.audit import Audit, Ints, in_window, judge, match
from rtbench.records.fetches import asked_ns
from rtbench.records.tables import Columns
from rtbench.records.visiting import VisitAudit
from rtbench.records.visiting import audit as audit_visits

SPANS = (
    "latency_kernel", "latency_app", "due_to_sent", "sent_to_kernel", "kernel_to_app",
    "sent_to_request", "request_to_kernel",
)  # fmt: skip
"""The distributions over the messages of a trial. The last two are the polling split of `sent_to_kernel` (R2)."""

GRID = np.unique(np.concatenate([np.linspace(0.0, 0.9, 91), 1 - np.logspace(-1, -5, 81), list(LEVELS.values())]))
"""Levels at which a distribution is kept for the figures: even up to p90, then even on a log scale of what remains."""


SLOT_NS = 100_000_000
"""What is looked at over time is looked at by slots of 100 ms."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution reduced to its quantiles; `at` are the named ones, `curve` those at GRID (inf: later than we
    waited)."""

    count: int
    lost: int
    at: Mapping[str, float | None]
    curve: npt.NDArray[np.float64]


class Samples:
    """The samples of `trial`. Raises ResultsError when a table is missing or damaged."""

    def __init__(self, trial: Trial) -> None:
        assert trial.window is not None, "a trial without a window has no samples"
        self.trial = trial
        self.window = trial.window
        self.seconds = (trial.window[1] - trial.window[0]) / 1e9
        self.ticks = trial.read("ticks")
        # column by column: 10 M rows of all of them at once, with what the join needs besides, would not fit in 2 GB
        table = trial.read("deliveries", ["subscriber", "channel", "seq"])
        channel_of = trial.channel_of()
        try:
            joined = match(table, self.ticks, channel_of)
        except ValueError as error:
            raise ResultsError(f"{trial.directory / 'ticks.parquet'}: {error}", "measure again") from error
        del table["channel"]
        table |= trial.read("deliveries", ["payload_bytes", "digest"])
        self.audit: Audit = judge(joined, table, self.ticks, self.window, channel_of)
        del table["seq"], table["digest"]
        table |= trial.read("deliveries", ["kernel_ns", "app_ns"])
        self.audience: Ints = joined.audience
        inside = in_window(self.ticks, self.window)
        self.inside = inside

        arrived = joined.first & (table["app_ns"] >= self.window[0]) & (table["app_ns"] < self.window[1])
        visited, visited_bytes = self._arrived_at_visitors()
        self.arrived = int(np.count_nonzero(arrived)) + visited
        """Messages that arrived between the edges of the window, whenever they were due, at visitors, too: what the
        costs are divided by."""
        self.arrived_payload_bytes = int(table["payload_bytes"][arrived].sum(dtype=np.int64)) + visited_bytes

        kept = self._kept = joined.first & (inside[joined.tick] if inside.size else False)
        self.tick: Ints = joined.tick[kept]
        self.subscriber = table["subscriber"][kept]
        self.kernel_ns: Ints = table["kernel_ns"][kept]
        self.app_ns: Ints = table["app_ns"][kept]
        self.stamped = self.kernel_ns >= 0
        self._distributions: dict[str, Distribution] = {}

    def _arrived_at_visitors(self) -> tuple[int, int]:
        """Messages that visitors ([churn]) got between the edges of the window, each once; and their bytes."""
        if not self.trial.has("visit_deliveries"):
            return 0, 0
        table = self.visit_deliveries
        _, first = np.unique(table["subscriber"].astype(np.int64) << 40 | table["seq"], return_index=True)
        app_ns = table["app_ns"][first]
        inside = (app_ns >= self.window[0]) & (app_ns < self.window[1])
        return int(np.count_nonzero(inside)), int(table["payload_bytes"][first][inside].sum(dtype=np.int64))

    @cached_property
    def instants(self) -> int:
        """Distinct due instants of the window that some subscriber waits for: what a tail in time is sampled from
        (R8)."""
        return int(np.unique(self.ticks["due_ns"][self.inside & (self.audience > 0)]).size)

    @property
    def slots(self) -> int:
        """How many slots of SLOT_NS the window has; the last may be shorter."""
        start, end = self.window
        return max(1, -(-(end - start) // SLOT_NS))

    @cached_property
    def slot(self) -> Ints:
        """The slot of the window in which each tick was due; outside of the window the nearest."""
        of_tick: Ints = np.clip((self.ticks["due_ns"] - self.window[0]) // SLOT_NS, 0, self.slots - 1)
        return of_tick

    @property
    def stamped_share(self) -> float | None:
        """Share of the delivered messages with a kernel stamp of their own (R2)."""
        return float(self.stamped.mean()) if self.stamped.size else None

    def span(self, name: str) -> Ints:
        """One value per message of the window, ns (a name of SPANS). Those that involve the kernel: stamped ones
        only."""
        due, sent = self.ticks["due_ns"], self.ticks["sent_ns"]
        if name == "latency_app":
            return self.app_ns - due[self.tick]
        if name == "due_to_sent":
            return (sent - due)[self.tick]
        tick, kernel = self.tick[self.stamped], self.kernel_ns[self.stamped]
        if name == "latency_kernel":
            return kernel - due[tick]
        if name == "sent_to_kernel":
            return kernel - sent[tick]
        if name == "kernel_to_app":
            return self.app_ns[self.stamped] - kernel
        asked, answered = self._asked
        # a long poll that hung before the message existed did not make it wait: the wait begins with the message
        begin = np.maximum(asked, sent[tick][answered])
        return begin - sent[tick][answered] if name == "sent_to_request" else kernel[answered] - begin

    def distribution(self, name: str) -> Distribution:
        """A span reduced to quantiles. The latencies carry the lost messages at infinity (R1); the parts are of those
        that arrived."""
        if name not in self._distributions:
            values = self.span(name)
            values.sort()
            lost = self.audit.lost if name.startswith("latency_") else 0
            named = dict(zip(LEVELS, quantiles(values, list(LEVELS.values()), lost), strict=True))
            curve = [np.inf if v is None else v for v in quantiles(values, GRID.tolist(), lost)]
            self._distributions[name] = Distribution(values.size, lost, named, np.array(curve, dtype=np.float64))
        return self._distributions[name]

    def percentile(self, name: str, level: str) -> float | None:
        """The percentile `level` of a span; None when it is censored by losses or may not be claimed (R8)."""
        return self.distribution(name).at[level] if eligible(level, self.instants) else None

    @cached_property
    def within_tick(self) -> Mapping[str, Mapping[str, float | None]]:
        """For latency_kernel and latency_app: the percentile within each tick, then its median over the ticks (R8).

        Empty unless a tick has two subscribers or more. With fewer than 100 of them the p99 is the last one's.
        """
        rows = np.flatnonzero(self.inside & (self.audience > 1))
        if not rows.size:
            return {}
        number = np.full(self.audience.size, -1, dtype=np.int64)
        number[rows] = np.arange(rows.size)
        result: dict[str, dict[str, float | None]] = {}
        for name in ("latency_kernel", "latency_app"):
            group = number[self.tick if name == "latency_app" else self.tick[self.stamped]]
            values = self.span(name)[group >= 0]
            expected = self.audience[rows]
            if name == "latency_kernel":  # an unstamped message arrived: it is neither lost nor known
                unknown = np.bincount(number[self.tick[~self.stamped]], minlength=rows.size)
                expected = expected - unknown[: rows.size]
            values, group = sorted_by_group(values, group[group >= 0])
            result[name] = {}
            for level in ("p50", "p99", "max"):
                each = np.sort(within_groups(values, group, expected, LEVELS[level]))
                (middle,) = quantiles(each, [0.5])
                result[name][level] = middle if middle is not None and np.isfinite(middle) else None
        return result

    @cached_property
    def connection(self) -> Ints:
        """Which of its subscriber's connections each message of the window came on, from 0."""
        column: Ints = self.trial.read("deliveries", ["connection"])["connection"][self._kept]
        return column

    @cached_property
    def connections(self) -> Columns:
        return self.trial.read("connections")

    @cached_property
    def visits(self) -> Columns:
        return self.trial.read("visits")

    @cached_property
    def visit_deliveries(self) -> Columns:
        return self.trial.read("visit_deliveries")

    @cached_property
    def visit_audit(self) -> VisitAudit:
        """The audit of the visitors, each by its own span."""
        channel_of = self.visits["subscriber"].astype(np.int64) % self.trial.streams
        try:
            return audit_visits(
                self.visits, self.connections, self.visit_deliveries, self.ticks, self.window, channel_of
            )
        except ValueError as error:
            raise ResultsError(f"{self.trial.directory / 'visits.parquet'}: {error}", "measure again") from error

    @cached_property
    def requests(self) -> Columns:
        """The requests that were started in the window (polling)."""
        table = self._all_requests
        kept = (table["started_ns"] >= self.window[0]) & (table["started_ns"] < self.window[1])
        return {name: column[kept] for name, column in table.items()}

    @cached_property
    def _all_requests(self) -> Columns:
        return self.trial.read("requests")

    @cached_property
    def _asked(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """For every stamped message the start of the request that fetched it: that subscriber's last before `app_ns`;
        and which messages have one (the first array has an entry for these only)."""
        asked = asked_ns(self._all_requests, self.subscriber[self.stamped], self.app_ns[self.stamped])
        answered = asked >= 0
        return asked[answered], answered

    def process(self, name: str, counter: str) -> int | None:
        """What a cumulative counter of the manifest's `processes` gained between the edges of the window, or None."""
        row: Mapping[str, Any] = (self.trial.manifest.get("processes") or {}).get(name) or {}
        begin, end = row.get(f"{counter}_at_start"), row.get(f"{counter}_at_end")
        if begin is None or end is None or begin < 0 or end < begin:
            return None
        return int(end) - int(begin)

    def per_message(self, amount: float | None) -> float | None:
        """`amount` divided by the messages that arrived between the edges of the window."""
        return amount / self.arrived if amount is not None and self.arrived else None
