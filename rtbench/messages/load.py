"""The messages between a trial and a load process.

    trial: Ramp, again with a higher count for a ladder    load: Subscribed whenever its numbers changed
    trial: Window                                          load: WindowClosed, once the counters are read
    trial: Finish                                          load: Finished; then the trial closes the socket

The load process sends Hello first. It sends Failure instead of an answer if it cannot continue.
"""

from __future__ import annotations

from msgspec import field

from rtbench.messages.lines import Message, Reader


class ReconnectPolicy(Message, frozen=True):
    """The scenario's [reconnect] table (`loadtests/reconnect_policy.py`)."""

    eventsource_s: float = 3.0
    backoff_s: float = 0.5
    backoff_most_s: float = 10.0
    seed: int = 1
    policy: str = "usual"


class StormSettings(Message, frozen=True):
    """The scenario's [storm]; `at_s` 0: none. `subscribers`: the sum over all load processes."""

    at_s: float = 0.0
    cut: float = 1.0
    subscribers: int = 1


class ChurnSettings(Message, frozen=True):
    """The scenario's [churn] and the inputs of its visits (`rtbench.scenario.visits`); `rate_hz` 0: none.

    `first`: the number of the first visitor, which is the number of subscribers that stay. `patience_s`: how late a
    message may come and still be in time. A load process plays the visits whose number is `worker` modulo `workers`.
    """

    rate_hz: float = 0.0
    stay_s: float = 10.0
    window_s: float = 0.0
    lead_s: float = 0.0
    patience_s: float = 1.5
    seed: int = 1
    first: int = 0
    worker: int = 0
    workers: int = 1


class ChatSettings(Message, frozen=True):
    """The scenario's [chat] and the inputs of its messages. `subscribers`: the sum over all load processes."""

    senders: int = 0
    rate_hz: float = 1.0
    subscribers: int = 1
    seed: int = 1
    epoch_s: int = 0


class LoadSettings(Message, frozen=True):
    """The task of a load process. The defaults serve Locust's own run, without a trial."""

    streams: tuple[str, ...] = ("fanout",)
    unicast: bool = False
    poll_interval_s: float = 1.0
    long_timeout_s: float = 25.0
    capture_bytes: int = 32 * 2**20
    long: bool = False
    """The trial reads more than that."""
    path: str = ""
    """The path to subscribe to (`rtbench.subjects.Subject.template`); empty: the contract's path of the transport."""
    codec: str = ""
    carries_id: str = "protocol"
    payload: str = ""
    """Where a message has what was published (`rtbench.subjects.Subject`); empty: all of it."""
    headers: dict[str, str] = field(default_factory=dict)
    subprotocol: str = ""
    greeting: tuple[str, ...] = ()
    compression: str = "none"
    """The coding that subscribers offer (the scenario's `compression`)."""
    tls_ca: str = ""
    due: str = ""
    """The place of the due time in payloads (`rtbench.subjects.Subject`)."""
    reconnect_policy: ReconnectPolicy = ReconnectPolicy()
    chat: ChatSettings = ChatSettings()
    storm: StormSettings = StormSettings()
    churn: ChurnSettings = ChurnSettings()
    deaf: int = 0
    """The number of subscribers that stop reading when the window opens (`[faults] deaf`)."""
    library: str = ""
    """The compiled inner loop (`rtbench.machine.inner_loop.library`); empty: the Python one."""
    heartbeat_s: float = 0.0
    """The heartbeat period of a push connection. After two silent periods its server is gone. 0: not known."""
    streams_per_connection: int = 0
    """How many subscribers share a connection of HTTP/2; 0: HTTP/1.1, a connection each."""
    spill: str = ""
    """The folder for rows that no longer fit into memory; empty: they all do."""

    @property
    def poll_interval_ns(self) -> int:
        """`poll_interval_s` in nanoseconds."""
        return int(self.poll_interval_s * 1e9)


class LoadStart(Message, frozen=True):
    """The start of a load process (RTBENCH_TRIAL): its control socket's path, its first subscriber's number."""

    control: str
    first: int
    settings: LoadSettings


class Ramp(Message, frozen=True, tag_field="do", tag="ramp"):
    """Let the first `count` subscribers connect to `host`, from `start_ns` on (CLOCK_MONOTONIC), at `ramp_hz`."""

    host: str
    start_ns: int
    ramp_hz: float
    count: int


class Window(Message, frozen=True, tag_field="do", tag="window"):
    """The window's edges (CLOCK_MONOTONIC)."""

    start_ns: int
    end_ns: int


class Finish(Message, frozen=True, tag_field="do", tag="finish"):
    """Decode, write the tables into `folder` with `suffix` in their names (`polling`: requests too), and report."""

    folder: str
    suffix: str
    polling: bool


class Hello(Message, frozen=True, tag_field="say", tag="hello"):
    """The load process is up."""

    pid: int


class Subscribed(Message, frozen=True, tag_field="say", tag="subscribed"):
    """The numbers of subscribed subscribers, of failed attempts by outcome, and of subscribers that gave up."""

    subscribed: int
    failed: dict[str, int]
    given_up: int


class WindowClosed(Message, frozen=True, tag_field="say", tag="window-closed"):
    """The counters at the window's end are read."""


class Edge(Message, frozen=True):
    """A load process's own counters at an edge of the window; `read_ns`: when they were read (CLOCK_MONOTONIC)."""

    read_ns: int
    cpu_ns: int
    run_delay_ns: int
    """The time that its main thread waited for its core; -1 if the kernel does not count it."""
    decode_cpu_ns: int


class TlsCounts(Message, frozen=True):
    """TLS connections by `VERSION CIPHER`; of these, those that resumed a session; plaintext read in the window."""

    negotiated: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    plaintext_bytes: int = 0


class Cut(Message, frozen=True):
    """What a storm cut in a load process: when the first and the last connection were reset, and how many."""

    began_ns: int
    ended_ns: int
    connections: int


class LoadReport(Message, frozen=True):
    """The report of a load process on itself and on what it read."""

    pid: int
    at_start: Edge
    at_end: Edge
    decode_cpu_ns: int
    captured_bytes: int
    clock_pairs: tuple[tuple[int, int], ...]
    """CLOCK_MONOTONIC and CLOCK_REALTIME, read together (R2)."""
    hub_lag: tuple[tuple[int, int], ...]
    """The due time of each event-loop probe (CLOCK_MONOTONIC) and its lag in nanoseconds (R13)."""
    controls: dict[str, int]
    faults: tuple[str, ...]
    """The first breaches of the wire protocol, as text."""
    response_headers: dict[str, str]
    """The headers of the first response (R11)."""
    due: tuple[tuple[int, int, int], ...]
    """Channel, id and the due time (Unix nanoseconds) in the payload."""
    failed: dict[str, int]
    tls: TlsCounts = TlsCounts()
    cut: Cut | None = None
    """None without a storm."""


class Finished(Message, frozen=True, tag_field="say", tag="finished"):
    """Everything is written."""

    report: LoadReport


class Failure(Message, frozen=True, tag_field="say", tag="failure"):
    """The load process cannot continue: why, and what to do."""

    error: str
    remedy: str


Command = Ramp | Window | Finish
Answer = Hello | Subscribed | WindowClosed | Finished | Failure

START: Reader[LoadStart] = Reader(LoadStart)
COMMAND: Reader[Command] = Reader(Command)
ANSWER: Reader[Answer] = Reader(Answer)
