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
    """instant: its start, which belongs to it."""
    end_ns: Whole
    """instant: its end, which does not."""


class Clocks(Record, frozen=True, kw_only=True):
    """Pairs of CLOCK_MONOTONIC and CLOCK_REALTIME, read together through the trial."""

    pairs: Maybe[list[tuple[Whole, Whole]]] = UNSET
    """instant: [CLOCK_MONOTONIC, CLOCK_REALTIME], once a second and at the edges of the window; the second is ns since
    1970."""


class Counts(Record, frozen=True, kw_only=True):
    """Whole numbers of subscribers, deliveries and connections; `sends…`: of a conversation, over the window."""

    subscribers: Maybe[Subscribers] = UNSET
    """count: subscribers that were wanted."""
    subscribed: Maybe[Whole] = UNSET
    """count: subscribers that got a response."""
    expected: Maybe[Whole] = UNSET
    """count: ticks due in the window, once for each subscriber of their channel."""
    delivered: Maybe[Whole] = UNSET
    """count: of these, those that arrived."""
    lost: Maybe[Whole] = UNSET
    """count: of these, those that never arrived."""
    duplicated: Maybe[Whole] = UNSET
    """count: arrivals beyond the first."""
    reordered: Maybe[Whole] = UNSET
    """count: first arrivals after a higher number."""
    corrupted: Maybe[Whole] = UNSET
    """count: arrivals with other bytes than the tick's, or with an unknown number."""
    connections: Maybe[Whole] = UNSET
    """count: attempts at a connection to subscribe."""
    connections_failed: Maybe[Whole] = UNSET
    """count: attempts at any connection whose outcome is a failure."""
    sends: Maybe[Whole] = UNSET
    """count: messages planned by senders in the window."""
    sends_unsaid: Maybe[Whole] = UNSET
    """count: of these, not sent."""
    sends_lost: Maybe[Whole] = UNSET
    """count: never played, sent or not."""
    sends_refused: Maybe[Whole] = UNSET
    """count: refused by the server."""
    sends_unknown: Maybe[Whole] = UNSET
    """count: played without a planned send."""
    visits: Maybe[Whole] = UNSET
    """count: visits that were to begin in the window ([churn])."""
    visits_expected: Maybe[Whole] = UNSET
    """count: messages of the window that visitors had to have, each by its own span."""
    visits_delivered: Maybe[Whole] = UNSET
    """count: of these, those that arrived."""
    visits_lost: Maybe[Whole] = UNSET
    """count: of these, those that never arrived."""
    visits_duplicated: Maybe[Whole] = UNSET
    """count: arrivals beyond the first."""
    visits_reordered: Maybe[Whole] = UNSET
    """count: first arrivals after a higher number."""
    visits_corrupted: Maybe[Whole] = UNSET
    """count: arrivals with other bytes than the tick's, or with an unknown number."""
    visits_undecided: Maybe[Whole] = UNSET
    """count: due before a visitor left, and maybe on the way then."""


