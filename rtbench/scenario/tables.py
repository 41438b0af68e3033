"""The tables of a scenario and what each key allows: a type, a test, and the words for both.

Invariant: every field says in its metadata what it allows (`rule`), or of what its rows are (`rows`); a field with
neither is a table. A new key is one line here. Called by `rtbench.scenario.loading`, which reads TOML into them.
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
    """What a key allows: a type, a test, and the words for both."""

    kind: type
    allowed: str
    accepts: Callable[[Any], bool]

    def check(self, value: Any, name: str, source: str) -> Any:
        """The value (an int where a float is wanted becomes one). Raises ScenarioError."""
        if self.kind is float and type(value) is int:
            value = float(value)
        # `bool` is an `int` to isinstance; a scenario that says `blocks = true` is wrong.
        if type(value) is not self.kind or not self.accepts(value):
            raise ScenarioError(f"{source}: {name} = {json.dumps(value, default=str)} cannot be", f"{self.allowed}")
        return value


def number(kind: type, low: float, high: float, unit: str = "") -> Rule:
    allowed = f"it must be {'a whole number' if kind is int else 'a number'} from {low:g} to {high:g}{unit}"
    return Rule(kind, allowed, lambda value: low <= value <= high)


def choice(*names: str) -> Rule:
    return Rule(str, f"it must be one of {', '.join(names)}", lambda value: value in names)


def flag() -> Rule:
    return Rule(bool, "it must be true or false", lambda _: True)


def words(allowed: str = "it must be a text") -> Rule:
    return Rule(str, allowed, lambda value: "\n" not in value)


def ruled(rule: Rule, default: Any) -> Any:
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata={"rule": rule})
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, slots=True)
class ServerTable:
    """[server]: what every subject is given alike (R11)."""

    heartbeat_s: float = ruled(number(float, 0.1, 3600, " seconds"), 15.0)
    ring_messages: int = ruled(number(int, 1, 10_000_000, ", messages kept for a channel"), 1000)
    ring_bytes: int = ruled(number(int, 1024, 2**34, ", bytes kept over all channels"), 64 * 2**20)
    buffer_bytes: int = ruled(number(int, 4096, 2**30, ", bytes that one slow consumer may hold"), 1024 * 1024)
    loop: str = ruled(choice("uvloop", "asyncio"), "uvloop")
    host: str = ruled(choice("127.0.0.1", "::1"), "127.0.0.1")


def _cpus() -> Rule:
    allowed = "it must be a list of cpus as the kernel writes it, such as 0-2,5; empty: chosen"
    return Rule(str, allowed, lambda value: not value or bool(_CPU_LIST.fullmatch(value)))


@dataclass(frozen=True, slots=True)
class PlaceTable:
    """[place]: the cpus of the server, the load processes and the publisher; what is empty is chosen (R11)."""

    server: str = ruled(_cpus(), "")
    load: str = ruled(_cpus(), "")
    publisher: str = ruled(_cpus(), "")


@dataclass(frozen=True, slots=True)
class EquivalenceTable:
    """[equivalence]: how far a ratio may be from 1 and still be called equivalent, declared beforehand (R8)."""

    margin: float = ruled(number(float, 0.001, 1, ": 0.05 is a ratio between 1/1.05 and 1.05"), 0.05)


@dataclass(frozen=True, slots=True)
class WorkloadTable:
    """[workload]: for the streams that leave pace, size or source to the scenario."""

    channels: str = ruled(choice("broadcast", "unicast"), "broadcast")
    rate_hz: float = ruled(number(float, 0.001, 100_000, " messages a second and channel"), 5.0)
    payload_bytes: int = ruled(number(int, 1, 2**20, " bytes"), 150)
    arrival: str = ruled(choice("constant", "poisson"), "constant")
    real: bool = ruled(flag(), False)
    trace: str = ruled(words("it must be the path of a trace file"), "")
    data_heartbeat: bool = ruled(flag(), False)


@dataclass(frozen=True, slots=True)
class PollTable:
    """[poll]: how often short polls ask, how long a long poll waits."""

    interval_s: float = ruled(number(float, 0.01, 3600, " seconds"), 1.0)
    long_timeout_s: float = ruled(number(float, 0.1, 300, " seconds"), 25.0)


@dataclass(frozen=True, slots=True)
class ReconnectTable:
    """[reconnect]: how subscribers come back, as each transport's users expect (loadtests/reconnect_policy.py)."""

    eventsource_s: float = ruled(number(float, 0.01, 600, " seconds, without a retry field"), 3.0)
    backoff_s: float = ruled(number(float, 0.01, 600, " seconds, the first backoff at most"), 0.5)
    backoff_most_s: float = ruled(number(float, 0.01, 600, " seconds, any backoff at most"), 10.0)


