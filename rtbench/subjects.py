"""What is compared: subjects, and where they are found; no list to edit.

A subject needs three facts: how it is started (a coroutine of ours, a program, or a URL that is not ours to start), how
the harness publishes into it (our feed, HTTP, or not at all), and which transport it speaks. Invariant: a file in
`servers/` that defines `SUBJECT` is one, and the file's name is the subject's (`sse-aiohttp` is
`servers/sse_aiohttp.py`), so that a process finds its one module without importing the others; a file of a user's own,
an entry point `rtbench.subjects` of an installed package and a scenario's `[[subject]]` are found by the same names.
Called by the CLI, the campaign and the servers' own entry point.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rtbench.errors import UnavailableError, UserError
from rtbench.scenario_tables import SubjectTable
from rtbench.transports.catalogue import find as transport

PACKAGE = "rtbench.servers"
ENTRY_POINTS = "rtbench.subjects"

CAPABILITIES = frozenset({
    "resume", "gap", "heartbeat", "end", "failure", "errors", "headers", "aliases", "framing", "plan", "slow-consumer",
    "dead-peer", "shutdown", "fairness", "polls", "conversation",
    "uncompressed", "quiet-log",
})  # fmt: skip
"""What a subject may claim; `verify` checks what is claimed and says what is not."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that a subject needs on this machine, and the command that brings it."""

    what: str
    present: Callable[[], bool]
    remedy: str


def lacking(requires: Sequence[Requirement]) -> tuple[str, str]:
    """The first of these that is not here, and the command that helps; empty texts when nothing is missing."""
    return next(((one.what, one.remedy) for one in requires if not one.present()), ("", ""))


def needs_program(name: str, remedy: str) -> Requirement:
    """A program on the path."""
    return Requirement(f"the program {name}", lambda: shutil.which(name) is not None, remedy)


def needs_package(module: str, remedy: str) -> Requirement:
    """A Python package."""
    return Requirement(f"the package {module}", lambda: importlib.util.find_spec(module) is not None, remedy)


def needs_file(path: str, remedy: str) -> Requirement:
    """A file."""
    return Requirement(path, lambda: Path(path).exists(), remedy)


@dataclass(frozen=True, slots=True)
class Launch:
    """What a program's command may depend on. `folder` is its own, for configuration; `feed` our Unix socket."""

    host: str
    port: int
    folder: Path
    feed: Path
    limits: Mapping[str, Any]
    """The scenario's [server] table: heartbeat_s, ring_messages, ring_bytes, buffer_bytes."""
    subscribers: int


@dataclass(frozen=True, slots=True)
class Program:
    """A server that is started by a command.

    `command`: words with {host}, {port}, {folder} and {feed}, or a function of a Launch that may write configuration.
    `ready`: "line", it prints one JSON line {"url","uses"}; or a path, asked until something answers.
    `version`: the words that print its version; its first line is recorded. `cgroup`: of a container, whose CPU and
    memory are counted instead of the process tree's. `tidy`: the signal that makes it collect garbage, 0: none.
    """

    command: Sequence[str] | Callable[[Launch], Sequence[str]]
    ready: str = "/"
    version: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    cwd: str = ""
    tidy: int = 0


FEED = "feed"
"""Our servers take ticks from the publisher's Unix socket."""
NOBODY = "nobody"
"""The harness cannot publish into it: it brings its own timetable."""


