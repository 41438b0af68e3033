"""The validity gate: did the harness measure the subject, or itself? (R13)

A check reads a trial's records and returns a reason if a limit was crossed: the quantity, its value, the metrics that
it spoils, and the remedy. Invariant: validity is per metric; a late client spoils application latency long before it
spoils kernel latency, and bytes hardly ever. A disturbance spoils a metric that it could have moved by more than
`moved_share` (docs/explanation/validity.md has the reasoning). A server at its limit is a finding, not a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.messages.load import LoadReport
from rtbench.records.manifest import Impairment, Way
from rtbench.records.reason import Reason
from rtbench.records.record import Status
from rtbench.records.tables import Columns
from rtbench.scenario.tables import ValidityTable
from rtbench.trial._arrivals import Arrivals, median, quantile

APP = ["latency_app_*", "kernel_to_app_*"]
LATENCY = [
    "latency_*", "due_to_sent_*", "sent_to_kernel_*", "kernel_to_app_*", "sent_to_request_*", "request_to_*",
    "arrival_gap_*",
]  # fmt: skip
KERNEL = ["latency_kernel_*", "sent_to_kernel_*", "kernel_to_app_*"]
POLLED = [
    "latency_kernel_*", "sent_to_kernel_*", "sent_to_request_*", "request_to_*", "poll_round_trip_*",
    "requests_per_message", "empty_poll_share",
]  # fmt: skip
"""The metrics that a load process also spoils when it sends requests late."""
COST = ["*_cpu_ns_per_message", "server_cpu_ns_per_*", "machine_busy_ns_per_message"]
WIRE = ["wire_*"]
READ_BY_LOAD = ["client_cpu_ns_per_message", "tcp_*_per_message", "server_cpu_ns_per_segment"]
READ_BY_CAMPAIGN = ["server_cpu_ns_per_*", "proxy_cpu_ns_per_message", "machine_busy_ns_per_message", *WIRE]
JOINS = ["churn_subscribed_*", "churn_first_message_*"]
SETUP = ["connect_*", "response_*", "first_message_*", "connections_failed"]
EVERYTHING = ["*"]
NO_MESSAGES = "no messages"
"""The kind of a reason; not of a trial in which nothing was to be sent."""

_TAILS = {"p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
_TAIL = re.compile(rf".*_({'|'.join(_TAILS)})_ns")

QUIETER = "stop what else runs on this machine"


@dataclass(frozen=True)
class Inputs:
    """The input of the checks: a trial's counters as in its manifest. `load`: one entry per load process. `arrivals`:
    those of messages due in the window, empty without known due times. `polls`: whether the subject is polled.
    `impairment`: of a network with a router.
    """

    window: tuple[int, int]
    load: Sequence[LoadReport]
    processes: Mapping[str, Mapping[str, Any]]
    network: Mapping[str, int]
    cores: int
    ticks: Columns
    deliveries: Columns
    limits: ValidityTable
    arrivals: Arrivals
    polls: bool = False
    impairment: Impairment = Impairment()

    @property
    def routed(self) -> bool:
        """Whether a router stands between server and load."""
        return isinstance(self.impairment.down, Way)

    @cached_property
    def instants(self) -> int:
        """The number of distinct due times in the window."""
        due = self.ticks["due_ns"]
        return int(np.unique(due[(due >= self.window[0]) & (due < self.window[1])]).size)

    @cached_property
    def latency_ns(self) -> npt.NDArray[np.int64]:
        """The headlined latency of each arrival (`Arrivals.headline`)."""
        of, received_ns = self.arrivals.headline
        return received_ns - self.arrivals.due_ns[of]

    def moves(self, waited_ns: float, median_ns: int | None) -> bool | None:
        """Whether `waited_ns` of waiting in the window could have moved this median latency by more than the limit.

        All of it may lie on the moments at which something was due. None without a median.
        """
        if not median_ns or median_ns < 0 or not self.instants:
            return None
        return waited_ns / self.instants > self.limits.moved_share * median_ns

    def polls_moved(self, waited_ns: float, median_ns: int | None) -> bool | None:
        """The same for the load process that sends the polls: it can only have delayed a message whose request did not
        wait at the server when the message was due. Where these are a share s, the median moved from the quantile
        0.5 - s at the lowest."""
        moved, share = self.moves(waited_ns, median_ns), self.arrivals.asked_late_share
        if not moved or share >= 0.5:
            return moved
        middle, lowest = (quantile(self.latency_ns, level) for level in (0.5, 0.5 - share))
        return middle is None or lowest is None or middle - lowest > self.limits.moved_share * middle

    @property
    def window_ns(self) -> int:
        """The window's length."""
        return self.window[1] - self.window[0]

    @property
    def arrived(self) -> Any:
        """Which deliveries were read within the window: a mask."""
        return (self.deliveries["app_ns"] >= self.window[0]) & (self.deliveries["app_ns"] < self.window[1])

    def on(self, process: str) -> set[int]:
        """The cores that a process may run on; none where that is not known, or the trial has no such process."""
        return set(self.processes.get(process, {}).get("cores") or ())

    def gained(self, process: str, counter: str) -> int:
        """The increase of a cumulative counter in the window; 0 if it was not readable."""
        table = self.processes[process]
        begin, end = (table.get(f"{counter}_{edge}", -1) for edge in ("at_start", "at_end"))
        return max(0, end - begin) if begin >= 0 else 0

    def known(self, process: str, counter: str) -> int | None:
        """The same; None if it was not readable at both edges."""
        table = self.processes[process]
        both = [table.get(f"{counter}_{edge}", -1) for edge in ("at_start", "at_end")]
        return max(0, both[1] - both[0]) if min(both) >= 0 else None

    def counted(self, counter: str, begin: str = "at_start", end: str = "at_end") -> int:
        """The same for one of the network's counters."""
        return max(0, self.network.get(f"{counter}_{end}", 0) - self.network.get(f"{counter}_{begin}", 0))