class Process(Record, frozen=True, kw_only=True):
    """A process (or the machine) and its counters, cumulative, at the window's edges; -1: could not be read.

    What a publisher, a server or a proxy says of itself stands beside them as free keys.
    """

    pid: Maybe[Whole] = UNSET
    """number: of the process."""
    pids: Maybe[list[Whole]] = UNSET
    """number: of the load processes."""
    cores: Maybe[list[Whole]] = UNSET
    """number: cpus that it may run on."""
    workers: Maybe[Whole] = UNSET
    """count: load processes."""
    refused: Maybe[dict[str, Whole]] = UNSET
    """count: clients refused by the server, by the key of the bound in [server]; `origin`, `frames`."""
    cpu_ns_at_start: Maybe[Whole] = UNSET
    """total: processor time of the whole tree, all threads."""
    cpu_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    run_delay_ns_at_start: Maybe[Whole] = UNSET
    """total: ready to run, without a core."""
    run_delay_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    cores_running_ns_at_start: Maybe[Whole] = UNSET
    """total: any task of the machine ran on its cores (the server). Where the kernel does not count it: at most so
    long, from the tasks that may run there."""
    cores_running_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    kept_ns_at_start: Maybe[Whole] = UNSET
    """total: threads of it (the server and its proxy) were ready and none ran, as PSI counts; -1: not known."""
    kept_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    read_ns_at_start: Maybe[Whole] = UNSET
    """instant: when the last of its counters was read."""
    read_ns_at_end: Maybe[Whole] = UNSET
    """instant: the same."""
    busy_ns_at_start: Maybe[Whole] = UNSET
    """total: all cores not idle (the machine)."""
    busy_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    steal_ns_at_start: Maybe[Whole] = UNSET
    """total: taken by the host (the machine)."""
    steal_ns_at_end: Maybe[Whole] = UNSET
    """total: the same."""
    throttles_at_start: Maybe[Whole] = UNSET
    """count: times that a core was throttled for heat (the machine)."""
    throttles_at_end: Maybe[Whole] = UNSET
    """count: the same."""
    descriptors_at_start: Maybe[Whole] = UNSET
    """count: open file descriptors of the whole tree (the server, the load processes)."""
    descriptors_at_end: Maybe[Whole] = UNSET
    """count: the same."""
    memory_bytes: Maybe[Whole] = UNSET
    """bytes: proportional set size after the window."""
    largest_memory_bytes: Maybe[Whole] = UNSET
    """bytes: the same of the largest load process."""
    descriptors_share: Maybe[Number] = UNSET
    """share: of the file descriptors that it may have."""
    ports_share: Maybe[Number] = UNSET
    """share: of the ephemeral ports."""
    decode_cpu_ns: Maybe[Whole] = UNSET
    """duration: processor time that decoding took."""
    decode_cpu_ns_in_window: Maybe[Whole] = UNSET
    """duration: of that, inside the window."""
    hub_lag_p50_ns: Maybe[Whole] = UNSET
    """duration: event-loop lag, median."""
    hub_lag_p99_ns: Maybe[Whole] = UNSET
    """duration: 99th percentile."""
    hub_lag_max_ns: Maybe[Whole] = UNSET
    """duration: maximum."""


class Event(Record, frozen=True, kw_only=True):
    """What was stopped, killed, starved or cut, and when it really was (CLOCK_MONOTONIC)."""

    do: str
    """`stop`, `kill`, `starve` or `cut`."""
    what: str
    """What it was done to: `server`, `publisher`, `load`, `connections`."""
    planned_s: Maybe[Number] = UNSET
    """seconds: planned, from the window's start."""
    began_ns: Whole
    """instant: when it really began."""
    ended_ns: Whole
    """instant: when it was over."""
    count: Maybe[Whole] = UNSET
    """count: connections that a storm cut."""


class Steadiness(Record, frozen=True, kw_only=True):
    """The drift tests of the window (R14): of latency, and of CPU a message; empty when the trial was not asked."""

    drift_share: Maybe[Number] = UNSET
    """share: fitted change of the median latency over the window, by its mean."""
    p: Maybe[Number] = UNSET
    """number: of no drift."""
    batches: Maybe[Whole] = UNSET
    """count: batches of the window that had messages."""
    server_cpu_drift_share: Maybe[Number] = UNSET
    """share: fitted change of the server's CPU a message over the window, by its mean."""
    server_cpu_p: Maybe[Number] = UNSET
    """number: of no drift in it."""
    client_cpu_drift_share: Maybe[Number] = UNSET
    """share: the same of the load processes."""
    client_cpu_p: Maybe[Number] = UNSET
    """number: of no drift in it."""


class Half(Record, frozen=True, kw_only=True):
    """Figures of a half of the window; null: not known. Latency is of what was due in it, CPU of what arrived in it."""

    latency_kernel_p50_ns: Maybe[Number] = UNSET
    """duration: median latency by the kernel's stamp."""
    latency_app_p50_ns: Maybe[Number] = UNSET
    """duration: median latency by the application's stamp."""
    server_cpu_ns_per_message: Maybe[Number] = UNSET
    """duration: the server's CPU a message."""
    client_cpu_ns_per_message: Maybe[Number] = UNSET
    """duration: the load processes' CPU a message."""


class Rung(Record, frozen=True, kw_only=True):
    """What was read at one count of connections; bytes, -1: could not be read."""

    connections: Whole
    """count: connections at this rung."""
    idle_cpu_ns_per_second: Number
    """number: processor time of the idle server, ns a second."""
    server_idle: Whole
    """bytes: proportional set size of the server, idle."""
    kernel_idle: Whole
    """bytes: slab and socket buffers, idle."""
    server_streaming: Whole
    """bytes: proportional set size, streaming."""
    kernel_streaming: Whole
    """bytes: slab and socket buffers, streaming."""


