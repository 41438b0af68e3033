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

from rtbench.loadtests.load import APART, Load
from rtbench.loadtests.reactor.links import PollLink
from rtbench.machine import clock
from rtbench.subjects.bounded import get

if TYPE_CHECKING:
    from locust.env import Environment

    from rtbench.loadtests.subscriber import Endpoint

_PLANS_A_SECOND = 20
_PLAN_S = 2
"""The time limit of a request for the plan."""
_KEPT = 2000
"""At least so many due times of a channel are kept, and at most twice as many."""
_PATIENCE_S = 3
"""How long a message waits for its due time before it is counted without a latency."""

MESSAGE = "message "
"""Begins the name of the entry that counts a load's messages."""


class Statistics:
    """Feeds one environment's statistics from the loads of one process. `loads` may get more of them later."""

    def __init__(self, loads: list[Load], environment: Environment, keep: bool) -> None:
        self._loads = loads
        self._recorder, self._reactor = loads[0].recorder, loads[0].reactor
        self._environment = environment
        self._keep = keep
        self._row = self._request_row = 0
        self._due_ns: dict[int, dict[int, int]] = defaultdict(dict)
        self._waiting: list[tuple[float, Load, Any]] = []
        self._without_plan: set[int] = set()
        """The origins of the loads whose server has no plan."""
        gevent.spawn(self._every_second)

    def _every_second(self) -> None:
        while True:
            gevent.sleep(1)
            self.update()

    def update(self) -> None:
        """Count everything that arrived since the last call."""
        recorder = self._recorder
        recorder.decode()
        recorder.clock.pair()
        # No greenlet switch from here until the rows are dropped: rows added meanwhile would be dropped uncounted.
        self._polls()
        rows = recorder.table(self._row)
        self._waiting += [(time.monotonic(), load, mine) for load, mine in self._shared_out(rows)]
        self._row += len(rows["seq"])
        if not self._keep:
            recorder.deliveries.clear()
            recorder.requests.clear()
            self._row = self._request_row = 0
            for link in self._reactor.links:
                link.last_row = -1
                if isinstance(link, PollLink):
                    link.rows.clear()
        self._connects()
        self._plans()
        self._messages()

    def _shared_out(self, rows: dict[str, Any]) -> list[tuple[Load, dict[str, Any]]]:
        """The rows of each load that has any, by their subscribers' numbers."""
        of = rows["subscriber"] // APART
        return [
            (load, {name: column[of == number] for name, column in rows.items()})
            for number, load in ((number, self._loads[number]) for number in np.unique(of).tolist())
        ]

    def _connects(self) -> None:
        for load in self._loads:
            links, load.on_connection = load.on_connection, []
            for link in links:
                good = link.accepted
                self._environment.events.request.fire(  # type: ignore[no-untyped-call]
                    request_type=_kind(load.transport),
                    name=f"connect {load.name}",
                    response_time=max(0, (link.response_ns if good else link.closed_ns) - link.started_ns) / 1e6,
                    response_length=0,
                    exception=None if good else ConnectionError(link.outcome),
                    context={},
                )

    def _polls(self) -> None:
        rows = self._recorder.requests.columns(self._request_row)
        self._request_row += len(rows["subscriber"])
        for load, mine in self._shared_out(rows):
            took_ns = mine["response_ns"] - mine["started_ns"]
            self._add("GET", f"poll {load.name}", took_ns / 1e6, 0, int(mine["received_bytes"].sum()))

    def _plans(self) -> None:
        """Get the due times of the waiting messages: from their payloads, or from the server's plan."""
        for load in {load.origin: load for _, load, _ in self._waiting}.values():
            if load.due_path:
                self._from_payloads()
            elif load.target is not None and not load.settings.path and load.origin not in self._without_plan:
                self._from_the_plan(load, load.target)

    def _from_payloads(self) -> None:
        found = self._recorder.due
        for (number, seq), due_ns in found.items():
            self._due_ns[number][seq] = due_ns
        found.clear()

    def _from_the_plan(self, load: Load, target: Endpoint) -> None:
        """A server without a plan is asked once."""
        wanted = {
            number for _, one, rows in self._waiting if one is load for number in np.unique(rows["channel"]).tolist()
        }
        # The channels with the oldest requests first.
        for number in sorted(wanted, key=lambda n: max(self._due_ns[n], default=0))[:_PLANS_A_SECOND]:
            channel = load.channel(number)
            known = self._due_ns[number]
            since = max(known, default=0)
            query = f"{channel.query}{'&' if channel.index else '?'}since={since}"
            scheme = "https" if target.tls is not None else "http"
            try:
                answer = get(f"{scheme}://{target.host}/plan/{query}", _PLAN_S, tls_ca=load.settings.tls_ca)
                ticks = json.loads(answer.body)["ticks"] if answer.status == 200 else None
            except (OSError, ValueError, KeyError, TypeError):
                ticks = None
            if ticks is None:
                self._without_plan.add(load.origin)
                return
            known.update((seq, due_ns) for seq, due_ns in ticks)

    def _messages(self) -> None:
        waiting, self._waiting = self._waiting, []
        offset_ns = clock.offset_ns()
        for since, load, rows in waiting:
            due_ns = np.fromiter(
                (
                    self._due_ns[channel].get(seq, -1)
                    for channel, seq in zip(rows["channel"].tolist(), rows["seq"].tolist(), strict=True)
                ),
                dtype=np.int64,
            )
            known = due_ns >= 0
            unknowable = not load.due_path and (load.settings.path or load.origin in self._without_plan)
            late = unknowable or time.monotonic() - since > _PATIENCE_S
            taken = np.ones(len(known), bool) if late else known
            if taken.any():
                received = np.where(rows["kernel_ns"] >= 0, rows["kernel_ns"], rows["app_ns"]) + offset_ns
                latency_ms = (received[known] - due_ns[known]) / 1e6
                self._add(
                    _kind(load.transport),
                    MESSAGE + load.name,
                    latency_ms,
                    int(taken.sum() - known.sum()),
                    int(rows["payload_bytes"][taken].sum()),
                )
            if not taken.all():
                self._waiting.append((since, load, {name: column[~taken] for name, column in rows.items()}))
        for seen in self._due_ns.values():
            if len(seen) > 2 * _KEPT:
                for seq in sorted(seen)[:-_KEPT]:
                    del seen[seq]

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
