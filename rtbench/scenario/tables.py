"""The tables of a scenario and the rule of each key: a type, a test, and the words for both.

Invariant: a field's metadata holds its rule (`rule`) or its rows' class (`rows`); a field with neither is a table. A
new key is one line here. Called by `rtbench.scenario.loading`, which reads TOML into these tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtbench.errors import ScenarioError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_ORIGIN = re.compile(r"\*|https?://[^/\s]+")
_CPU_LIST = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a key: a type, a test, and the words for both (`allowed`)."""

    kind: type
    allowed: str
    accepts: Callable[[Any], bool]

    def check(self, value: Any, name: str, source: str) -> Any:
        """The value; an int becomes a float where a float is expected. Raises ScenarioError."""
        if self.kind is float and type(value) is int:
            value = float(value)
        # Not isinstance: it accepts a bool as an int (`blocks = true`).
        if (type(value) is not self.kind and self.kind is not object) or not self.accepts(value):
            raise ScenarioError(f"{source}: {name} = {json.dumps(value, default=str)}", self.allowed)
        return value


def number(kind: type, low: float, high: float, unit: str = "") -> Rule:
    allowed = f"expected {'an integer' if kind is int else 'a number'} from {low:g} to {high:g}{unit}"
    return Rule(kind, allowed, lambda value: low <= value <= high)


def choice(*names: str) -> Rule:
    return Rule(str, f"expected one of {', '.join(names)}", lambda value: value in names)


def flag() -> Rule:
    return Rule(bool, "expected true or false", lambda _: True)


def tls() -> Rule:
    return Rule(object, 'expected true (TLS 1.3), "1.2" or false', lambda v: v is True or v is False or v == "1.2")


def words(allowed: str = "expected a string of one line") -> Rule:
    return Rule(str, allowed, lambda value: "\n" not in value)


def ruled(rule: Rule, default: Any) -> Any:
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata={"rule": rule})
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, slots=True)
class ServerTable:
    """[server]: settings that are the same for every subject (R11)."""

    heartbeat_s: float = ruled(number(float, 0.1, 3600, " seconds"), 15.0)
    """The time between two heartbeats on a push connection; some streams have their own."""
    ring_messages: int = ruled(number(int, 1, 10_000_000, ", messages kept for a channel"), 1000)
    """How many messages of a channel a server keeps for clients that reconnect."""
    ring_bytes: int = ruled(number(int, 1024, 2**34, ", bytes kept over all channels"), 64 * 2**20)
    """How many bytes of messages a server keeps, over all channels."""
    buffer_bytes: int = ruled(number(int, 4096, 2**30, ", bytes buffered for one slow consumer"), 1024 * 1024)
    """What one connection may hold unsent. A server drops a connection that would hold more."""
    loop: str = ruled(choice("uvloop", "asyncio"), "uvloop")
    """The event loop of our servers."""
    host: str = ruled(choice("127.0.0.1", "::1"), "127.0.0.1")
    """The address on which servers listen."""
    connections: int = ruled(number(int, 1, 10_000_000, " connections"), 25_000)
    """How many connections a server holds at once. It refuses more."""
    connections_by_peer: int = ruled(number(int, 1, 10_000_000, " connections from one address"), 25_000)
    """How many of them may come from one address."""
    head_bytes: int = ruled(number(int, 256, 2**20, " bytes"), 16 * 1024)
    """The longest head of a request, with its request line."""
    head_s: float = ruled(number(float, 0.1, 3600, " seconds"), 10.0)
    """How long a client may take to send the head of a request."""
    idle_s: float = ruled(number(float, 0.1, 86_400, " seconds between two requests"), 3600.0)
    """How long a kept-alive connection may wait for its next request."""
    message_bytes: int = ruled(number(int, 125, 2**24, " bytes"), 64 * 1024)
    """The longest message of a client: the body of a POST, or a WebSocket message with all its fragments."""
    publishes_hz: float = ruled(number(float, 0.1, 1_000_000, " messages a second from one address"), 1000.0)
    """How many messages a second a server takes from one address; on one WebSocket also how many frames, pings too."""
    requests_hz: float = ruled(number(float, 1, 10_000_000, " requests a second from one address"), 25_000.0)
    """How many requests and new connections a second a server takes from one address, and as many at once."""
    pipelined: int = ruled(number(int, 1, 10_000, " requests at once"), 16)
    """How many requests a client may send on one connection before it has their answers."""
    allow_origin: tuple[str, ...] = ruled(
        Rule(
            list,
            'expected a list of origins such as "https://example.org", or "*"',
            lambda v: all(type(item) is str and bool(_ORIGIN.fullmatch(item)) for item in v),
        ),
        [],
    )
    """Origins of other sites whose pages may open WebSockets, POST and read answers (CORS). Empty: none."""