class Ladder(Record, frozen=True, kw_only=True):
    """The rungs and the slopes of the straight lines over them. Empty: no ladder.

    `…_half_interval`: half of a slope's 95 % t-interval. `…_curved_p`: p of the quadratic term's t-test, of there being
    no bend; only with four rungs or more.
    """

    rungs: Maybe[list[Rung]] = UNSET
    """What was read."""
    tidied: Maybe[str] = UNSET
    """What the server does to tidy up before a reading."""
    server_idle_bytes_per_connection: Maybe[Number] = UNSET
    """number: bytes a connection, server, idle."""
    server_idle_bytes_per_connection_half_interval: Maybe[Number] = UNSET
    """number: half of its interval."""
    server_idle_bytes_per_connection_curved_p: Maybe[Number] = UNSET
    """number: of no bend."""
    server_bytes_per_connection: Maybe[Number] = UNSET
    """number: bytes a connection, server, streaming."""
    server_bytes_per_connection_half_interval: Maybe[Number] = UNSET
    """number: half of its interval."""
    server_bytes_per_connection_curved_p: Maybe[Number] = UNSET
    """number: of no bend."""
    kernel_idle_bytes_per_connection: Maybe[Number] = UNSET
    """number: bytes a connection, kernel, idle, both ends."""
    kernel_idle_bytes_per_connection_half_interval: Maybe[Number] = UNSET
    """number: half of its interval."""
    kernel_idle_bytes_per_connection_curved_p: Maybe[Number] = UNSET
    """number: of no bend."""
    kernel_bytes_per_connection: Maybe[Number] = UNSET
    """number: bytes a connection, kernel, streaming, both ends."""
    kernel_bytes_per_connection_half_interval: Maybe[Number] = UNSET
    """number: half of its interval."""
    kernel_bytes_per_connection_curved_p: Maybe[Number] = UNSET
    """number: of no bend."""


class Idle(Record, frozen=True, kw_only=True):
    """CPU of a server whose connections are idle, as the slope of a line over the rungs. Empty: no ladder."""

    cpu_ns_per_connection_second: Maybe[Number] = UNSET
    """number: slope, ns a second and connection."""
    cpu_ns_per_connection_second_half_interval: Maybe[Number] = UNSET
    """number: half of its 95 % interval."""
    cpu_ns_per_connection_second_curved_p: Maybe[Number] = UNSET
    """number: of no bend, as in `memory`."""


class Silence(Record, frozen=True, kw_only=True):
    """`[idle]`: what became of connections on which no message was sent. Empty: the scenario has none.

    Times are from the subscription (the response's first byte, the median of the subscribers) on.
    """

    minutes: Maybe[Number] = UNSET
    """number: length of the silence, minutes."""
    heartbeat_s: Maybe[Number] = UNSET
    """seconds: between two heartbeats."""
    heartbeats: Maybe[Whole] = UNSET
    """count: heartbeats that subscribers got; 0 for a transport without any."""
    connections: Maybe[Whole] = UNSET
    """count: subscribers' connections when the silence began."""
    cut: Maybe[Whole] = UNSET
    """count: of these, those that ended before the silence did."""
    cut_after_s: Maybe[list[Number]] = UNSET
    """seconds: shortest, median and longest life of these; empty: none was cut."""
    outcomes: Maybe[dict[str, Whole]] = UNSET
    """count: of these, by how the subscriber saw the end."""
    server_connections: Maybe[Whole] = UNSET
    """count: the server's connections when the silence began; behind a proxy they are the proxy's."""
    server_left: Maybe[Whole] = UNSET
    """count: of these, those that the server had closed before the silence ended."""
    server_left_after_s: Maybe[list[Number]] = UNSET
    """seconds: shortest, median and longest life of these, to the second; empty: none."""
    server_half_closed: Maybe[Whole] = UNSET
    """count: of the server's connections, those whose peer had closed and that the server kept (CLOSE_WAIT)."""


