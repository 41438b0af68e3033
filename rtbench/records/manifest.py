"""manifest.json: what one trial was, what it counted, and what may be believed of it.

Invariant: written once, when the trial is over, whatever it ended by; a trial that failed lacks what it did not get
to. Written by `rtbench.trial` and, for a subject that failed verification, by `rtbench.campaign`; read by the analysis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import UNSET

from rtbench.errors import ResultsError
from rtbench.records import record
from rtbench.records.reason import Reason
from rtbench.records.record import DAMAGED, Cell, Maybe, Number, Place, Record, Status, Subscribers, Whole


class Window(Record, frozen=True, kw_only=True):
    """CLOCK_MONOTONIC; -1: the trial failed before it had one."""

    start_ns: Whole
    end_ns: Whole


class Clocks(Record, frozen=True, kw_only=True):
    """Pairs of CLOCK_MONOTONIC and CLOCK_REALTIME, read together through the trial."""

    pairs: Maybe[list[tuple[Whole, Whole]]] = UNSET


class Counts(Record, frozen=True, kw_only=True):
    """Whole numbers of subscribers, deliveries and connections; `sends…`: of a conversation, over the window."""

    subscribers: Maybe[Subscribers] = UNSET
    subscribed: Maybe[Whole] = UNSET
    expected: Maybe[Whole] = UNSET
    delivered: Maybe[Whole] = UNSET
    lost: Maybe[Whole] = UNSET
    duplicated: Maybe[Whole] = UNSET
    reordered: Maybe[Whole] = UNSET
    corrupted: Maybe[Whole] = UNSET
    connections: Maybe[Whole] = UNSET
    connections_failed: Maybe[Whole] = UNSET
    sends: Maybe[Whole] = UNSET
    sends_unsaid: Maybe[Whole] = UNSET
    sends_lost: Maybe[Whole] = UNSET
    sends_refused: Maybe[Whole] = UNSET
    sends_unknown: Maybe[Whole] = UNSET


class Process(Record, frozen=True, kw_only=True):
    """A process (or the machine) and its counters, cumulative, at the window's edges; -1: could not be read.

    What a publisher, a server or a proxy says of itself stands beside them as free keys.
    """

    pid: Maybe[Whole] = UNSET
    pids: Maybe[list[Whole]] = UNSET
    cores: Maybe[list[Whole]] = UNSET
    workers: Maybe[Whole] = UNSET
    cpu_ns_at_start: Maybe[Whole] = UNSET
    cpu_ns_at_end: Maybe[Whole] = UNSET
    run_delay_ns_at_start: Maybe[Whole] = UNSET
    run_delay_ns_at_end: Maybe[Whole] = UNSET
    read_ns_at_start: Maybe[Whole] = UNSET
    read_ns_at_end: Maybe[Whole] = UNSET
    busy_ns_at_start: Maybe[Whole] = UNSET
    busy_ns_at_end: Maybe[Whole] = UNSET
    steal_ns_at_start: Maybe[Whole] = UNSET
    steal_ns_at_end: Maybe[Whole] = UNSET
    throttles_at_start: Maybe[Whole] = UNSET
    throttles_at_end: Maybe[Whole] = UNSET
    memory_bytes: Maybe[Whole] = UNSET
    largest_memory_bytes: Maybe[Whole] = UNSET
    descriptors_share: Maybe[Number] = UNSET
    ports_share: Maybe[Number] = UNSET
    decode_cpu_ns: Maybe[Whole] = UNSET
    decode_cpu_ns_in_window: Maybe[Whole] = UNSET
    hub_lag_p50_ns: Maybe[Whole] = UNSET
    hub_lag_p99_ns: Maybe[Whole] = UNSET
    hub_lag_max_ns: Maybe[Whole] = UNSET


class Event(Record, frozen=True, kw_only=True):
    """What was stopped, killed or starved, and when it really was (CLOCK_MONOTONIC)."""

    do: str
    what: str
    planned_s: Maybe[Number] = UNSET
    began_ns: Whole
    ended_ns: Whole


class Steadiness(Record, frozen=True, kw_only=True):
    """The drift tests of the window (R14): of latency, and of CPU a message; empty when the trial was not asked."""

    drift_share: Maybe[Number] = UNSET
    p: Maybe[Number] = UNSET
    batches: Maybe[Whole] = UNSET
    server_cpu_drift_share: Maybe[Number] = UNSET
    server_cpu_p: Maybe[Number] = UNSET
    client_cpu_drift_share: Maybe[Number] = UNSET
    client_cpu_p: Maybe[Number] = UNSET


class Half(Record, frozen=True, kw_only=True):
    """Figures of a half of the window; null: not known. Latency is of what was due in it, CPU of what arrived in it."""

    latency_kernel_p50_ns: Maybe[Number] = UNSET
    latency_app_p50_ns: Maybe[Number] = UNSET
    server_cpu_ns_per_message: Maybe[Number] = UNSET
    client_cpu_ns_per_message: Maybe[Number] = UNSET


class Rung(Record, frozen=True, kw_only=True):
    """What was read at one count of connections; bytes, -1: could not be read."""

    connections: Whole
    idle_cpu_ns_per_second: Number
    server_idle: Whole
    kernel_idle: Whole
    server_streaming: Whole
    kernel_streaming: Whole


class Ladder(Record, frozen=True, kw_only=True):
    """The rungs; its slopes are free keys, `…_per_connection` in bytes with `…_half_interval`. Empty: no ladder."""

    rungs: Maybe[list[Rung]] = UNSET
    tidied: Maybe[str] = UNSET


class Idle(Record, frozen=True, kw_only=True):
    """CPU of a server whose connections are idle, as the slope of a line over the rungs. Empty: no ladder."""

    cpu_ns_per_connection_second: Maybe[Number] = UNSET
    cpu_ns_per_connection_second_half_interval: Maybe[Number] = UNSET


class File(Record, frozen=True, kw_only=True):
    """A file of the trial as it was written."""

    bytes: Maybe[Whole] = UNSET
    sha256: str


class Manifest(Record, frozen=True, kw_only=True):
    """manifest.json. `processes`: server, publisher, load, machine, maybe proxy; `audit`: a kind to examples of
    (subscriber, seq); `fairness`: what the server says that it uses; `halves`: of the window, the first one first;
    `files`: by name."""

    schema: int
    trial: Maybe[Place] = UNSET
    subject: Maybe[str] = UNSET
    transport: Maybe[str] = UNSET
    stack: Maybe[str] = UNSET
    arm: Maybe[str] = UNSET
    technique: Maybe[str] = UNSET
    carries_id: Maybe[str] = UNSET
    proxy: Maybe[str] = UNSET
    block: Maybe[Place] = UNSET
    position: Maybe[Place] = UNSET
    seed: Maybe[Whole] = UNSET
    scenario_hash: Maybe[str] = UNSET
    cell: Maybe[Cell] = UNSET
    window: Maybe[Window] = UNSET
    clocks: Maybe[Clocks] = UNSET
    status: Maybe[Status] = UNSET
    reasons: Maybe[list[Reason]] = UNSET
    warnings: Maybe[list[Reason]] = UNSET
    counts: Maybe[Counts] = UNSET
    audit: Maybe[dict[str, list[tuple[Whole, Whole]]]] = UNSET
    processes: Maybe[dict[str, Process]] = UNSET
    network: Maybe[dict[str, Whole]] = UNSET
    bytes: Maybe[dict[str, Whole]] = UNSET
    fairness: Maybe[dict[str, Any]] = UNSET
    timeline: Maybe[dict[str, Whole]] = UNSET
    due: Maybe[str] = UNSET
    unknown: Maybe[list[str]] = UNSET
    events: Maybe[list[Event]] = UNSET
    faults: Maybe[dict[str, Any]] = UNSET
    steadiness: Maybe[Steadiness] = UNSET
    halves: Maybe[list[Half]] = UNSET
    memory: Maybe[Ladder] = UNSET
    idle: Maybe[Idle] = UNSET
    controls: Maybe[dict[str, Whole]] = UNSET
    environment: Maybe[dict[str, Any]] = UNSET
    files: Maybe[dict[str, File]] = UNSET


def load(file: Path) -> Manifest:
    """The manifest in `file`. Raises ResultsError that names the file and the key."""
    found = record.load(Manifest, file)
    if found.window and found.window.start_ns > found.window.end_ns:
        raise ResultsError(f"{file}: its window ends before it starts", DAMAGED)
    return found
