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
        if type(value) is not self.kind or not self.accepts(value):
            raise ScenarioError(f"{source}: {name} = {json.dumps(value, default=str)}", self.allowed)
        return value


def number(kind: type, low: float, high: float, unit: str = "") -> Rule:
    allowed = f"expected {'an integer' if kind is int else 'a number'} from {low:g} to {high:g}{unit}"
    return Rule(kind, allowed, lambda value: low <= value <= high)


def choice(*names: str) -> Rule:
    return Rule(str, f"expected one of {', '.join(names)}", lambda value: value in names)


def flag() -> Rule:
    return Rule(bool, "expected true or false", lambda _: True)


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
    ring_messages: int = ruled(number(int, 1, 10_000_000, ", messages kept for a channel"), 1000)
    ring_bytes: int = ruled(number(int, 1024, 2**34, ", bytes kept over all channels"), 64 * 2**20)
    buffer_bytes: int = ruled(number(int, 4096, 2**30, ", bytes buffered for one slow consumer"), 1024 * 1024)
    loop: str = ruled(choice("uvloop", "asyncio"), "uvloop")
    host: str = ruled(choice("127.0.0.1", "::1"), "127.0.0.1")


def _cpus() -> Rule:
    allowed = "expected a list of cpus in the kernel's format, such as 0-2,5; empty: rtbench chooses"
    return Rule(str, allowed, lambda value: not value or bool(_CPU_LIST.fullmatch(value)))


@dataclass(frozen=True, slots=True)
class PlaceTable:
    """[place]: the cpus of the server, the load processes and the publisher; empty: rtbench chooses (R11)."""

    server: str = ruled(_cpus(), "")
    load: str = ruled(_cpus(), "")
    publisher: str = ruled(_cpus(), "")


@dataclass(frozen=True, slots=True)
class EquivalenceTable:
    """[equivalence]: the largest distance of a ratio from 1 that counts as equivalent, declared beforehand (R8)."""

    margin: float = ruled(number(float, 0.001, 1, ": 0.05 is a ratio between 1/1.05 and 1.05"), 0.05)


@dataclass(frozen=True, slots=True)
class WorkloadTable:
    """[workload]: pace, size or source of the streams that do not define their own."""

    channels: str = ruled(choice("broadcast", "unicast"), "broadcast")
    rate_hz: float = ruled(number(float, 0.001, 100_000, " messages a second and channel"), 5.0)
    payload_bytes: int = ruled(number(int, 1, 2**20, " bytes"), 150)
    arrival: str = ruled(choice("constant", "poisson"), "constant")
    real: bool = ruled(flag(), False)
    trace: str = ruled(words("expected the path of a trace file"), "")
    data_heartbeat: bool = ruled(flag(), False)


@dataclass(frozen=True, slots=True)
class PollTable:
    """[poll]: the interval of short polls, the timeout of long polls."""

    interval_s: float = ruled(number(float, 0.01, 3600, " seconds"), 1.0)
    long_timeout_s: float = ruled(number(float, 0.1, 300, " seconds"), 25.0)


@dataclass(frozen=True, slots=True)
class ReconnectTable:
    """[reconnect]: each transport's usual reconnect policy (loadtests/reconnect_policy.py)."""

    eventsource_s: float = ruled(number(float, 0.01, 600, " seconds, without a retry field"), 3.0)
    backoff_s: float = ruled(number(float, 0.01, 600, " seconds, the first backoff at most"), 0.5)
    backoff_most_s: float = ruled(number(float, 0.01, 600, " seconds, any backoff at most"), 10.0)


@dataclass(frozen=True, slots=True)
class ValidityTable:
    """[validity]: the limits of R13 (see METHODOLOGY.md). A trial beyond one is invalid for the spoiled metrics."""

    client_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the load generator's core"), 0.75)
    run_delay_share: float = ruled(number(float, 0, 1, ", share of the window spent waiting for the core"), 0.02)
    hub_lag_s: float = ruled(number(float, 0, 60, " seconds of the load process's event-loop lag at p99"), 0.02)
    server_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the server's core: a finding"), 0.9)
    server_run_delay_share: float = ruled(number(float, 0, 1, ", share of the window that the server waited"), 0.02)
    moved_share: float = ruled(number(float, 0, 1000, ", share by which a disturbance may have moved a metric"), 0.1)
    steal_share: float = ruled(number(float, 0, 1, ", share of the machine's time that its host took"), 0.01)
    throttle_events: int = ruled(number(int, 0, 10**9, " throttling events of a core"), 0)
    publisher_late_s: float = ruled(number(float, 0, 60, " seconds after which a message counts as sent late"), 0.001)
    clock_step_s: float = ruled(number(float, 0, 1, " seconds by which the clocks moved apart"), 0.001)
    stamped_share: float = ruled(number(float, 0, 1, ", share of messages with a kernel stamp of their own"), 0.5)
    listen_overflows: int = ruled(number(int, 0, 10**9, " connection attempts with the backlog full"), 0)
    retransmit_share: float = ruled(number(float, 0, 1, ", share of segments retransmitted in the window"), 0.001)
    buffer_overruns: int = ruled(number(int, 0, 10**9, " overruns of a receive buffer"), 0)
    edge_share: float = ruled(number(float, 0, 1, ", share of messages by which late counters may differ"), 0.01)
    descriptors_share: float = ruled(number(float, 0.01, 1, ", share of a process's limit of descriptors"), 0.95)
    ports_share: float = ruled(number(float, 0.01, 1, ", share of the local ports"), 0.9)
    drift_share: float = ruled(number(float, 0, 100, ", change of latency and CPU over the window (R14)"), 0.25)
    reruns: int = ruled(number(int, 0, 100, " reruns of a block with an invalid trial"), 0)
    rerun_s: float = ruled(number(float, 0, 86_400, " seconds for all reruns together"), 3600.0)


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
    idle_s: float = ruled(number(float, 0.1, 600, " seconds idle at each rung"), 2.0)
    stream_s: float = ruled(number(float, 0.1, 600, " seconds streaming at each rung"), 2.0)


