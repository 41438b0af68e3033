"""Locust's statistics of deliveries and polls: added in bulk once a second, never one event per message.

Messages a second with latency from the plan (`GET /plan`, R1), polls with their round trip. Connects and errors are
rare and go through Locust's request event. Invariant: rows are counted once, and dropped after counting unless they
are to be kept. Locust rounds to 1 ms and then to two digits: do not rank transports by these figures.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import gevent
import numpy as np
from locust.stats import StatsEntry, bucket_response_time

from rtbench.loadtests.load import Load
from rtbench.loadtests.reactor.links import PollLink
from rtbench.machine import clock
from rtbench.subjects.bounded import get
from rtbench.transports.catalogue import find

if TYPE_CHECKING:
    from locust.env import Environment

_PLANS_A_SECOND = 20
_PLAN_S = 2
"""The time limit of a request for the plan."""
_PATIENCE_S = 3
"""How long a message waits for its due time before it is counted without a latency."""


class Statistics:
    """Feeds one environment's statistics from one load."""

    def __init__(self, load: Load, environment: Environment, keep: bool) -> None:
        self._load = load
        self._environment = environment
        self._keep = keep
        self._row = self._request_row = 0
        self._due_ns: dict[int, dict[int, int]] = defaultdict(dict)
        self._waiting: list[tuple[float, Any]] = []
        self._plan_failed = False
        gevent.spawn(self._every_second)

    def _every_second(self) -> None:
        while True:
            gevent.sleep(1)
            self.update()

    def update(self) -> None:
        """Count everything that arrived since the last call."""
        recorder = self._load.recorder
        recorder.decode()
        recorder.clock.pair()
        # No greenlet switch from here until the rows are dropped: rows added meanwhile would be dropped uncounted.
        self._polls()
        rows = recorder.table(self._row)
        if len(rows["seq"]):
            self._waiting.append((time.monotonic(), rows))
        self._row += len(rows["seq"])
        if not self._keep:
            recorder.deliveries.clear()
            recorder.requests.clear()
            self._row = self._request_row = 0
            for link in self._load.reactor.links:
                link.last_row = -1
                if isinstance(link, PollLink):
                    link.rows.clear()
        self._connects()
        self._plans()
        self._messages()

    def _connects(self) -> None:
        links, self._load.on_connection = self._load.on_connection, []
        for link in links:
            good = link.accepted
            self._environment.events.request.fire(  # type: ignore[no-untyped-call]
                request_type=_kind(link.subscriber.transport),
                name=f"connect {find(link.subscriber.transport).prefix}/{link.subscriber.channel.stream}",
                response_time=max(0, (link.response_ns if good else link.closed_ns) - link.started_ns) / 1e6,
                response_length=0,
                exception=None if good else ConnectionError(link.outcome),
                context={},
            )

    def _polls(self) -> None:
        rows = self._load.recorder.requests.columns(self._request_row)
        took_ns = rows["response_ns"] - rows["started_ns"]
        self._request_row += len(took_ns)
        if len(took_ns):
            self._add("GET", "poll", took_ns / 1e6, 0, int(rows["received_bytes"].sum()))

    def _plans(self) -> None:
        """Get the due times of the waiting messages from the server; a server without a plan is asked once."""
        target = self._load.target
        if target is None or self._plan_failed or not self._waiting:
            return
        wanted = {number for _, rows in self._waiting for number in np.unique(rows["channel"]).tolist()}
        # The channels with the oldest requests first.
        for number in sorted(wanted, key=lambda n: max(self._due_ns[n], default=0))[:_PLANS_A_SECOND]:
            channel = self._load.channel(number)
            known = self._due_ns[number]
            since = max(known, default=0)
            query = f"{channel.query}{'&' if channel.index else '?'}since={since}"
            try:
                answer = get(f"http://{target.host}/plan/{query}", _PLAN_S)
                if answer.status != 200:
                    self._plan_failed = True
                    return
                ticks = json.loads(answer.body)["ticks"]
            except (OSError, ValueError, KeyError, TypeError):
                self._plan_failed = True
                return
            known.update((seq, due_ns) for seq, due_ns in ticks)
            for seq in sorted(known)[:-2000]:
                del known[seq]

    def _messages(self) -> None:
        waiting, self._waiting = self._waiting, []
        offset_ns = clock.offset_ns()
        for since, rows in waiting:
            due_ns = np.fromiter(
                (
                    self._due_ns[channel].get(seq, -1)
                    for channel, seq in zip(rows["channel"].tolist(), rows["seq"].tolist(), strict=True)
                ),
                dtype=np.int64,
            )
            known = due_ns >= 0
            late = self._plan_failed or time.monotonic() - since > _PATIENCE_S
            taken = np.ones(len(known), bool) if late else known
            if taken.any():
                received = np.where(rows["kernel_ns"] >= 0, rows["kernel_ns"], rows["app_ns"]) + offset_ns
                latency_ms = (received[known] - due_ns[known]) / 1e6
                self._add(
                    _kind(self._load.transport),
                    "message",
                    latency_ms,
                    int(taken.sum() - known.sum()),
                    int(rows["payload_bytes"][taken].sum()),
                )
            if not taken.all():
                self._waiting.append((since, {name: column[~taken] for name, column in rows.items()}))

    def _add(self, method: str, name: str, times_ms: Any, without_time: int, size: int) -> None:
        stats, count = self._environment.stats, len(times_ms)
        bulk = StatsEntry(stats, name, method)
        bulk.num_requests = count + without_time
        bulk.num_none_requests = without_time
        now = time.time()
        bulk.last_request_timestamp = now
        bulk.num_reqs_per_sec[int(now)] = count + without_time
        bulk.total_content_length = size
        if count:
            bulk.total_response_time = float(times_ms.sum())  # type: ignore[assignment]
            bulk.min_response_time = float(times_ms.min())  # type: ignore[assignment]
            bulk.max_response_time = float(times_ms.max())  # type: ignore[assignment]
            values, counts = np.unique(np.round(times_ms, 1), return_counts=True)
            for value, number in zip(values.tolist(), counts.tolist(), strict=True):
                bulk.response_times[bucket_response_time(max(0.0, value))] += number
        stats.entries[(name, method)].extend(bulk)
        stats.total.extend(bulk)


def _kind(transport: str) -> str:
    return {"sse": "SSE", "websocket": "WS"}.get(transport, "GET")