def _cpus() -> Rule:
    allowed = "expected a list of cpus in the kernel's format, such as 0-2,5; empty: rtbench chooses"
    return Rule(str, allowed, lambda value: not value or bool(_CPU_LIST.fullmatch(value)))


@dataclass(frozen=True, slots=True)
class PlaceTable:
    """[place]: the cpus of the server, the load processes and the publisher; empty: rtbench chooses (R11)."""

    server: str = ruled(_cpus(), "")
    """The cpus of the server."""
    load: str = ruled(_cpus(), "")
    """The cpus of the load processes."""
    publisher: str = ruled(_cpus(), "")
    """The cpus of the publisher."""


@dataclass(frozen=True, slots=True)
class EquivalenceTable:
    """[equivalence]: the largest distance of a ratio from 1 that counts as equivalent, declared beforehand (R8)."""

    margin: float = ruled(number(float, 0.001, 1, ": 0.05 is a ratio between 1/1.05 and 1.05"), 0.05)
    """The share within which two subjects are called equivalent."""


@dataclass(frozen=True, slots=True)
class WorkloadTable:
    """[workload]: pace, size or source of the streams that do not define their own."""

    channels: str = ruled(choice("broadcast", "unicast"), "broadcast")
    """`broadcast`: all subscribers share one channel. `unicast`: each subscriber has a channel of its own (`fanout`).
    """
    rate_hz: float = ruled(number(float, 0.001, 100_000, " messages a second and channel"), 5.0)
    """Messages a second on each channel (`fanout`)."""
    payload_bytes: int = ruled(number(int, 1, 2**20, " bytes"), 150)
    """The length of a payload (`fanout`)."""
    arrival: str = ruled(choice("constant", "poisson"), "constant")
    """The gaps between messages: all alike, or exponential (`fanout`)."""
    payload: str = ruled(choice("random", "json"), "random")
    """`random`: seeded letters, which compress badly. `json`: documents that compress like a feed of quotes (`fanout`).
    """
    real: bool = ruled(flag(), False)
    """This machine's figures instead of simulated ones (`metrics`)."""
    trace: str = ruled(words("expected the path of a trace file"), "")
    """The file of the traffic to replay, a line of JSON for each message: `{"offset_ns": N, "payload": "TEXT"}`
    (`replay`).
    """
    data_heartbeat: bool = ruled(flag(), False)
    """Also send the article's own heartbeat, which is a message (`production`)."""


@dataclass(frozen=True, slots=True)
class PollTable:
    """[poll]: the interval of short polls, the timeout of long polls."""

    interval_s: float = ruled(number(float, 0.01, 3600, " seconds"), 1.0)
    """The time between two requests of a short poll."""
    long_timeout_s: float = ruled(number(float, 0.1, 300, " seconds"), 25.0)
    """How long a long poll waits for a message."""


@dataclass(frozen=True, slots=True)
class Http2Table:
    """[http2]: HTTP/2 to the clients, and how many of them share a connection (loadtests/reactor/http2.py)."""

    streams_per_connection: int = ruled(number(int, 0, 10_000, " streams; 0: HTTP/1.1"), 0)
    """How many subscribers share a connection of HTTP/2, each with a stream of its own. 0: HTTP/1.1, a connection each.
    """