@dataclass(frozen=True, slots=True)
class Post:
    """Publishing by HTTP POST, pipelined over kept-alive connections; one connection keeps a channel's order.

    `path`: with {stream} and {channel}. `wrap`: the body is `{"id":N,"data":PAYLOAD}`, else PAYLOAD alone.
    `batch`: how many messages that are due together go into one body, one a line; 1: each its own request.
    """

    path: str = "/publish/{stream}?channel={channel}"
    wrap: bool = True
    connections: int = 1
    batch: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """A transport on a stack: what is compared.

    `arm`: "controlled" (one stack for all transports) or "idiomatic" (what one would use for this transport), R10.
    `technique`: "encode-once" (the same bytes written to every connection) or "per-connection" (the public API).
    One of `serve` (coroutine that serves until its hub is told to stop; see `servers/_app.py`), `program`, `url`.
    `path`: where it is subscribed to, when that is not the contract's; see `template`.
    `carries_id`: "protocol" (interface.md, Wire), "payload" (each message is `{"id":N,"data":PAYLOAD}`), "json:A.B"
    (the number at that path of a JSON message) or "none".
    `codec`: how the load reads it, when that is not the transport's own way (`rtbench.transports.catalogue`).
    `headers`, `subprotocol`, `greeting`: header fields, WebSocket subprotocol and texts that a subscriber sends.
    `tls_ca`: a PEM file to trust, for https and wss. `due`: a JSON path of the due time (seconds since 1970) in
    payloads of a server with its own timetable.
    """

    name: str
    transport: str
    stack: str
    arm: str = "idiomatic"
    technique: str = "per-connection"
    serve: Callable[[Any], Awaitable[None]] | None = None
    program: Program | None = None
    url: str = ""
    publish: str | Post = FEED
    description: str = ""
    carries_id: str = "protocol"
    path: str = ""
    codec: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocol: str = ""
    greeting: Sequence[str] = ()
    tls_ca: str = ""
    due: str = ""
    packages: Sequence[str] = ()
    """Distributions whose versions are the stack's; empty: the one called like it."""
    least_heartbeat_s: float = 0.0
    """The shortest heartbeat that it can be told."""
    capabilities: frozenset[str] = CAPABILITIES
    requires: Sequence[Requirement] = ()
    module: str = ""
    """Where `SUBJECT` is defined: a module's name or a file; the registry knows."""
    proxy: str = ""
    """The proxy (servers/proxies/) that stands before it."""

    @property
    def template(self) -> str:
        """Where it is subscribed to: {query} is `stream?channel=C`; {stream}, {channel} and {subscriber} its parts."""
        return self.path or transport(self.transport).prefix + "/{query}"

    @property
    def played(self) -> bool:
        """Whether the harness's publisher plays into it."""
        return self.publish != NOBODY

    def missing(self) -> tuple[str, str]:
        """What it needs that is not here, and the command that helps; empty texts when nothing is missing."""
        needed = [*self.requires]
        if self.proxy:
            from rtbench.proxies import find as find_proxy

            needed += find_proxy(self.proxy).requires
        return lacking(needed)

    def check(self) -> None:
        """Raises UnavailableError when it cannot run here."""
        what, remedy = self.missing()
        if what:
            raise UnavailableError(f"{self.name} needs {what}", remedy)

    def describe(self) -> dict[str, str]:
        """The row of campaign.json and of `rtbench list subjects --json`."""
        return {
            "subject": self.name,
            "transport": self.transport,
            "stack": self.stack,
            "arm": self.arm,
            "technique": self.technique,
            "carries_id": self.carries_id,
            "proxy": self.proxy,
        }


FAULTY = f"{PACKAGE}.faulty"
"""The fault-injecting subjects (R16): kept apart, found by their names, never listed nor part of a shipped scenario."""

LABEL = "@"
"""`NAME@LABEL` is the subject NAME under a second label: an A/A control (R9)."""
BEHIND = "+"
"""`NAME+PROXY` is the subject NAME behind a proxy."""

_added: dict[str, Subject] = {}


def base_of(name: str) -> str:
    """A subject's name without label and proxy."""
    return name.partition(LABEL)[0].partition(BEHIND)[0]


def module_of(name: str) -> str:
    """The module of a subject that ships: a server process imports its own and no other."""
    return f"{FAULTY if is_faulty(name) else PACKAGE}.{base_of(name).replace('-', '_')}"


def is_faulty(name: str) -> bool:
    """Whether a subject's name says that it injects faults."""
    return base_of(name).endswith("-faulty")