def check(evidence: Inputs) -> list[Reason]:
    """Every limit that was crossed by the harness or its machine: reasons to call the trial invalid."""
    return [found for one in _CHECKS for found in one(evidence)]


def findings(evidence: Inputs) -> list[Reason]:
    """Limits that the subject itself reached: findings about it, not reasons against the trial."""
    return [found for one in _FINDINGS for found in one(evidence)]


def status(reasons: Iterable[Reason]) -> Status:
    """The status of a trial with these reasons: it counts if they spoil only tails."""
    tails = all(one.metrics and all(_TAIL.fullmatch(name) for name in one.metrics) for one in reasons)
    return "ok" if tails else "invalid"


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


def _tails(*spans: str) -> list[str]:
    """The tails of these spans: one moment may hold all that was waited."""
    return [f"{span}_{level}_ns" for span in spans for level in _TAILS]


def _run_delay(evidence: Inputs) -> Iterator[Reason]:
    """A pushed message waits in the kernel with its stamp. A poll may be sent late, and then all its times are late."""
    limit, arrivals = evidence.limits.run_delay_share, evidence.arrivals
    kernel_ns, app_ns = arrivals.kernel_p50_ns(), arrivals.app_p50_ns()
    stamped = 2 * np.count_nonzero(arrivals.stamped) >= arrivals.stamped.size
    for load in evidence.load:
        if load.at_start.run_delay_ns < 0:
            continue
        waited_ns = load.at_end.run_delay_ns - load.at_start.run_delay_ns
        # The router's turns on the load's core are the network's: what they hold back is on its way.
        over = (waited_ns - _turns_ns(evidence)) / evidence.window_ns > limit
        # What it waited between stamp and reading is in that gap: application latency was moved by no more.
        gap_ns = max(0, app_ns - kernel_ns) if stamped and kernel_ns is not None and app_ns is not None else None
        of_app_ns = waited_ns if gap_ns is None else min(waited_ns, gap_ns * evidence.instants)
        app_moves, polls_moved = evidence.moves(of_app_ns, app_ns), evidence.polls_moved(waited_ns, kernel_ns or app_ns)
        spoils = _spoiled(app_moves, over, APP, _tails("latency_app", "kernel_to_app"))
        spoils += _spoiled(polls_moved, over, POLLED, _POLL_COST) if evidence.polls else []
        text = f"the load process waited for its core {waited_ns / evidence.window_ns:.1%} of the window"
        yield from _waited(f"load generator{_KEPT}", text, waited_ns, limit if over else None, spoils, evidence)


