"""What is asked of every subject: a TOML file plus `--set KEY=VALUE`, checked, with every error named.

Invariant: a `Scenario` that exists can be run: types, ranges and combinations were checked, and a wrong one raised
ScenarioError with the key, the file and what is allowed. Its `hash` names everything that changes a measurement.
Called by the CLI and the campaign; servers and load processes get their share of it as plain JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rtbench import subjects
from rtbench.errors import ScenarioError, UserError
from rtbench.scenario_tables import (
    ChatTable,
    FaultsTable,
    MemoryTable,
    PollTable,
    ReconnectTable,
    Rule,
    ServerTable,
    SubjectTable,
    ValidityTable,
    WorkloadTable,
    flag,
    names_of,
    number,
    ruled,
    sweep,
    thresholds,
    words,
)
from rtbench.streams import Pace, catalogue
from rtbench.subjects import Subject
from rtbench.transports.catalogue import maker
from rtbench.workload import Workload

T = TypeVar("T")

FOLDER = Path(__file__).parent / "loadtests" / "scenarios"
"""Where the shipped scenarios are; a new file there is a new scenario."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, resolved: every key has its value."""

    name: str = ruled(words(), "unnamed")
    description: str = ruled(Rule(str, "it must be a text", lambda _: True), "")
    subjects: tuple[str, ...] = ruled(names_of("subjects; see `rtbench list subjects`"), ["sse-aiohttp"])
    optional: bool = ruled(flag(), False)
    subscribers: int = ruled(number(int, 1, 100_000), 1000)
    stream: tuple[str, ...] = ruled(names_of("streams; see `rtbench list streams`"), ["fanout"])
    blocks: int = ruled(number(int, 1, 1000), 3)
    seed: int = ruled(number(int, 0, 2**63 - 1), 1)
    ramp_hz: float = ruled(number(float, 1, 100_000, " connections a second"), 1000.0)
    warmup_s: float = ruled(number(float, 0, 3600, " seconds"), 2.0)
    window_s: float = ruled(number(float, 0.2, 86_400, " seconds"), 10.0)
    grace_s: float = ruled(number(float, 0.1, 600, " seconds"), 1.5)
    workers: int = ruled(number(int, 1, 64, " load processes"), 1)
    epoch_s: int = ruled(number(int, 0, 2**40, " seconds since 1970"), 1_767_225_600)
    netns: bool = ruled(flag(), False)
    proxy: str = ruled(words("it must be a proxy; empty: none"), "")
    i_own_this_host: bool = ruled(flag(), False)
    server: ServerTable = field(default_factory=ServerTable)
    workload: WorkloadTable = field(default_factory=WorkloadTable)
    poll: PollTable = field(default_factory=PollTable)
    reconnect: ReconnectTable = field(default_factory=ReconnectTable)
    validity: ValidityTable = field(default_factory=ValidityTable)
    memory: MemoryTable = field(default_factory=MemoryTable)
    faults: FaultsTable = field(default_factory=FaultsTable)
    chat: ChatTable = field(default_factory=ChatTable)
    sweep: dict[str, Any] = ruled(sweep(), {})
    thresholds: dict[str, Any] = ruled(thresholds(), {})
    subject: tuple[SubjectTable, ...] = field(default=(), metadata={"rows": SubjectTable})

    def plan(self) -> Workload:
        """The workload that this scenario plays."""
        pace = Pace(**dataclasses.asdict(self.workload), conversation=self.chat.senders > 0)
        return Workload(self.stream, self.seed, self.epoch_s, self.subscribers, pace)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as in the TOML file and in campaign.json."""
        table: dict[str, Any] = _plain(dataclasses.asdict(self))
        if len(self.stream) == 1:
            table["stream"] = self.stream[0]
        return table

    def subject_of(self, name: str) -> Subject:
        """The subject called `name` as it is measured here: behind the scenario's proxy, if it has one."""
        subject = subjects.find(name)
        if self.proxy and not subject.proxy and subject.transport != "tcp":
            return dataclasses.replace(subject, proxy=self.proxy)
        return subject

    def cells(self) -> list[Cell]:
        """The combinations of [sweep], in its order; without a sweep one cell that is the scenario itself.

        Raises ScenarioError for a key or a value that cannot be.
        """
        axes = list(_leaves(self.sweep))
        if not axes:
            return [Cell({}, self)]
        found = []
        for values in itertools.product(*(axis for _, axis in axes)):
            settings = dict(zip((key for key, _ in axes), values, strict=True))
            table = {**self.as_dict(), "sweep": {}}
            for key, value in settings.items():
                _put(table, key, value, f"{self.name} [sweep]: {key}")
            found.append(Cell(settings, build(table, f"{self.name} [sweep]")))
        return found

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of everything but the words and how often it is repeated."""
        table = {k: v for k, v in self.as_dict().items() if k not in ("name", "description", "blocks")}
        trace = Path(self.workload.trace)
        if trace.is_file():  # what is in it, not only where it is
            table["trace_sha256"] = hashlib.sha256(trace.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a sweep: what it sets, and the scenario that is."""

    settings: Mapping[str, Any]
    scenario: Scenario

    @property
    def name(self) -> str:
        """`subscribers=100 workload.rate_hz=5`; empty without a sweep."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value)


def _put(table: dict[str, Any], key: str, value: Any, what: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{what}: {parent} is no table", "see `rtbench run --help`")
    table[last] = value


def _plain(value: Any) -> Any:
    """Tuples are lists in TOML and JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, settings: Iterable[str] = (), overrides: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario called `name`, or at the path `name`, with `KEY=VALUE` settings and then `overrides` laid over it.

    Raises ScenarioError for a file that is missing or no TOML, an unknown key, a wrong type, an impossible value.
    """
    path = Path(name) if "/" in name or name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ScenarioError(
            f"there is no scenario {name!r}", f"one of {', '.join(names())}, or the path of a TOML file"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read as TOML ({error})", "mend the file") from error
    table.setdefault("name", path.stem)
    workload = table.get("workload")
    if isinstance(workload, dict) and isinstance(workload.get("trace"), str) and workload["trace"]:
        workload["trace"] = str(path.parent / workload["trace"])  # beside the scenario, wherever that is run from
    rows = table.get("subject")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict) and isinstance(row.get("cwd"), str) and row["cwd"]:
            row["cwd"] = str(path.parent / row["cwd"])
    return build(table, str(path), settings, overrides)


def build(
    table: dict[str, Any], source: str, settings: Iterable[str] = (), overrides: Mapping[str, Any] | None = None
) -> Scenario:
    """A scenario from a table as TOML gives it; `source` names it in errors. Raises ScenarioError."""
    for setting in settings:
        _set(table, setting)
    table.update(overrides or {})
    if isinstance(table.get("stream"), str):
        table["stream"] = [table["stream"]]
    if isinstance(table.get("subjects"), list):
        table["subjects"] = [subjects.known(name) if isinstance(name, str) else name for name in table["subjects"]]
    if isinstance(table.get("subject"), dict):
        table["subject"] = [table["subject"]]
    scenario = _table(Scenario, table, "", source)
    _own_subjects(scenario, source)
    _combinations(scenario, source)
    scenario.cells()
    return scenario


def _own_subjects(scenario: Scenario, source: str) -> None:
    """Make the subjects of [[subject]] known. Raises ScenarioError that names the one that cannot be."""
    from rtbench.remote import check

    for place, row in enumerate(scenario.subject):
        where = f"{source}: subject[{place}]"
        if not row.name or not row.transport or bool(row.command) == bool(row.url):
            raise ScenarioError(f"{where} needs a name, a transport, and a command or a url", "see README")
        unknown = set(row.capabilities) - subjects.CAPABILITIES
        if unknown:
            allowed = f"one of {', '.join(sorted(subjects.CAPABILITIES))}"
            raise ScenarioError(f"{where}: {sorted(unknown)[0]!r} is no capability", allowed)
        if any(row.name == other.name for other in scenario.subject[:place]):
            raise ScenarioError(f"{where}: there is a {row.name!r} already", "take another name")
        try:
            if row.url:
                check(row.url)
            maker(row.transport, row.codec)
            subjects.add(subjects.of_table(row))
        except UserError as error:
            raise ScenarioError(f"{where}: {error.message}", error.remedy) from error


def _set(table: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ScenarioError(f"--set {setting}: is no KEY=VALUE", "for example --set poll.interval_s=0.5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a text
    _put(table, key, value, f"--set {setting}")


def _table(kind: type[T], table: Mapping[str, Any], prefix: str, source: str) -> T:
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise ScenarioError(f"{source}: unknown key {prefix}{key}", f"allowed are {', '.join(fields)}")
        rule, rows = (fields[key].metadata.get(name) for name in ("rule", "rows"))
        if rows is not None:
            if not (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
                raise ScenarioError(f"{source}: {prefix}{key} must be a list of tables", f"write [[{prefix}{key}]]")
            values[key] = tuple(_table(rows, row, f"{prefix}{key}[{n}].", source) for n, row in enumerate(value))
        elif rule is None:
            if not isinstance(value, dict):
                raise ScenarioError(f"{source}: {prefix}{key} must be a table", f"write [{prefix}{key}]")
            values[key] = _table(fields[key].default_factory, value, f"{prefix}{key}.", source)  # type: ignore[arg-type]
        else:
            checked = rule.check(value, prefix + key, source)
            values[key] = tuple(checked) if rule.kind is list else checked
    return kind(**values)


def _combinations(scenario: Scenario, source: str) -> None:
    for name in scenario.stream:
        if name not in catalogue():
            raise ScenarioError(f"{source}: stream: there is no {name!r}", f"one of {', '.join(catalogue())}")
    for name in scenario.stream:
        catalogue()[name].check(scenario.plan().pace)
    if len(set(scenario.subjects)) < len(scenario.subjects):
        raise ScenarioError(f"{source}: subjects: one is named twice", "name each once")
    if scenario.workers > scenario.subscribers:
        raise ScenarioError(f"{source}: workers = {scenario.workers}", "there cannot be more than subscribers")
    if scenario.memory.ladder and scenario.memory.ladder[-1] != scenario.subscribers:
        raise ScenarioError(
            f"{source}: memory.ladder ends with {scenario.memory.ladder[-1]:,}",
            f"its last rung must be subscribers, {scenario.subscribers:,}",
        )
    _conversation(scenario, source)
    _interruptions(scenario, source)
    if scenario.faults.inject and not all(subjects.is_faulty(name) for name in scenario.subjects):
        raise ScenarioError(f"{source}: faults.inject", "only the fault-injecting subjects (`…-faulty`) know it")
    if scenario.proxy:
        from rtbench.proxies import catalogue as proxies

        if scenario.proxy not in proxies():
            raise ScenarioError(f"{source}: proxy: there is no {scenario.proxy!r}", f"one of {', '.join(proxies())}")
    polled = any(name.startswith("short-poll") for name in scenario.subjects)
    if polled and scenario.grace_s <= scenario.poll.interval_s:
        raise ScenarioError(
            f"{source}: grace_s = {scenario.grace_s:g} is not longer than poll.interval_s", "the last messages need it"
        )


def _conversation(scenario: Scenario, source: str) -> None:
    """Who is to send can: the stream takes messages, and so does every subject."""
    senders = scenario.chat.senders
    if not senders:
        return
    if not any(catalogue()[name].spoken for name in scenario.stream):
        takes = ", ".join(name for name, stream in catalogue().items() if stream.spoken)
        raise ScenarioError(f"{source}: chat.senders = {senders}: none of its streams takes messages", f"add {takes}")
    if senders > scenario.subscribers:
        raise ScenarioError(f"{source}: chat.senders = {senders}", "there cannot be more than subscribers")
    for name in scenario.subjects:
        if "conversation" not in scenario.subject_of(name).capabilities:
            raise ScenarioError(f"{source}: {name} takes no messages from subscribers", "leave it out, or chat.senders")


def _interruptions(scenario: Scenario, source: str) -> None:
    """Each says truly whom it hits, and is over before the trial is: nobody is there to end it afterwards."""
    faults, end_s = scenario.faults, scenario.window_s + scenario.grace_s
    for do, rows, whom in (
        ("stop", faults.stop, ""),
        ("kill", faults.kill, "server"),
        ("starve", faults.starve, "load"),
    ):
        for place, row in enumerate(rows):
            where = f"{source}: faults.{do}[{place}]"
            if whom and row.what != whom:
                raise ScenarioError(f'{where}.what = "{row.what}" cannot be', f'{do} is of the {whom}: what = "{whom}"')
            if row.at_s + row.for_s > end_s:
                raise ScenarioError(
                    f"{where} ends {row.at_s + row.for_s:g} s after the window's start",
                    f"it must be over within window_s + grace_s, {end_s:g} s",
                )