@cache
def catalogue() -> dict[str, Subject]:
    """Every subject that ships or that an installed package adds, by name."""
    found = dict(_in(PACKAGE))
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            subject = entry.load()
        except Exception as error:
            raise UserError(
                f"the entry point {entry.name} ({entry.value}) cannot be loaded ({type(error).__name__}: {error})",
                "mend or uninstall that package",
            ) from error
        if not isinstance(subject, Subject):
            raise UserError(f"the entry point {entry.name} ({entry.value}) is no Subject", "see README, Add a subject")
        found[subject.name] = replace(subject, module=entry.module)
    return found


@cache
def _in(package: str) -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            name = f"{package}.{module.name}"
            subject = getattr(importlib.import_module(name), "SUBJECT", None)
            if subject is not None:
                found[subject.name] = replace(subject, module=name)
    return found


def add(subject: Subject) -> str:
    """Make a subject of the user's own known by its name, which is returned. Raises UserError when it is taken."""
    known = catalogue().get(subject.name)
    if known is not None:
        raise UserError(f"there is a subject {subject.name!r} already ({known.description})", "take another name")
    transport(subject.transport)
    _added[subject.name] = subject
    return subject.name


def of_table(row: SubjectTable) -> Subject:
    """The subject of a scenario's [[subject]]."""
    post = Post(row.post_path, row.post_wrap, row.post_connections, row.post_batch, row.post_headers)
    program = None
    if row.command:
        program = Program(row.command, row.ready, row.version, row.environment, row.cgroup, row.cwd, row.tidy)
    return Subject(
        name=row.name,
        transport=row.transport,
        stack=row.stack or row.name,
        arm=row.arm,
        technique=row.technique,
        program=program,
        url=row.url,
        publish=NOBODY if row.url and row.publish == "feed" else post if row.publish == "post" else row.publish,
        description=row.description,
        carries_id=row.carries_id,
        path=row.path,
        codec=row.codec,
        headers=row.headers,
        subprotocol=row.subprotocol,
        greeting=row.greeting,
        tls_ca=row.tls_ca,
        due=row.due,
        capabilities=frozenset(row.capabilities),
    )


def load_file(path: Path) -> str:
    """Make the `SUBJECT` of a Python file known; its name. Raises UserError that names the file."""
    subject = module_at(str(path), f"{path}")
    return add(replace(subject, module=str(path.resolve())))


def known(name: str) -> str:
    """A subject's name, or a URL; a Python file that defines one makes it known by its name."""
    return load_file(Path(name)) if name.endswith(".py") and "://" not in name else name


def module_at(module: str, what: str = "") -> Subject:
    """The SUBJECT of a module, by its name or its file. Raises UserError when there is none."""
    remedy = "it must define SUBJECT = Subject(…); see README, Add a subject"
    if module.endswith(".py"):
        path = Path(module)
        if not path.exists():
            raise UserError(f"{module} does not exist", "name a Python file that defines SUBJECT")
        spec = importlib.util.spec_from_file_location(f"rtbench_subject_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
        except Exception as error:
            raise UserError(f"{module} cannot be imported ({type(error).__name__}: {error})", remedy) from error
    else:
        loaded = importlib.import_module(module)
    subject = getattr(loaded, "SUBJECT", None)
    if not isinstance(subject, Subject):
        raise UserError(f"{what or module} defines no SUBJECT", remedy)
    return subject


def find(name: str) -> Subject:
    """The subject called `name`; also `NAME@LABEL`, `NAME+PROXY`. Raises UserError that lists what there is."""
    if "://" in name:
        from rtbench.remote import subject_at

        return subject_at(name)
    base, at, label = name.partition(LABEL)
    base, plus, proxy = base.partition(BEHIND)
    subjects = _in(FAULTY) if is_faulty(name) else {**catalogue(), **_added}
    if base not in subjects or (at and not label.isalnum()):
        raise UserError(f"there is no subject {name!r}", f"one of {', '.join(sorted({**catalogue(), **_added}))}")
    subject = replace(subjects[base], name=name)
    if plus:
        from rtbench.proxies import find as find_proxy

        subject = replace(subject, proxy=find_proxy(proxy).name)
    return subject
