"""The validity gate: did the harness measure the subject, or itself? (R13)

A check looks at what a trial recorded and gives a reason when a limit was crossed: what, by how much, which metrics it
spoils, and what to do. Invariant: validity is per metric; a late client spoils application latency long before it
spoils kernel latency, and bytes hardly ever. A server that is at its limit is a finding about it, not a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtbench.messages.load import LoadReport
from rtbench.records.reason import Reason
from rtbench.records.tables import Columns
from rtbench.scenario.tables import ValidityTable

APP = ["latency_app_*", "kernel_to_app_*"]
LATENCY = [
    "latency_*", "due_to_sent_*", "sent_to_kernel_*", "kernel_to_app_*", "sent_to_request_*", "request_to_*",
    "arrival_gap_*",
]  # fmt: skip
KERNEL = ["latency_kernel_*", "sent_to_kernel_*", "kernel_to_app_*"]
COST = ["*_cpu_ns_per_message", "machine_busy_ns_per_message"]
WIRE = ["wire_*"]
READ_BY_LOAD = ["client_cpu_ns_per_message", "tcp_*_bytes_per_message"]
READ_BY_CAMPAIGN = ["server_cpu_ns_per_message", "proxy_cpu_ns_per_message", "machine_busy_ns_per_message", *WIRE]
SETUP = ["connect_*", "response_*", "first_message_*", "connections_failed"]
EVERYTHING = ["*"]

QUIETER = "stop what else runs on this machine"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the checks look at: a trial's counters, as its manifest has them. `load`: one entry a load process."""

    window: tuple[int, int]
    load: Sequence[LoadReport]
    processes: Mapping[str, Mapping[str, Any]]
    network: Mapping[str, int]
    cores: int
    ticks: Columns
    deliveries: Columns
    limits: ValidityTable

    @property
    def window_ns(self) -> int:
        """The window's length."""
        return self.window[1] - self.window[0]

    @property
    def arrived(self) -> Any:
        """Which deliveries were read within the window: a mask."""
        return (self.deliveries["app_ns"] >= self.window[0]) & (self.deliveries["app_ns"] < self.window[1])

    def gained(self, process: str, counter: str) -> int:
        """What a cumulative counter gained in the window; 0 where it could not be read."""
        table = self.processes[process]
        begin, end = (table.get(f"{counter}_{edge}", -1) for edge in ("at_start", "at_end"))
        return max(0, end - begin) if begin >= 0 else 0

    def counted(self, counter: str, begin: str = "at_start", end: str = "at_end") -> int:
        """The same for one of the network's counters."""
        return max(0, self.network.get(f"{counter}_{end}", 0) - self.network.get(f"{counter}_{begin}", 0))


def check(evidence: Inputs) -> list[Reason]:
    """Every limit that was crossed by the harness or its machine: reasons to call the trial invalid."""
    return [found for one in _CHECKS for found in one(evidence)]


def findings(evidence: Inputs) -> list[Reason]:
    """What was at its limit and belongs to the subject: findings about it, no reasons against the trial."""
    return [found for one in _FINDINGS for found in one(evidence)]


def _client_cpu(evidence: Inputs) -> Iterator[Reason]:
    limit = evidence.limits.client_cpu_share
    for load in evidence.load:
        share = (load.at_end.cpu_ns - load.at_start.cpu_ns) / evidence.window_ns
        if share > limit:
            yield Reason(
                "load generator near its limit",
                f"the load process used {share:.0%} of its core, the limit is {limit:.0%}",
                "fewer subscribers or messages, or more workers on more cores",
                LATENCY + COST,
            )


def _run_delay(evidence: Inputs) -> Iterator[Reason]:
    limit = evidence.limits.run_delay_share
    for load in evidence.load:
        if load.at_start.run_delay_ns < 0:
            continue
        share = (load.at_end.run_delay_ns - load.at_start.run_delay_ns) / evidence.window_ns
        if share > limit:
            yield Reason(
                "load generator kept from its core",
                f"the load process waited for its core {share:.1%} of the window, the limit is {limit:.1%}",
                QUIETER,
                APP + COST,
            )