@dataclass(frozen=True, slots=True)
class ReconnectTable:
    """[reconnect]: each transport's usual reconnect policy (loadtests/reconnect_policy.py)."""

    eventsource_s: float = ruled(number(float, 0.01, 600, " seconds, without a retry field"), 3.0)
    """How long an EventSource waits before it reconnects, unless the server sent `retry`."""
    backoff_s: float = ruled(number(float, 0.01, 600, " seconds, the first backoff at most"), 0.5)
    """The longest first wait of WebSocket and polls; later ones double, with full jitter."""
    backoff_most_s: float = ruled(number(float, 0.01, 600, " seconds, any backoff at most"), 10.0)
    """The longest wait of WebSocket and polls."""
    policy: str = ruled(choice("usual", "retry", "backoff", "jitter", "at-once"), "usual")
    """When a subscriber reconnects. `usual`: as its transport's clients do (`retry` for SSE, `jitter` for the others).
    `retry`: after `eventsource_s`, or the server's `retry`. `backoff`: after exactly `backoff_s`, doubled with each
    failure. `jitter`: after a random part of that. `at-once`: without a wait, then as `backoff`.
    """


@dataclass(frozen=True, slots=True)
class ValidityTable:
    """[validity]: the limits of R13 (docs/explanation/validity.md). A trial beyond one is invalid for its metrics."""

    client_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the load generator's core"), 0.75)
    """The load process's time on its core. More spoils latency and cost."""
    run_delay_share: float = ruled(number(float, 0, 1, ", share of the window spent waiting for the core"), 0.02)
    """The share of the window in which the load process was ready to run and waited. More spoils cost and tails."""
    hub_lag_s: float = ruled(number(float, 0, 60, " seconds of the load process's event-loop lag at p99"), 0.02)
    """The event-loop lag of the load process: a 10 ms timer, late at p99. More spoils application latency."""
    server_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the server's core: a finding"), 0.9)
    """The server's time on its core. More is a finding about the subject; it spoils nothing."""
    server_run_delay_share: float = ruled(number(float, 0, 1, ", share of the window that the server waited"), 0.02)
    """The share of the window in which the server was ready to run and waited. More spoils cost and tails."""
    moved_share: float = ruled(number(float, 0, 1000, ", share by which a disturbance may have moved a metric"), 0.1)
    """How far waiting or late messages may have moved a latency, as a share of it."""
    steal_share: float = ruled(number(float, 0, 1, ", share of the machine's time that its host took"), 0.01)
    """The share of the machine's time that its host took. More spoils latency and cost."""
    throttle_events: int = ruled(number(int, 0, 10**9, " throttling events of a core"), 0)
    """How often a core was throttled. More spoils latency and cost."""
    publisher_late_s: float = ruled(number(float, 0, 60, " seconds after which a message counts as sent late"), 0.001)
    """The lag of the publisher from which a message counts as sent late."""
    router_late_s: float = ruled(
        number(float, 0, 60, " seconds by which the router of [network] is late at p99"), 0.001
    )
    """The lateness of the router of `[network]` at p99. More spoils latency and set-up times."""
    clock_step_s: float = ruled(number(float, 0, 1, " seconds by which the clocks moved apart"), 0.001)
    """A step of CLOCK_REALTIME against CLOCK_MONOTONIC. More spoils kernel latency."""
    stamped_share: float = ruled(number(float, 0, 1, ", share of messages with a kernel stamp of their own"), 0.5)
    """The least share of messages with a kernel stamp of their own. Less spoils kernel latency."""
    listen_overflows: int = ruled(number(int, 0, 10**9, " connection attempts with the backlog full"), 0)
    """How many connections found the backlog full. More spoils set-up times."""
    retransmit_share: float = ruled(number(float, 0, 1, ", share of segments retransmitted in the window"), 0.001)
    """The share of segments that were sent again. More spoils latency and wire bytes."""
    buffer_overruns: int = ruled(number(int, 0, 10**9, " overruns of a receive buffer"), 0)
    """How often a receive buffer was full. More spoils latency and wire bytes."""
    edge_share: float = ruled(number(float, 0, 1, ", share of messages by which late counters may differ"), 0.01)
    """The share of messages that fell between the window's edge and a late reading of a counter. More spoils cost and
    bytes.
    """
    descriptors_share: float = ruled(number(float, 0.01, 1, ", share of a process's limit of descriptors"), 0.95)
    """The share of its file descriptors that the load process used. More spoils set-up times."""
    ports_share: float = ruled(number(float, 0.01, 1, ", share of the local ports"), 0.9)
    """The share of the local ports that the load process used. More spoils set-up times."""
    drift_share: float = ruled(number(float, 0, 100, ", change of latency and CPU over the window (R14)"), 0.25)
    """How much latency or CPU may change over the window (R14). More marks the trial."""
    reruns: int = ruled(number(int, 0, 100, " reruns of a block with an invalid trial"), 0)
    """How many times a block with an invalid trial is run again."""
    rerun_s: float = ruled(number(float, 0, 86_400, " seconds for all reruns together"), 3600.0)
    """Within how much time, for all blocks together."""


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """[memory]: a ladder of connection counts, climbed before the window, to fit memory per connection (R4)."""

    ladder: tuple[int, ...] = ruled(
        Rule(
            list,
            "expected a list of rising numbers of subscribers, three or more",
            lambda v: not v or (len(v) > 2 and all(type(n) is int and n > 0 for n in v) and v == sorted(set(v))),
        ),
        [],
    )
    """The numbers of connections at which memory is read; the last is `subscribers`. Empty: memory is not measured."""
    idle_s: float = ruled(number(float, 0.1, 600, " seconds idle at each rung"), 2.0)
    """How long the connections are idle at each rung."""
    stream_s: float = ruled(number(float, 0.1, 600, " seconds streaming at each rung"), 2.0)
    """How long messages are sent at each rung."""