@dataclass(frozen=True, slots=True)
class Interruption:
    """A row of [faults] stop, kill or starve: its target, its start in the window, its length."""

    what: str = ruled(choice("server", "publisher", "load"), "server")
    at_s: float = ruled(number(float, 0, 86_400, " seconds after the window's start"), 1.0)
    for_s: float = ruled(number(float, 0.001, 3600, " seconds"), 0.5)
    burn_s: float = ruled(number(float, 0.001, 60, " seconds burned in each every_s, for starve"), 0.03)
    every_s: float = ruled(number(float, 0.002, 60, " seconds"), 0.1)


@dataclass(frozen=True, slots=True)
class Injection:
    """A row of [faults] inject: a fault-injecting subject's effect on messages (servers/faulty/)."""

    do: str = ruled(choice("delay", "drop", "duplicate", "reorder", "corrupt", "stall"), "delay")
    subscribers: tuple[int, ...] = ruled(
        Rule(list, "expected a list of subscribers; empty: all", lambda v: all(type(n) is int and n >= 0 for n in v)),
        [],
    )
    every: int = ruled(number(int, 1, 10**9, ": one id in this many"), 1)
    of: int = ruled(number(int, 0, 10**9, ": those with id % every == of"), 0)
    delay_s: float = ruled(number(float, 0, 60, " seconds, for delay and stall"), 0.0)

    def hits(self, subscriber: int, seq: int) -> bool:
        """Whether it applies to this message at this subscriber."""
        return seq % self.every == self.of and (not self.subscribers or subscriber in self.subscribers)


@dataclass(frozen=True, slots=True)
class FaultsTable:
    """[faults]: processes to stop (SIGSTOP), to kill (and restart) or to starve of their core; faults to inject.

    `deaf`: the number of subscribers of each load process that stop reading at the window's start, with small buffers.
    """

    deaf: int = ruled(number(int, 0, 100_000, " subscribers of each load process"), 0)

    stop: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    kill: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    starve: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    inject: tuple[Injection, ...] = field(default=(), metadata={"rows": Injection})


@dataclass(frozen=True, slots=True)
class ChatTable:
    """[chat]: subscribers of `chat` that also send."""

    senders: int = ruled(number(int, 0, 100_000, " subscribers"), 0)
    rate_hz: float = ruled(number(float, 0.001, 1000, " messages a second and sender"), 1.0)


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
    transport: str = ruled(words(), "")
    stack: str = ruled(words(), "")
    arm: str = ruled(words(), "idiomatic")
    technique: str = ruled(words(), "per-connection")
    description: str = ruled(words(), "")
    command: tuple[str, ...] = ruled(_texts("words, with {host}, {port}, {folder} and {feed} filled in"), [])
    url: str = ruled(words(), "")
    ready: str = ruled(words(), "/")
    version: tuple[str, ...] = ruled(_texts("words"), [])
    cwd: str = ruled(words(), "")
    environment: dict[str, str] = ruled(_pairs("texts"), {})
    cgroup: str = ruled(words(), "")
    tidy: int = ruled(number(int, 0, 64, ", the number of a signal"), 0)
    publish: str = ruled(choice("post", "feed", "nobody"), "post")
    post_path: str = ruled(words(), "/publish/{stream}?channel={channel}")
    post_wrap: bool = ruled(flag(), True)
    post_connections: int = ruled(number(int, 1, 64), 1)
    post_batch: int = ruled(number(int, 1, 10_000, " messages a request"), 1)
    post_headers: dict[str, str] = ruled(_pairs("header fields"), {})
    path: str = ruled(words(), "")
    carries_id: str = ruled(
        Rule(
            str,
            "expected protocol, payload, none or json:PATH",
            lambda v: v in ("protocol", "payload", "none") or v.startswith("json:"),
        ),
        "payload",
    )
    codec: str = ruled(words(), "")
    headers: dict[str, str] = ruled(_pairs("header fields"), {})
    subprotocol: str = ruled(words(), "")
    greeting: tuple[str, ...] = ruled(_texts("texts that a subscriber sends"), [])
    tls_ca: str = ruled(words(), "")
    due: str = ruled(words(), "")
    capabilities: tuple[str, ...] = ruled(_texts("capabilities; see README, Your own server"), [])


def names_of(what: str) -> Rule:
    return Rule(list, f"expected a list of {what}", lambda v: bool(v) and all(type(name) is str for name in v))