def _event_loop_lag(evidence: Inputs) -> Iterator[Reason]:
    late_ns, limit = evidence.processes["load"].get("hub_lag_p99_ns", -1), evidence.limits.hub_lag_s
    if late_ns > limit * 1e9:
        yield Reason(
            "load generator late",
            f"the load process's 10 ms timers were late by {late_ns / 1e6:.1f} ms at p99, the limit is "
            f"{limit * 1e3:g} ms",
            "fewer subscribers or messages, or stop what else runs on this machine",
            APP,
        )


def _server_run_delay(evidence: Inputs) -> Iterator[Reason]:
    """A subject's own proxy shares its core, and its turns are part of what is measured: they are no interference."""
    limit = evidence.limits.server_run_delay_share
    waited_ns, beyond = evidence.gained("server", "run_delay_ns"), ""
    if "proxy" in evidence.processes:
        waited_ns -= evidence.gained("proxy", "cpu_ns")
        beyond = ", its proxy's turns not counted"
    share = waited_ns / evidence.window_ns
    if share > limit:
        yield Reason(
            "server kept from its core",
            f"the server waited for its core {share:.1%} of the window{beyond}, the limit is {limit:.1%}",
            QUIETER,
            LATENCY + COST,
        )


def _server_saturated(evidence: Inputs) -> Iterator[Reason]:
    """The subject's own limit: what it does then is what one wants to know."""
    cores = len(evidence.processes["server"].get("cores") or ()) or 1
    limit = evidence.limits.server_cpu_share
    share = evidence.gained("server", "cpu_ns") / evidence.window_ns / cores
    if share > limit:
        yield Reason(
            "server saturated",
            f"the server used {share:.0%} of its {'core' if cores == 1 else f'{cores} cores'}: it was at its limit, "
            "and its latency is that of a queue",
            "a finding about the subject; fewer subscribers or messages show it below its limit",
            [],
        )


def _steal(evidence: Inputs) -> Iterator[Reason]:
    limit, share = evidence.limits.steal_share, evidence.gained("machine", "steal_ns") / evidence.window_ns
    share /= evidence.cores
    if share > limit:
        yield Reason(
            "machine stolen from",
            f"the host took {share:.1%} of this machine's time, the limit is {limit:.1%}",
            "measure when the host is quieter, or on a machine of your own",
            LATENCY + COST,
        )


def _throttled(evidence: Inputs) -> Iterator[Reason]:
    limit, count = evidence.limits.throttle_events, evidence.gained("machine", "throttles")
    if count > limit:
        yield Reason(
            "cores throttled",
            f"the cores were throttled {count:,} times in the window, the limit is {limit:,}",
            "let the machine cool, or fix its frequency below the limit",
            LATENCY + COST,
        )


def _listen_queue(evidence: Inputs) -> Iterator[Reason]:
    limit = evidence.limits.listen_overflows
    count = max(evidence.counted(name, "begin", "end") for name in ("listen_overflows", "listen_drops"))
    if count > limit:
        yield Reason(
            "listen queue overflowed",
            f"{count:,} connection attempts found the listen queue full (ListenOverflows, ListenDrops), "
            f"the limit is {limit:,}",
            "sysctl net.core.somaxconn=4096, a larger backlog, or a lower ramp_hz",
            SETUP,
        )


def _retransmits(evidence: Inputs) -> Iterator[Reason]:
    limit, again = evidence.limits.retransmit_share, evidence.counted("retransmits")
    share = again / max(1, evidence.counted("segments"))
    if share > limit:
        yield Reason(
            "segments sent again",
            f"{again:,} TCP segments ({share:.2%}) were sent again in the window, the limit is {limit:.2%}",
            "see what drops packets; on loopback that is memory pressure",
            LATENCY + WIRE,
        )


def _overruns(evidence: Inputs) -> Iterator[Reason]:
    limit, count = evidence.limits.buffer_overruns, evidence.counted("buffer_overruns")
    if count > limit:
        yield Reason(
            "receive buffers overrun",
            f"receive buffers were full {count:,} times in the window, the limit is {limit:,}",
            "sysctl net.ipv4.tcp_rmem and tcp_mem, or fewer messages",
            LATENCY,
        )


