"""What is counted while a trial runs: a row a second and a row at the edges of each of the window's batches; everything
at the edges of the window (R4, R13, R14).

Invariant: between the edges no reading takes longer than a millisecond. Called by the trial; the process group's loop
calls `tick`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rtbench.machine import probes
from rtbench.machine.tasks import Tasks
from rtbench.messages.load import LoadReport
from rtbench.messages.router import Counted
from rtbench.processes import namespaces
from rtbench.processes.program import port_of
from rtbench.records.tables import TABLES, Columns
from rtbench.trial._process_group import ProcessGroup
from rtbench.trial._silence import Silence
from rtbench.trial.steadiness import edges

_BEFORE_STORM_NS = 2_000_000
_BEFORE_WINDOW_NS = 20_000_000
"""When the tasks of the machine are read: it may take so long, and may not delay the counters of the window."""


class Counters:
    """Reads the counters of `group` and holds them for the manifest and for probes.parquet."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._next_ns = time.monotonic_ns()
        place, loads = group.run.place, group.loads
        self.rows: list[tuple[int, ...]] = []
        self.processes: dict[str, dict[str, Any]] = {
            "server": {"pid": group.server.pid, **place.of("server")},
            "publisher": {"pid": group.publisher.pid, **place.of("publisher"), **group.publisher.greeting},
            "load": {"pids": [load.pid for load in loads], **place.of("load"), "workers": len(loads)},
            "machine": {},
        }
        self.network: dict[str, int] = {}
        self.wire: dict[str, int] = {}
        """Bytes on the wire at the window's edges; empty without a network of its own."""
        self.routed: list[Counted] = []
        """The router's counters at the window's edges; empty without one."""
        self.silence = Silence()
        self._tasks = Tasks(place.server)
        self._network("begin")

    def _network(self, suffix: str) -> None:
        """The network's counters, of both ends' namespaces where these differ."""
        group, seen = self._group, set()
        total: dict[str, int] = {}
        for pid in (group.server.pid, *(load.pid for load in group.loads)):
            namespace = probes.namespace(pid)
            if namespace not in seen:
                seen.add(namespace)
                for name, value in probes.network(pid).items():
                    total[name] = total.get(name, 0) + value
        self.network |= {f"{name}_{suffix}": value for name, value in total.items()}

    def tick(self) -> None:
        """Add a row, once a second has passed."""
        if time.monotonic_ns() >= self._next_ns:
            self._row()

    def watch(self, window: tuple[int, int]) -> None:
        """Plan the rows between the window's batches, for the drift test of CPU, and one just before a storm. The
        window's edges have their own. What runs on the server's cores is counted from a little before the window to a
        little after it where the kernel does not count it by core."""
        if probes.running_ns(self._group.run.place.server) < 0:
            self._group.at(window[0] - _BEFORE_WINDOW_NS, self._tasks.begin)
        for at_ns in edges(window)[1:-1]:
            self._group.at(at_ns, self._row)
        if at_s := self._group.run.spec.scenario.storm.at_s:
            self._group.at(window[0] + int(at_s * 1e9) - _BEFORE_STORM_NS, self._row)

    def _row(self) -> None:
        now = time.monotonic_ns()
        self._next_ns = now + 1_000_000_000
        group = self._group
        server, loads = group.server, group.loads
        if group.run.spec.scenario.idle.minutes:
            self.silence.look(now, probes.peers(server.pid, port_of(server.url)))
        busy, steal = probes.machine_ns()
        self.rows.append(
            (
                now,
                group.server_cpu_ns + server.cpu_ns(),
                sum(load.cpu_ns() for load in loads),
                group.publisher.cpu_ns(),
                busy,
                steal,
                server.resident_bytes(),
                sum(load.resident_bytes() for load in loads),
                server.run_delay_ns(),
                sum(load.run_delay_ns() for load in loads),
                -1,
                sum(load.subscribed for load in loads),
            )
        )

    def edge(self, suffix: str) -> None:
        """An edge of the window: `at_start` or `at_end`."""
        group, table, place = self._group, self.processes, self._group.run.place
        table["server"][f"cpu_ns_{suffix}"] = group.server_cpu_ns + group.server.cpu_ns()
        table["server"][f"cores_running_ns_{suffix}"] = probes.running_ns(place.server)
        table["server"][f"kept_ns_{suffix}"] = group.kept_ns()
        busy, steal = probes.machine_ns()
        table["machine"][f"busy_ns_{suffix}"], table["machine"][f"steal_ns_{suffix}"] = busy, steal
        table["publisher"][f"cpu_ns_{suffix}"] = group.publisher.cpu_ns()
        if group.proxy is not None:
            proxy = table.setdefault("proxy", {"pid": group.proxy.pid, "cores": list(place.server), **group.proxy.uses})
            proxy[f"cpu_ns_{suffix}"] = group.proxy.cpu_ns()
        table["server"][f"run_delay_ns_{suffix}"] = group.server.run_delay_ns()
        table["machine"][f"throttles_{suffix}"] = probes.throttles()
        if group.network is not None and (router := group.network.router) is not None:
            self.routed.append(router.count())
            row = table.setdefault(
                "router", {"pid": router.pid, **place.of("publisher"), "scheduling": router.scheduling}
            )
            row[f"cpu_ns_{suffix}"], row[f"run_delay_ns_{suffix}"] = router.cpu_ns(), router.run_delay_ns()
        if group.network is not None:
            self.wire[f"wire_bytes_{suffix}"] = probes.wire_bytes(group.server.pid, namespaces.INTERFACE)
        self._network(suffix)
        table["server"][f"descriptors_{suffix}"] = probes.descriptors(group.server.pid)
        table["load"][f"descriptors_{suffix}"] = sum(probes.descriptors(load.pid) for load in group.loads)
        table["machine"][f"read_ns_{suffix}"] = time.monotonic_ns()
        if suffix == "at_start":
            self.silence.begin()
        self._row()
        if suffix == "at_end" and table["server"]["cores_running_ns_at_end"] < 0 and (ran := self._tasks.ran_ns()) >= 0:
            table["server"] |= {"cores_running_ns_at_start": 0, "cores_running_ns_at_end": ran}

    def afterwards(self) -> None:
        """Read the slow counters after the window: each takes tens of milliseconds."""
        group, table = self._group, self.processes
        shares = [load.memory_bytes() for load in group.loads]
        table["server"]["memory_bytes"] = group.server.memory_bytes()
        table["load"]["memory_bytes"], table["load"]["largest_memory_bytes"] = sum(shares), max(shares)
        table["load"]["descriptors_share"] = max(probes.descriptors_share(load.pid) for load in group.loads)
        table["load"]["ports_share"] = max(probes.ports_share(load.pid) for load in group.loads)
        self._network("end")

    @property
    def columns(self) -> Columns:
        """The rows as the columns of probes.parquet."""
        rows = np.asarray(self.rows, dtype=np.int64)
        return dict(zip(TABLES["probes"], rows.T, strict=True)) if self.rows else {}

    def close(self, reports: Sequence[LoadReport]) -> None:
        """Take over the load processes' reports on themselves."""
        load = self.processes["load"]
        for suffix, read in (
            ("at_start", [report.at_start for report in reports]),
            ("at_end", [report.at_end for report in reports]),
        ):
            load[f"cpu_ns_{suffix}"] = sum(edge.cpu_ns for edge in read)
            load[f"run_delay_ns_{suffix}"] = sum(edge.run_delay_ns for edge in read)
            load[f"read_ns_{suffix}"] = max(edge.read_ns for edge in read)
        load["decode_cpu_ns"] = sum(report.decode_cpu_ns for report in reports)
        load["decode_cpu_ns_in_window"] = sum(
            report.at_end.decode_cpu_ns - report.at_start.decode_cpu_ns for report in reports
        )
        lags = np.asarray([lag for report in reports for lag in report.hub_lag], dtype=np.int64).reshape(-1, 2)
        load["hub_lag_p50_ns"], load["hub_lag_p99_ns"], load["hub_lag_max_ns"] = (
            [int(value) for value in np.percentile(lags[:, 1], (50, 99, 100))] if len(lags) else [-1, -1, -1]
        )
        for index, row in enumerate(self.rows):
            before = self.rows[index - 1][0] if index else 0
            here = lags[(lags[:, 0] > before) & (lags[:, 0] <= row[0]), 1]
            if len(here):
                self.rows[index] = (*row[:10], int(here.max()), row[11])