def _turns_ns(evidence: Inputs) -> int:
    """The CPU of the router, where it shares a core with the load."""
    return evidence.gained("router", "cpu_ns") if evidence.on("router") & evidence.on("load") else 0


_KEPT = " kept from its core"
_POLL_COST = ["request_to_*", "poll_round_trip_*", "requests_per_message", "empty_poll_share"]


def _spoiled(moves: bool | None, over: bool, all_of_it: Sequence[str], rest: Sequence[str]) -> list[str]:
    """All, where the median may have moved or is not known; the rest, where much was waited all the same."""
    return list(all_of_it if moves or (moves is None and over) else rest if over else ())


def _waited(
    kind: str, text: str, waited_ns: float, limit: float | None, spoils: list[str], evidence: Inputs
) -> Iterator[Reason]:
    """The reason against a trial in which a process waited for its core. `limit`: the share of the window, if it was
    crossed; then the costs are spoilt, too."""
    if limit is not None:
        yield Reason(kind, f"{text}, the limit is {limit:.1%}", QUIETER, spoils + COST)
    elif spoils:
        each_ms, middle_ms = waited_ns / evidence.instants / 1e6, (median(evidence.latency_ns) or 0) / 1e6
        text += (
            f", {each_ms:.2f} ms at each due time: that could move the median latency of {middle_ms:.3g} ms by more "
            f"than {evidence.limits.moved_share:.0%}"
        )
        yield Reason(kind, text, QUIETER, spoils)


def _event_loop_lag(evidence: Inputs) -> Iterator[Reason]:
    late_ns, limit = evidence.processes["load"].get("hub_lag_p99_ns", -1), evidence.limits.hub_lag_s
    if late_ns > limit * 1e9:
        yield Reason(
            "load generator late",
            f"the load process's 10 ms timers were late by {late_ns / 1e6:.1f} ms at p99, the limit is "
            f"{limit * 1e3:g} ms",
            "fewer subscribers or messages, or stop what else runs on this machine",
            APP + JOINS + (POLLED if evidence.polls else []),
        )


def _server_run_delay(evidence: Inputs) -> Iterator[Reason]:
    """A subject's proxy shares its core; the proxy's turns are part of the measurement, not interference.

    So are the turns of a server's own threads (Go, Node), which wait for each other. It waited for others no longer
    than its threads waited, than none of them ran while one could (`rtbench.machine.pressure`, where the kernel counts
    it), and than others ran on its cores: the least of the three. One tick may hold all of it, so that decides on the
    tails. On the median decides how much of it met the server's own turns (`_met_ns`): a median is of many ticks.
    """
    limit = evidence.limits.server_run_delay_share
    waited_ns, own_ns, beyond = evidence.gained("server", "run_delay_ns"), evidence.gained("server", "cpu_ns"), ""
    if "proxy" in evidence.processes:
        turns_ns = evidence.gained("proxy", "cpu_ns")
        waited_ns, own_ns = waited_ns - turns_ns, own_ns + turns_ns
        beyond = ", its proxy's turns not counted"
    if (kept_ns := evidence.known("server", "kept_ns")) is not None and kept_ns < waited_ns:
        waited_ns, beyond = kept_ns, ""
    met_ns: float = waited_ns
    if running_ns := evidence.gained("server", "cores_running_ns"):
        others_ns = max(0, running_ns - own_ns)
        met_ns = min(waited_ns, _met_ns(evidence, others_ns, own_ns + waited_ns))
        waited_ns = min(waited_ns, others_ns)
    over = waited_ns / evidence.window_ns > limit
    moves, counted_ns = evidence.moves(met_ns, median(evidence.latency_ns)), waited_ns if over else met_ns
    spoils = _spoiled(moves, over, LATENCY, _tails("latency_kernel", "latency_app", "sent_to_kernel"))
    text = f"the server waited for its core {counted_ns / evidence.window_ns:.1%} of the window{beyond}"
    yield from _waited(f"server{_KEPT}", text, counted_ns, limit if over else None, spoils, evidence)