def _edges(evidence: Inputs) -> Iterator[Reason]:
    """A cost is what a counter gained, over the messages of the window: were those the messages that it counted?"""
    limit, messages = evidence.limits.edge_share, int(np.count_nonzero(evidence.arrived))
    kernel, app = evidence.deliveries["kernel_ns"], evidence.deliveries["app_ns"]
    received = np.where(kernel >= 0, kernel, app)
    for process, who, spoils in (
        ("machine", "the campaign's process", READ_BY_CAMPAIGN),
        ("load", "a load process", READ_BY_LOAD),
    ):
        table = evidence.processes[process]
        begin, end = (table.get(f"read_ns_{edge}", -1) for edge in ("at_start", "at_end"))
        if begin < 0 or end < 0 or not messages:
            continue
        counted = int(np.count_nonzero((received >= begin) & (received < end)))
        share = abs(counted - messages) / messages
        if share > limit:
            late = max(begin - evidence.window[0], end - evidence.window[1])
            yield Reason(
                "counters read late",
                f"{who} read its counters up to {late / 1e6:.1f} ms after the window's edges: they count {counted:,} "
                f"messages, the window {messages:,} ({share:.1%} apart, the limit is {limit:.1%})",
                QUIETER,
                spoils,
            )


def _room(evidence: Inputs) -> Iterator[Reason]:
    for what, share, limit, remedy in (
        ("file descriptors", "descriptors_share", evidence.limits.descriptors_share, "ulimit -n"),
        ("local ports", "ports_share", evidence.limits.ports_share, "net.ipv4.ip_local_port_range"),
    ):
        used = evidence.processes["load"].get(share, -1.0)
        if used > limit:
            yield Reason(
                f"few {what} left",
                f"{used:.0%} of the load process's {what} were in use, the limit is {limit:.0%}",
                f"fewer subscribers, or raise {remedy}",
                SETUP,
            )


def _publisher_late(evidence: Inputs) -> Iterator[Reason]:
    start, end = evidence.window
    due = evidence.ticks["due_ns"]
    inside = (due >= start) & (due < end)
    if not inside.any():
        yield Reason("no messages", "nothing was due in the window", "a longer window or a higher rate", EVERYTHING)
        return
    late = float(np.percentile((evidence.ticks["sent_ns"] - due)[inside], 99)) / 1e9
    limit = evidence.limits.publisher_late_s
    if late > limit:
        yield Reason(
            "publisher late",
            f"the publisher was late by {late * 1e3:.2f} ms at p99, the limit is {limit * 1e3:g} ms",
            "a lower rate, or stop what else runs on this machine",
            LATENCY,
        )


def _clock_step(evidence: Inputs) -> Iterator[Reason]:
    limit = evidence.limits.clock_step_s
    for load in evidence.load:
        pairs = np.asarray(load.clock_pairs, dtype=np.int64)
        offsets = pairs[:, 1] - pairs[:, 0]
        step = float(np.abs(np.diff(offsets)).max()) / 1e9 if len(offsets) > 1 else 0.0
        if step > limit:
            yield Reason(
                "clock stepped",
                f"CLOCK_REALTIME moved by {step * 1e3:.2f} ms against CLOCK_MONOTONIC, the limit is {limit * 1e3:g} ms",
                "let the clock settle (NTP), then measure again",
                KERNEL,
            )


def _stamped(evidence: Inputs) -> Iterator[Reason]:
    limit, kernel = evidence.limits.stamped_share, evidence.deliveries["kernel_ns"][evidence.arrived]
    if not len(kernel):
        return
    share = float((kernel >= 0).mean())
    if share < limit:
        yield Reason(
            "kernel stamps shared",
            f"only {share:.0%} of the messages have a kernel stamp of their own, the limit is {limit:.0%}",
            "a lower rate for each connection; messages that arrive together share a stamp",
            KERNEL,
        )


Check = Callable[[Inputs], Iterator[Reason]]

_CHECKS: tuple[Check, ...] = (
    _client_cpu,
    _run_delay,
    _event_loop_lag,
    _server_run_delay,
    _steal,
    _throttled,
    _publisher_late,
    _clock_step,
    _stamped,
    _listen_queue,
    _retransmits,
    _overruns,
    _edges,
    _room,
)
_FINDINGS: tuple[Check, ...] = (_server_saturated,)
