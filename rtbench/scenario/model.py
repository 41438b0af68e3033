"""A resolved scenario: every key has a value, subjects can be looked up, sweep cells are expanded.

Invariant: a `Scenario` from `rtbench.scenario.loading` can be run. It is a value and reads no file. `hash` covers every
key that changes a measurement. Used by the campaign and the trial; servers and load processes get parts of it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtbench.scenario.networks import QUANTITIES, UP, Conditions, asked
from rtbench.scenario.tables import (
    ChatTable,
    ChurnTable,
    EquivalenceTable,
    FaultsTable,
    Http2Table,
    IdleTable,
    MemoryTable,
    NetworkTable,
    PlaceTable,
    PollTable,
    ReconnectTable,
    Rule,
    ServerTable,
    SloTable,
    StormTable,
    SubjectTable,
    ValidityTable,
    WorkloadTable,
    choice,
    flag,
    names_of,
    number,
    ruled,
    sweep,
    thresholds,
    tls,
    words,
)
from rtbench.streams import Pace
from rtbench.subjects import Subject
from rtbench.subjects.registry import Registry, behind, multiplexed, secured
from rtbench.subjects.tls import version_of
from rtbench.transports.coding import CODINGS, NONE
from rtbench.workload import Workload

MOST_WORKERS = 4
"""Maximum number of load processes unless the scenario sets `workers`."""

_LATER: Mapping[str, Any] = {
    "warmup_messages": 0,
    "compression": NONE,
    "workload.payload": WorkloadTable().payload,
    "tls": False,
    "reconnect.policy": ReconnectTable().policy,
    "validity.moved_share": ValidityTable().moved_share,
    "validity.router_late_s": ValidityTable().router_late_s,
    **{f"network.{UP}{name}": None for name in QUANTITIES},
    **{
        f"server.{name}": [] if name == "allow_origin" else getattr(ServerTable(), name)
        for name in (
            "connections",
            "connections_by_peer",
            "head_bytes",
            "head_s",
            "idle_s",
            "message_bytes",
            "publishes_hz",
            "requests_hz",
            "pipelined",
            "allow_origin",
        )
    },
}
"""Keys that older scenarios lack, and the value that gives the same campaign as without the key."""

_LATER_TABLES: Mapping[str, Any] = {
    "place": PlaceTable(),
    "equivalence": EquivalenceTable(),
    "idle": IdleTable(),
    "slo": SloTable(),
    "storm": StormTable(),
    "churn": ChurnTable(),
    "network": NetworkTable(),
    "http2": Http2Table(),
}
"""Tables that older scenarios lack. At these values they are left out of `as_dict`."""

_DERIVED = {"derived": True}
"""Marks a field that loading adds: neither a key of the TOML file nor part of `as_dict`."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A resolved scenario: every key has a value."""

    name: str = ruled(words(), "unnamed")
    """The scenario's name, in folders and reports."""
    description: str = ruled(Rule(str, "expected a string", lambda _: True), "")
    """What the scenario is for."""
    subjects: tuple[str, ...] = ruled(names_of("subjects; see `rtbench list subjects`"), ["sse-aiohttp"])
    """What is compared: names, Python files or URLs."""
    optional: bool = ruled(flag(), False)
    """Whether subjects that cannot run here are left out with a warning. Otherwise they are an error."""
    subscribers: int = ruled(number(int, 1, 100_000), 1000)
    """How many subscribers connect."""
    stream: tuple[str, ...] = ruled(names_of("streams; see `rtbench list streams`"), ["fanout"])
    """The stream that is played; a name, or a list over which subscribers are spread."""
    blocks: int = ruled(number(int, 1, 1000), 3)
    """How many blocks are run. Each has every subject once."""
    seed: int = ruled(number(int, 0, 2**63 - 1), 1)
    """What payloads, arrivals and the order of trials are drawn from. `rtbench run` draws one where none is named."""
    ramp_hz: float = ruled(number(float, 1, 100_000, " connections a second"), 1000.0)
    """How fast subscribers connect."""
    warmup_s: float = ruled(number(float, 0, 3600, " seconds"), 2.0)
    """The time between the last subscription and the window."""
    warmup_messages: int = ruled(number(int, 0, 100_000, " messages a channel, beside warmup_s: the longer counts"), 20)
    """The messages a connection gets before the window."""
    window_s: float = ruled(number(float, 0.2, 86_400, " seconds"), 10.0)
    """The length of the measurement."""
    grace_s: float = ruled(number(float, 0.1, 600, " seconds"), 1.5)
    """How long the trial waits for late messages after the window. It is longer than `poll.interval_s`."""
    workers: int = ruled(number(int, 0, 64, " load processes; 0: one for each free core, at most 4"), 0)
    """How many load processes share the subscribers."""
    epoch_s: int = ruled(number(int, 0, 2**40, " seconds since 1970"), 1_767_225_600)
    """The Unix time at which the timestamps in payloads begin."""
    netns: bool = ruled(flag(), False)
    """Whether server and load have a network namespace each, so that bytes on the wire are counted. Needs root."""
    compression: str = ruled(choice(NONE, *CODINGS), NONE)
    """The coding that clients offer and servers use: `deflate` (a WebSocket's messages, too), `gzip` or `zstd`."""
    proxy: str = ruled(words("expected a proxy's name; empty: none"), "")
    """The proxy before every subject."""
    tls: bool | str = ruled(tls(), False)
    """TLS to the client: `true` is TLS 1.3, `"1.2"` is TLS 1.2. With a proxy the proxy speaks it, and the server behind
    it speaks cleartext. The certificate is of a CA that is made for each trial.
    """
    i_own_this_host: bool = ruled(flag(), False)
    """Says that a subject's URL on another machine is yours to load."""
    server: ServerTable = field(default_factory=ServerTable)
    place: PlaceTable = field(default_factory=PlaceTable)
    equivalence: EquivalenceTable = field(default_factory=EquivalenceTable)
    workload: WorkloadTable = field(default_factory=WorkloadTable)
    poll: PollTable = field(default_factory=PollTable)
    reconnect: ReconnectTable = field(default_factory=ReconnectTable)
    validity: ValidityTable = field(default_factory=ValidityTable)
    memory: MemoryTable = field(default_factory=MemoryTable)
    faults: FaultsTable = field(default_factory=FaultsTable)
    chat: ChatTable = field(default_factory=ChatTable)
    idle: IdleTable = field(default_factory=IdleTable)
    slo: SloTable = field(default_factory=SloTable)
    storm: StormTable = field(default_factory=StormTable)
    churn: ChurnTable = field(default_factory=ChurnTable)
    network: NetworkTable = field(default_factory=NetworkTable)
    http2: Http2Table = field(default_factory=Http2Table)
    sweep: dict[str, Any] = ruled(sweep(), {})
    """The values of any other keys: each combination is a cell of every block."""
    thresholds: dict[str, Any] = ruled(thresholds(), {})
    """Limits that set the exit code to 1 when a metric of a subject is beyond them."""
    subject: tuple[SubjectTable, ...] = field(default=(), metadata={"rows": SubjectTable})
    registry: Registry = field(default_factory=Registry, metadata=_DERIVED, compare=False, repr=False)
    swept: tuple[Cell, ...] = field(default=(), metadata=_DERIVED, compare=False, repr=False)
    """The combinations of [sweep], in its order; empty without a sweep."""
    trace_sha256: str = field(default="", metadata=_DERIVED, compare=False, repr=False)
    """SHA-256 of the file workload.trace, so that `hash` covers its content."""

    def make_workload(self) -> Workload:
        """The workload that this scenario plays."""
        pace = Pace(**dataclasses.asdict(self.workload), conversation=self.chat.senders > 0)
        return Workload(self.stream, self.seed, self.epoch_s, self.subscribers, pace)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as in the TOML file and in campaign.json.

        Without the tables of `_LATER_TABLES` at their defaults, as in folders from before these tables existed.
        """
        table = {item.name: _plain(getattr(self, item.name)) for item in keys(Scenario)}
        for name, empty in _LATER_TABLES.items():
            if getattr(self, name) == empty:
                del table[name]
        if len(self.stream) == 1:
            table["stream"] = self.stream[0]
        return table

    def subject_of(self, name: str) -> Subject:
        """The subject called `name`, with the scenario's proxy, TLS and HTTP/2 if it has them."""
        subject = self.registry.find(name)
        if self.proxy and not subject.proxy and subject.transport != "tcp":
            subject = behind(subject, self.proxy)
        subject = secured(subject, version_of(self.tls)) if self.tls else subject
        return multiplexed(subject) if self.http2.streams_per_connection else subject

    def cells(self) -> tuple[Cell, ...]:
        """The cells of the sweep; without a sweep the scenario itself is the only cell."""
        return self.swept or (Cell({}, self),)

    def only(self, subjects: Collection[str]) -> Scenario:
        """This scenario with these subjects only, in every cell."""
        chosen = tuple(name for name in self.subjects if name in subjects)
        swept = tuple(Cell(cell.settings, cell.scenario.only(subjects)) for cell in self.swept)
        return dataclasses.replace(self, subjects=chosen, swept=swept)

    def with_load_cores(self, cores: int) -> Scenario:
        """This scenario with the number of load processes set for `cores` cores, in every cell.

        A number in the scenario stays. Otherwise: one process a core, at most MOST_WORKERS, at most one a subscriber.
        """
        workers = self.workers or max(1, min(cores, MOST_WORKERS, self.subscribers))
        swept = tuple(Cell(cell.settings, cell.scenario.with_load_cores(cores)) for cell in self.swept)
        return dataclasses.replace(self, workers=workers, swept=swept)

    @property
    def conditions(self) -> Conditions | None:
        """What the network between server and load does; None without a [network]."""
        return asked(self.network)

    @property
    def apart(self) -> bool:
        """Whether server and load have a namespace each."""
        return self.netns or self.conditions is not None

    @property
    def hash(self) -> str:
        """12 hexadecimal digits over every key except texts, repetitions and the seed.

        Older folders keep their hash: the seed counts as 1 (its value before seeds were drawn), an undecided number of
        load processes counts as one, and a later key without effect (`_LATER`) is left out.
        """
        table = {k: v for k, v in self.as_dict().items() if k not in ("name", "description", "blocks")}
        table |= {"workers": self.workers or 1, "seed": 1}
        for key, idle in _LATER.items():
            *parents, last = key.split(".")
            inner = functools.reduce(lambda of, parent: of.get(parent, {}), parents, table)
            if last in inner and inner[last] == idle:
                del inner[last]
        if self.trace_sha256:
            table["trace_sha256"] = self.trace_sha256
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a sweep: its settings, and the scenario with them."""

    settings: Mapping[str, Any]
    scenario: Scenario

    @property
    def name(self) -> str:
        """`subscribers=100 workload.rate_hz=5`; empty without a sweep."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())


def keys(kind: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a table's class that are keys of its TOML table."""
    return [item for item in dataclasses.fields(kind) if not item.metadata.get("derived")]


def _plain(value: Any) -> Any:
    """Nested tables as dictionaries; tuples are lists in TOML and JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