def _met_ns(evidence: Inputs, others_ns: int, wanted_ns: int) -> float:
    """How long others' turns on the server's cores, `others_ns` in all, met its own.

    The machine's other tasks do not know the timetable: the share of their turns that meets the server is the share of
    the window in which it wants a core, `wanted_ns`. (A thread counts each switch to it as waiting, though nothing else
    runs. A server that is woken for each of 40,000 polls counts tens of milliseconds, and they are its own.) Where load
    or publisher may run on these cores, all of their turns may meet it: they keep the timetable.
    """
    cores, ours = evidence.on("server"), (evidence.on("load"), evidence.on("publisher"))
    if not cores or any(not own or own & cores for own in ours):
        return others_ns
    return others_ns * min(1.0, wanted_ns / (evidence.window_ns * len(cores)))


def _server_saturated(evidence: Inputs) -> Iterator[Reason]:
    """The subject's own limit: its behaviour there is a result."""
    cores = len(evidence.on("server")) or 1
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
    """Not with a router: what it drops is sent again, and what it delays may be."""
    if evidence.routed:
        return
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
    """A cost is a counter's increase divided by the window's messages. Checks that both are of the same messages."""
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
        yield Reason(NO_MESSAGES, "nothing was due in the window", "a longer window or a higher rate", EVERYTHING)
        return
    late_ns = (evidence.ticks["sent_ns"] - due)[inside]
    limit = evidence.limits.publisher_late_s
    count = int(np.count_nonzero(late_ns > limit * 1e9))
    if not count:
        return
    spoils = _moved_by_lateness(evidence, limit * 1e9, int(late_ns.max()))
    if spoils:
        yield Reason(
            "publisher late",
            f"the publisher sent {count:,} of {late_ns.size:,} messages more than {limit * 1e3:g} ms late, up to "
            f"{late_ns.max() / 1e6:.2f} ms, which moves what it spoils by more than {evidence.limits.moved_share:.0%}",
            "a lower rate, or stop what else runs on this machine",
            spoils,
        )


def _moved_by_lateness(evidence: Inputs, limit_ns: float, latest_ns: int) -> list[str]:
    """The metrics that late messages have moved: compares median and p90 with their values without that lateness. A
    tail beyond p90 has few messages, so the latest ones may be all of it."""
    of, _ = evidence.arrivals.headline
    latency_ns, late_ns = evidence.latency_ns, evidence.arrivals.late_ns[of]
    if not latency_ns.size:
        return LATENCY
    on_time_ns = latency_ns - np.where(late_ns > limit_ns, late_ns, 0)
    share, spoils = evidence.limits.moved_share, []
    for level, q in {"p50": 0.5, **_TAILS}.items():
        value = float(np.quantile(latency_ns, q))
        moved = value - float(np.quantile(on_time_ns, q)) if level in ("p50", "p90") else latest_ns
        if moved > share * value:
            if level == "p50":
                return LATENCY
            spoils += [f"{span}_{level}_ns" for span in ("latency_kernel", "latency_app", "due_to_sent")]
    return spoils


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


def _router(evidence: Inputs) -> Iterator[Reason]:
    """The router of [network] is the harness's: packets that it kept too long, or lost without being asked to."""
    asked, limit = evidence.impairment, evidence.limits.router_late_s
    if not isinstance(asked.down, Way) or not isinstance(asked.up, Way) or not isinstance(asked.late_p99_ns, int):
        return
    late_ns = asked.late_p99_ns
    if late_ns > limit * 1e9:
        yield Reason(
            "router late",
            f"the router passed packets on up to {late_ns / 1e6:.1f} ms late at p99, the limit is {limit * 1e3:g} ms",
            "fewer subscribers or messages, or stop what else runs on this machine",
            LATENCY + SETUP,
        )
    waited = evidence.gained("router", "run_delay_ns") / evidence.window_ns
    if waited > evidence.limits.run_delay_share:
        yield Reason(
            f"router{_KEPT}",
            f"the router waited for its core {waited:.1%} of the window, the limit is "
            f"{evidence.limits.run_delay_share:.1%}",
            QUIETER,
            LATENCY + SETUP,
        )
    if dropped := asked.down.own_drops + asked.up.own_drops:
        yield Reason(
            "router overrun",
            f"the router dropped {dropped:,} packets that it was not asked to drop",
            "fewer subscribers or messages, or less delay",
            EVERYTHING,
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
    _router,
    _overruns,
    _edges,
    _room,
)
_FINDINGS: tuple[Check, ...] = (_server_saturated,)