@dataclass(frozen=True, slots=True)
class ValidityTable:
    """[validity]: the limits of R13 (docs/explanation/validity.md). Over one, a trial is invalid for what it spoils."""

    client_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the load generator's core"), 0.75)
    run_delay_share: float = ruled(number(float, 0, 1, ", share of the window spent waiting for the core"), 0.02)
    hub_lag_s: float = ruled(number(float, 0, 60, " seconds that the load process's timers are late at p99"), 0.02)
    server_cpu_share: float = ruled(number(float, 0.01, 1, ", share of the server's core: a finding about it"), 0.9)
    server_run_delay_share: float = ruled(number(float, 0, 1, ", share of the window that the server waited"), 0.02)
    moved_share: float = ruled(number(float, 0, 1000, ", share of a metric that a disturbance may have moved"), 0.1)
    steal_share: float = ruled(number(float, 0, 1, ", share of the machine stolen by its host"), 0.01)
    throttle_events: int = ruled(number(int, 0, 10**9, " times that a core was throttled"), 0)
    publisher_late_s: float = ruled(number(float, 0, 60, " seconds after which a message counts as sent late"), 0.001)
    clock_step_s: float = ruled(number(float, 0, 1, " seconds between the clocks"), 0.001)
    stamped_share: float = ruled(number(float, 0, 1, ", share of messages with a kernel stamp of their own"), 0.5)
    listen_overflows: int = ruled(number(int, 0, 10**9, " connections that found the backlog full"), 0)
    retransmit_share: float = ruled(number(float, 0, 1, ", share of segments sent again in the window"), 0.001)
    buffer_overruns: int = ruled(number(int, 0, 10**9, " times that a receive buffer was full"), 0)
    edge_share: float = ruled(number(float, 0, 1, ", share of the messages that counters were read too late for"), 0.01)
    descriptors_share: float = ruled(number(float, 0.01, 1, ", share of the descriptors that a process may have"), 0.95)
    ports_share: float = ruled(number(float, 0.01, 1, ", share of the local ports"), 0.9)
    drift_share: float = ruled(number(float, 0, 100, ", change of latency and CPU over the window (R14)"), 0.25)
    reruns: int = ruled(number(int, 0, 100, ", how often a block with an invalid trial is run again"), 0)
    rerun_s: float = ruled(number(float, 0, 86_400, " seconds that blocks run again may take together"), 3600.0)


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """[memory]: a ladder of connection counts that is climbed before the window, to fit memory per connection (R4)."""

    ladder: tuple[int, ...] = ruled(
        Rule(
            list,
            "it must be a list of rising numbers of subscribers, three or more",
            lambda v: not v or (len(v) > 2 and all(type(n) is int and n > 0 for n in v) and v == sorted(set(v))),
        ),
        [],
    )
    idle_s: float = ruled(number(float, 0.1, 600, " seconds idle at each rung"), 2.0)
    stream_s: float = ruled(number(float, 0.1, 600, " seconds streaming at each rung"), 2.0)