class Handshakes(Record, frozen=True, kw_only=True):
    """TLS handshakes before the ramp, by connections that ask nothing; empty: none were made."""

    full: Maybe[Whole] = UNSET
    """count: connections with a full handshake."""
    full_cpu_ns: Maybe[Whole] = UNSET
    """duration: processor time of the process that speaks TLS, over all of them."""
    resumed: Maybe[Whole] = UNSET
    """count: of as many connections more, those that resumed a session; 0: the server gave out none."""
    resumed_cpu_ns: Maybe[Whole] = UNSET
    """duration: the same over these."""


class Tls(Record, frozen=True, kw_only=True):
    """What TLS negotiated on the load's connections. Empty: cleartext."""

    version: Maybe[str] = UNSET
    """The version that the scenario asks for; empty: as the server has it."""
    negotiated: Maybe[dict[str, Whole]] = UNSET
    """count: connections by version and cipher suite."""
    resumed: Maybe[Whole] = UNSET
    """count: of all connections, those that resumed a session."""
    plaintext_bytes: Maybe[Whole] = UNSET
    """bytes: plaintext of what was read in the window."""
    handshakes: Maybe[Handshakes] = UNSET
    """Handshakes apart from the load."""


class Way(Record, frozen=True, kw_only=True):
    """One direction of the network between server and load, over the window. Packets are IP packets."""

    packets: Whole
    """count: packets that the router got."""
    bytes: Whole
    """bytes: their bytes, with their IP heads."""
    forwarded: Whole
    """count: packets that the other end got."""
    lost: Whole
    """count: packets that were lost, as asked."""
    queue_full: Whole
    """count: packets that found the link's queue full."""
    own_drops: Whole
    """count: packets that the router dropped without being asked to; any makes the trial invalid."""
    queued_max_ns: Whole
    """duration: the longest wait for the link, since the trial began."""


class Impairment(Record, frozen=True, kw_only=True):
    """[network]: what was asked, and what the router counted over the window. Empty: no router."""

    delay_ms: Maybe[Number] = UNSET
    """number: asked: milliseconds one way."""
    jitter_ms: Maybe[Number] = UNSET
    """number: asked: milliseconds more or less at most."""
    loss: Maybe[Number] = UNSET
    """share: asked: of the packets of each direction."""
    rate_mbit: Maybe[Number] = UNSET
    """number: asked: megabits a second of each direction; 0: no limit."""
    queue_ms: Maybe[Number] = UNSET
    """number: asked: the longest wait for the link, milliseconds."""
    up_delay_ms: Maybe[Number] = UNSET
    """number: asked: one way to the server, where the directions differ."""
    up_jitter_ms: Maybe[Number] = UNSET
    """number: the same."""
    up_loss: Maybe[Number] = UNSET
    """share: the same."""
    up_rate_mbit: Maybe[Number] = UNSET
    """number: the same."""
    up_queue_ms: Maybe[Number] = UNSET
    """number: the same."""
    down: Maybe[Way] = UNSET
    """From the server to the load."""
    up: Maybe[Way] = UNSET
    """From the load to the server."""
    late_p50_ns: Maybe[Whole] = UNSET
    """duration: how much later than planned the router passed packets on, median, to 5 µs."""
    late_p99_ns: Maybe[Whole] = UNSET
    """duration: 99th percentile; 20 ms: that or more."""
    late_max_ns: Maybe[Whole] = UNSET
    """duration: maximum."""


class File(Record, frozen=True, kw_only=True):
    """A file of the trial as it was written."""

    bytes: Maybe[Whole] = UNSET
    """bytes: its size."""
    sha256: str
    """SHA-256, hexadecimal."""