@dataclass(frozen=True, slots=True)
class IdleTable:
    """[idle]: nothing is sent for so long; the report shows which connections are cut, and which side notices."""

    minutes: float = ruled(number(float, 0, 15, " minutes; 0: messages are sent"), 0.0)
    """How long nothing is sent. It sets `window_s`, and the other keys so that nothing is due in it."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """A row of [faults] stop, kill or starve: its target, its start in the window, its length."""

    what: str = ruled(choice("server", "publisher", "load"), "server")
    """The process that is interrupted."""
    at_s: float = ruled(number(float, 0, 86_400, " seconds after the window's start"), 1.0)
    """When, after the start of the window."""
    for_s: float = ruled(number(float, 0.001, 3600, " seconds"), 0.5)
    """How long."""
    burn_s: float = ruled(number(float, 0.001, 60, " seconds burned in each every_s, for starve"), 0.03)
    """`starve`: for how long, of each `every_s`, another process takes the core."""
    every_s: float = ruled(number(float, 0.002, 60, " seconds"), 0.1)
    """`starve`: the period of that."""


@dataclass(frozen=True, slots=True)
class Injection:
    """A row of [faults] inject: a fault-injecting subject's effect on messages (servers/faulty/)."""

    do: str = ruled(
        choice("delay", "drop", "duplicate", "reorder", "corrupt", "stall", "work", "forget", "keep"), "delay"
    )
    """What happens to the messages. `forget`: a client that resumes does not get what it missed. `keep`: the server
    never lets a connection go.
    """
    subscribers: tuple[int, ...] = ruled(
        Rule(list, "expected a list of subscribers; empty: all", lambda v: all(type(n) is int and n >= 0 for n in v)),
        [],
    )
    """At which subscribers, numbered from 0."""
    every: int = ruled(number(int, 1, 10**9, ": one id in this many"), 1)
    """One message in so many, by its id."""
    of: int = ruled(number(int, 0, 10**9, ": those with id % every == of"), 0)
    """Which of these: the messages with `id % every == of`."""
    delay_s: float = ruled(number(float, 0, 60, " seconds, for delay, stall and work"), 0.0)
    """How long `delay` and `stall` take, and for how long `work` keeps the core busy with each write of a message."""

    def hits(self, subscriber: int, seq: int) -> bool:
        """Whether it applies to this message at this subscriber."""
        return seq % self.every == self.of and (not self.subscribers or subscriber in self.subscribers)