@dataclass(frozen=True, slots=True)
class Interruption:
    """A row of [faults] stop, kill or starve: who, from when in the window, how long."""

    what: str = ruled(choice("server", "publisher", "load"), "server")
    at_s: float = ruled(number(float, 0, 86_400, " seconds after the window's start"), 1.0)
    for_s: float = ruled(number(float, 0.001, 3600, " seconds"), 0.5)
    burn_s: float = ruled(number(float, 0.001, 60, " seconds: what starve takes of every every_s"), 0.03)
    every_s: float = ruled(number(float, 0.002, 60, " seconds"), 0.1)


@dataclass(frozen=True, slots=True)
class Injection:
    """A row of [faults] inject: what a fault-injecting subject does to messages (servers/faulty/)."""

    do: str = ruled(choice("delay", "drop", "duplicate", "reorder", "corrupt", "stall"), "delay")
    subscribers: tuple[int, ...] = ruled(
        Rule(list, "it must be a list of subscribers; empty: all", lambda v: all(type(n) is int and n >= 0 for n in v)),
        [],
    )
    every: int = ruled(number(int, 1, 10**9, ": one id in so many"), 1)
    of: int = ruled(number(int, 0, 10**9, ": those with id % every == of"), 0)
    delay_s: float = ruled(number(float, 0, 60, " seconds, for delay and stall"), 0.0)

    def hits(self, subscriber: int, seq: int) -> bool:
        """Whether this message at this subscriber is meant."""
        return seq % self.every == self.of and (not self.subscribers or subscriber in self.subscribers)


@dataclass(frozen=True, slots=True)
class FaultsTable:
    """[faults]: what is stopped (SIGSTOP), killed (and started again) or starved of its core, and what is injected.

    `deaf`: so many subscribers of each load process stop reading when the window opens, and hold next to nothing.
    """

    deaf: int = ruled(number(int, 0, 100_000, " subscribers of each load process"), 0)

    stop: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    kill: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    starve: tuple[Interruption, ...] = field(default=(), metadata={"rows": Interruption})
    inject: tuple[Injection, ...] = field(default=(), metadata={"rows": Injection})


@dataclass(frozen=True, slots=True)
class ChatTable:
    """[chat]: subscribers of `chat` that send, too."""

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

    allowed = 'each must be "SUBJECT.METRIC" = {max = NUMBER} or {min = NUMBER}'
    return Rule(dict, allowed, lambda v: all("." in key and limits(value) for key, value in v.items()))


def sweep() -> Rule:
    """[sweep]: KEY = [values]; each combination is a cell inside every block."""

    def lists(value: Any) -> bool:
        if isinstance(value, dict):
            return all(lists(inner) for inner in value.values())
        return isinstance(value, list) and bool(value)

    return Rule(dict, "each key of the scenario must be a list of values", lists)


def _texts(what: str) -> Rule:
    return Rule(list, f"it must be a list of {what}", lambda v: all(type(item) is str for item in v))


def _pairs(what: str) -> Rule:
    return Rule(dict, f"it must be a table of {what}", lambda v: all(type(item) is str for item in v.values()))


@dataclass(frozen=True, slots=True)
class SubjectTable:
    """[[subject]]: a server of the user's own, as `rtbench.subjects.Subject` and `Program` have it."""

    name: str = ruled(Rule(str, "it must be a name: letters, digits, - and .", lambda v: bool(_NAME.fullmatch(v))), "")
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
    post_wrap: bool = ruled(Rule(bool, "it must be true or false", lambda _: True), True)
    post_connections: int = ruled(number(int, 1, 64), 1)
    post_batch: int = ruled(number(int, 1, 10_000, " messages a request"), 1)
    post_headers: dict[str, str] = ruled(_pairs("header fields"), {})
    path: str = ruled(words(), "")
    carries_id: str = ruled(
        Rule(
            str,
            "it must be protocol, payload, none or json:PATH",
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
    return Rule(list, f"it must be a list of {what}", lambda v: bool(v) and all(type(name) is str for name in v))