class Manifest(Record, frozen=True, kw_only=True):
    """manifest.json. `processes`: server, publisher, load, machine, maybe proxy, router; `audit`: a kind to examples of
    (subscriber, seq); `fairness`: what the server says that it uses; `halves`: of the window, the first one first;
    `files`: by name."""

    schema: int
    """number: of the folder's format."""
    trial: Maybe[Place] = UNSET
    """number: as in campaign.json."""
    subject: Maybe[str] = UNSET
    """The subject's name."""
    transport: Maybe[str] = UNSET
    """As in campaign.json, and so for the next five."""
    stack: Maybe[str] = UNSET
    """The software."""
    arm: Maybe[str] = UNSET
    """The arm."""
    technique: Maybe[str] = UNSET
    """How it writes to many connections."""
    carries_id: Maybe[str] = UNSET
    """Where a message's id is."""
    proxy: Maybe[str] = UNSET
    """The proxy before it; empty: none."""
    block: Maybe[Place] = UNSET
    """number: from 1."""
    position: Maybe[Place] = UNSET
    """number: its place in the block, from 1."""
    seed: Maybe[Whole] = UNSET
    """number: what the payloads are drawn from."""
    scenario_hash: Maybe[str] = UNSET
    """The scenario's, as in campaign.json."""
    cell: Maybe[Cell] = UNSET
    """What the sweep sets for it."""
    window: Maybe[Window] = UNSET
    """The part that counts; a tick belongs to it by its `due_ns`."""
    clocks: Maybe[Clocks] = UNSET
    """Both clocks, side by side."""
    status: Maybe[Status] = UNSET
    """As in campaign.json."""
    reasons: Maybe[list[Reason]] = UNSET
    """Why it is not `ok`."""
    warnings: Maybe[list[Reason]] = UNSET
    """What to know of it; spoils nothing."""
    counts: Maybe[Counts] = UNSET
    """The audit over the window, and connections."""
    audit: Maybe[dict[str, list[tuple[Whole, Whole]]]] = UNSET
    """`lost`, `duplicated`, `reordered`, `corrupted` to the first few [subscriber, seq]."""
    processes: Maybe[dict[str, Process]] = UNSET
    """`server`, `publisher`, `load`, `machine`, maybe `proxy`, `router`."""
    network: Maybe[dict[str, Whole]] = UNSET
    """count: kernel counters of both ends: `listen_overflows`, `listen_drops`, `retransmits`, `segments`,
    `buffer_overruns`, each with `_begin` (of the trial), `_at_start`, `_at_end` (of the window), `_end`."""
    bytes: Maybe[dict[str, Whole]] = UNSET
    """bytes: of the window: `payload`, `tcp_down`, `tcp_up`; `messages_in_window` is a count; with a network of its
    own `wire_bytes_at_start`, `wire_bytes_at_end`, totals of the interface."""
    fairness: Maybe[dict[str, Any]] = UNSET
    """What the server uses, by its own word, and `observed` on its sockets."""
    timeline: Maybe[dict[str, Whole]] = UNSET
    """instant: `started_ns`, `ready_ns`, `subscribed_ns`, `window_start_ns`, `window_end_ns`, `finish_ns`,
    `closed_ns`."""
    due: Maybe[str] = UNSET
    """Where due times come from: `publisher`, `plan`, `payload` or `unknown`."""
    unknown: Maybe[list[str]] = UNSET
    """Patterns of metrics that cannot be known of this subject."""
    events: Maybe[list[Event]] = UNSET
    """What was done to it on purpose."""
    faults: Maybe[dict[str, Any]] = UNSET
    """`[faults]` of the scenario."""
    steadiness: Maybe[Steadiness] = UNSET
    """The drift tests."""
    tls: Maybe[Tls] = UNSET
    """TLS between the clients and the server, or the proxy before it."""
    impairment: Maybe[Impairment] = UNSET
    """The network between server and load ([network])."""
    halves: Maybe[list[Half]] = UNSET
    """Figures of the window's first and second half."""
    memory: Maybe[Ladder] = UNSET
    """The memory ladder."""
    idle: Maybe[Idle] = UNSET
    """Idle connections on the ladder."""
    silence: Maybe[Silence] = UNSET
    """What became of idle connections ([idle])."""
    controls: Maybe[dict[str, Whole]] = UNSET
    """count: what else subscribers got, by kind: `heartbeat`, `gap`, `retry`, `failure`, `end`, `other`."""
    environment: Maybe[dict[str, Any]] = UNSET
    """As in campaign.json."""
    files: Maybe[dict[str, File]] = UNSET
    """Size and checksum of each file beside the manifest."""


def load(file: Path) -> Manifest:
    """The manifest in `file`. Raises ResultsError that names the file and the key."""
    found = record.load(Manifest, file)
    if found.window and found.window.start_ns > found.window.end_ns:
        raise ResultsError(f"{file}: its window ends before it starts", DAMAGED)
    return found