@dataclass(frozen=True, slots=True)
class FaultsTable:
    """[faults]: processes to stop (SIGSTOP), to kill (and restart) or to starve of their core; faults to inject.

    `deaf`: the number of subscribers of each load process that stop reading at the window's start, with small buffers.
    """

    deaf: int = ruled(number(int, 0, 100_000, " subscribers of each load process"), 0)
    """How many subscribers of each load process stop reading when the window opens."""

    stop: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    """Stops a process (SIGSTOP) and lets it go on."""
    kill: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    """Kills a process and starts it again."""
    starve: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    """Takes the core of a process for part of the time."""
    inject: tuple[Injection, ...] = field(default=(), metadata={"rows": Injection})
    """Spoils messages, in the fault-injecting subjects only (`NAME-faulty`)."""


@dataclass(frozen=True, slots=True)
class StormTable:
    """[storm]: connections that are reset at once in the window (loadtests/storm.py)."""

    at_s: float = ruled(number(float, 0, 86_400, " seconds after the window's start; 0: no storm"), 0.0)
    """When the connections are cut, after the start of the window. 0: no storm."""
    cut: float = ruled(number(float, 0.001, 1, ", share of the subscribers"), 1.0)
    """The share of the subscribers that are cut. The others show what a storm does to those that stay."""


@dataclass(frozen=True, slots=True)
class ChurnTable:
    """[churn]: visitors, which arrive and leave while `subscribers` stay (rtbench/scenario/visits.py)."""

    rate_hz: float = ruled(number(float, 0, 1000, " arrivals a second; 0: no churn"), 0.0)
    """How many visitors arrive each second, as a Poisson process. 0: no churn."""
    stay_s: float = ruled(number(float, 0.1, 3600, " seconds"), 10.0)
    """How long a visitor stays on average; each stay is drawn from an exponential distribution."""


NONE_PROFILE = "none"


@dataclass(frozen=True, slots=True)
class NetworkTable:
    """[network]: the network between server and subscribers (R18); needs root. A key that is missing is the profile's.

    A key counts in each direction by itself; its twin with `up_` replaces it in the direction to the server. Without
    any key server and load meet on loopback.
    """

    profile: str = ruled(choice(NONE_PROFILE, "lan", "wan", "mobile", "lossy", "satellite"), NONE_PROFILE)
    """Numbers by name ([networks](../howto/networks.md#profiles)); other keys of this table count before them."""
    delay_ms: float | None = ruled(number(float, 0, 10_000, " milliseconds"), None)
    """How long a packet takes one way. A round trip is twice that."""
    jitter_ms: float | None = ruled(number(float, 0, 10_000, " milliseconds, at most delay_ms"), None)
    """How much more or less it takes at most, evenly spread. The packets of a connection keep their order."""
    loss: float | None = ruled(number(float, 0, 1, ", share of the packets"), None)
    """The share of packets that are lost, each by itself."""
    rate_mbit: float | None = ruled(number(float, 0, 100_000, " megabits a second; 0: no limit"), None)
    """The rate of the one link that all subscribers share."""
    queue_ms: float | None = ruled(number(float, 0, 60_000, " milliseconds"), None)
    """How long a packet may wait for the link; one that would wait longer is dropped. With a rate alone: 100."""
    up_delay_ms: float | None = ruled(number(float, 0, 10_000, " milliseconds"), None)
    """`delay_ms` to the server, where that differs."""
    up_jitter_ms: float | None = ruled(number(float, 0, 10_000, " milliseconds, at most up_delay_ms"), None)
    """`jitter_ms` to the server."""
    up_loss: float | None = ruled(number(float, 0, 1, ", share of the packets"), None)
    """`loss` to the server."""
    up_rate_mbit: float | None = ruled(number(float, 0, 100_000, " megabits a second; 0: no limit"), None)
    """`rate_mbit` to the server."""
    up_queue_ms: float | None = ruled(number(float, 0, 60_000, " milliseconds"), None)
    """`queue_ms` to the server."""


@dataclass(frozen=True, slots=True)
class ChatTable:
    """[chat]: subscribers of `chat` that also send."""

    senders: int = ruled(number(int, 0, 100_000, " subscribers"), 0)
    """How many of the subscribers send messages, too."""
    rate_hz: float = ruled(number(float, 0.001, 1000, " messages a second and sender"), 1.0)
    """Messages a second that each of them sends."""


@dataclass(frozen=True, slots=True)
class SloTable:
    """[slo]: the service level that `rtbench capacity` looks for the end of (R19)."""

    latency_ms: float = ruled(number(float, 0.01, 3_600_000, " milliseconds"), 50.0)
    """The oldest that a message may be when the client has it."""
    quantile: float = ruled(number(float, 0.5, 1, ", share of the deliveries that are in time"), 0.99)
    """The share of all deliveries that are in time: the others are late or lost."""
    lost: float = ruled(number(float, 0, 1, ", share of the deliveries"), 0.0)
    """The share of deliveries that may be lost, of those that are not in time."""
    set_up_s: float = ruled(number(float, 0.001, 600, " seconds"), 10.0)
    """How long a subscriber may take from its first attempt to the first byte of a response."""


def thresholds() -> Rule:
    """[thresholds]: "SUBJECT.METRIC" = {max = …} or {min = …}; beyond one, the exit code is 1."""

    def limits(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and bool(value)
            and value.keys() <= {"max", "min"}
            and all(type(limit) in (int, float) for limit in value.values())
        )

    allowed = 'expected "SUBJECT.METRIC" = {max = NUMBER} or {min = NUMBER}'
    return Rule(dict, allowed, lambda v: all("." in key and limits(value) for key, value in v.items()))


def sweep() -> Rule:
    """[sweep]: KEY = [values]; each combination is a cell inside every block."""

    def lists(value: Any) -> bool:
        if isinstance(value, dict):
            return all(lists(inner) for inner in value.values())
        return isinstance(value, list) and bool(value)

    return Rule(dict, "expected a list of values for each key", lists)


def _texts(what: str) -> Rule:
    return Rule(list, f"expected a list of {what}", lambda v: all(type(item) is str for item in v))


def _pairs(what: str) -> Rule:
    return Rule(dict, f"expected a table of {what}", lambda v: all(type(item) is str for item in v.values()))


@dataclass(frozen=True, slots=True)
class SubjectTable:
    """[[subject]]: a server of the user's own, with the keys of `rtbench.subjects.Subject` and `Program`."""

    name: str = ruled(Rule(str, "expected a name of letters, digits, - and .", lambda v: bool(_NAME.fullmatch(v))), "")
    """The subject's name."""
    transport: str = ruled(words(), "")
    """`sse`, `websocket`, `short-poll` or `long-poll`."""
    stack: str = ruled(words(), "")
    """The library or server. Empty: `name`."""
    arm: str = ruled(words(), "idiomatic")
    """`controlled` (one stack for all transports) or `idiomatic` (the usual stack for this transport), R10."""
    technique: str = ruled(words(), "per-connection")
    """`encode-once` (the same bytes to every connection) or `per-connection` (the library's API for each), R11."""
    description: str = ruled(words(), "")
    """What it is, for the lists."""
    command: tuple[str, ...] = ruled(_texts("words, with {host}, {port}, {folder} and {feed} filled in"), [])
    """The words that start the server. With `tls`, {certificate} and {key} (PEM files) and {posts} (a port for posts in
    cleartext) are filled in, too.
    """
    url: str = ruled(words(), "")
    """The URL of a server that runs already. It takes the place of `command`."""
    ready: str = ruled(words(), "/")
    """The path that is asked until an answer comes; or `line`: the server prints one line of JSON, `{"url": …}`."""
    version: tuple[str, ...] = ruled(_texts("words"), [])
    """The words of a command that prints the server's version. The first line is recorded."""
    cwd: str = ruled(words(), "")
    """The folder in which `command` runs, from the folder of this file."""
    environment: dict[str, str] = ruled(_pairs("texts"), {})
    """Environment variables of `command`."""
    cgroup: str = ruled(words(), "")
    """The cgroup of a container. Its CPU and memory are counted, not those of the process tree."""
    tidy: int = ruled(number(int, 0, 64, ", the number of a signal"), 0)
    """The signal that makes the server collect its garbage before memory is read. 0: none."""
    publish: str = ruled(choice("post", "feed", "nobody"), "post")
    """How messages get into it: a POST for each, our feed, or not at all (the server has its own timetable)."""
    post_path: str = ruled(words(), "/publish/{stream}?channel={channel}")
    """Where messages are posted; {stream}, {channel} and {query} (`stream?channel=C`) are filled in."""
    post_port: int = ruled(number(int, 0, 65_535), 0)
    """The port that takes the posts, of a server that has one apart. 0: its only port."""
    post_body: str = ruled(Rule(str, "expected a text", lambda _: True), "")
    """The body of a post, for a server that wants it in a shape of its own; {message}, {data}, {id}, {stream} and
    {channel} are filled in. {message} is `{"id":N,"data":PAYLOAD}` and {data} is PAYLOAD. Empty: `post_wrap` counts.
    """
    post_type: str = ruled(words(), "")
    """The content type of a post. In `application/json` what is filled in is a JSON value, or escaped text inside a
    string; in `application/x-www-form-urlencoded` it is percent-encoded; in other types it stands as it is. Empty: JSON
    with `post_body`, else none.
    """
    post_wrap: bool = ruled(flag(), True)
    """Whether the body is `{"id":N,"data":PAYLOAD}`. Otherwise it is PAYLOAD alone."""
    post_connections: int = ruled(number(int, 1, 64), 1)
    """How many connections carry the posts. One keeps the order of a channel."""
    post_batch: int = ruled(number(int, 1, 10_000, " messages a request"), 1)
    """How many messages that are due together go into one body, one a line."""
    post_headers: dict[str, str] = ruled(_pairs("header fields"), {})
    """Header fields of a post, such as the server's API key."""
    path: str = ruled(words(), "")
    """Where it is subscribed to; {query}, {stream}, {channel} and {subscriber} are filled in. Empty: the contract's
    path.
    """
    carries_id: str = ruled(
        Rule(
            str,
            "expected protocol, payload, none or json:PATH",
            lambda v: v in ("protocol", "payload", "none") or v.startswith("json:"),
        ),
        "payload",
    )
    """Where a message has its id: in the protocol, in the payload `{"id":N,"data":PAYLOAD}`, at a JSON path, or
    nowhere.
    """
    payload: str = ruled(
        Rule(
            str,
            "expected json:PATH, such as json:pub.data",
            lambda v: not v or (v.startswith("json:") and all(v[5:].split("."))),
        ),
        "",
    )
    """Where subscribers find what was posted: a path in the JSON that they get. A message without the first key of the
    path is the server's own (a greeting, a ping) and counts as `other` in `controls`; one from which nothing can be
    taken counts as corrupted. Empty: all of the message.
    """
    codec: str = ruled(words(), "")
    """How the load process reads the connection, where that is not the transport's own way."""
    headers: dict[str, str] = ruled(_pairs("header fields"), {})
    """Header fields of a subscription."""
    subprotocol: str = ruled(words(), "")
    """The WebSocket subprotocol that a subscriber asks for."""
    greeting: tuple[str, ...] = ruled(_texts("texts that a subscriber sends"), [])
    """Texts that a WebSocket subscriber sends first."""
    tls_ca: str = ruled(words(), "")
    """The PEM file of the authority to trust, for https and wss."""
    due: str = ruled(words(), "")
    """The JSON path of the due time (seconds since 1970) in payloads of a server with its own timetable."""
    capabilities: tuple[str, ...] = ruled(_texts("capabilities; see README, Your own server"), [])
    """What the subject claims beyond plain delivery. `rtbench verify` checks each claim."""


def names_of(what: str) -> Rule:
    return Rule(list, f"expected a list of {what}", lambda v: bool(v) and all(type(name) is str for name in v))
