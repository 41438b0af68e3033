"""The catalogue of streams: one file each, found here, no list to edit.

A stream's file defines a subclass of `Stream` and nothing else has to know. Invariant: what a stream emits depends
on nothing but its `Source` (seed, channel, options), so that one seed gives the same bytes on any machine and in
any process; the one exception, the machine's real figures, says so by an empty payload. Called by `rtbench.workload`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from rtbench.errors import ScenarioError, one_of


class Emission(NamedTuple):
    """One message of a stream: `offset_ns` after the stream's start, `payload` one line of UTF-8.

    An empty payload is made by `Stream.live` at the moment at which it is due.
    """

    offset_ns: int
    payload: str


class Notice(NamedTuple):
    """What a stream says about itself between messages: no message, without an id.

    `kind` "retry": its source failed and will be asked again; it stands until the next message. "failure": its source
    failed for good, nothing follows. A stream that ends well says nothing: its end is the iterator's.
    """

    offset_ns: int
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """The scenario's [workload] table: what some streams leave to the scenario; the others bring their own."""

    channels: str = "broadcast"
    rate_hz: float = 5.0
    payload_bytes: int = 150
    arrival: str = "constant"
    real: bool = False
    """`metrics`: the machine's real figures instead of simulated ones."""
    trace: str = ""
    """`replay`: the trace file."""
    data_heartbeat: bool = False
    """`production`: also the article's own heartbeat, a message that scripts see."""
    conversation: bool = False
    """`chat`: subscribers say what is sent, and it never ends (the scenario's [chat])."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a stream may depend on. `channel` counts within the stream, `channels` is how many it has."""

    seed: int
    epoch_s: int
    channel: int
    channels: int
    pace: Pace
    stream: str

    def random(self) -> Random:
        """A generator of its own for this stream and channel.

        Seeding with text hashes it with SHA-512 in every Python process alike (no PYTHONHASHSEED); of its methods
        only `random()` and `getrandbits()` are promised to stay the same between Python versions: use no others.
        """
        return Random(f"rtbench/{self.seed}/{self.stream}/{self.channel}")

    def timestamp(self, offset_ns: int) -> str:
        """`epoch_s + due` in seconds with six decimals, exact: no float is involved."""
        return f"{self.epoch_s + offset_ns // 10**9}.{offset_ns % 10**9 // 1000:06d}"


class Stream(ABC):
    """A named kind of data with its pace and payload."""

    name: str
    description: str
    finite: bool = False
    """A finite stream is kept whole for who comes late, and in a trial it starts when all are subscribed."""
    from_start: bool = True
    """Who comes to a finite one without a cursor gets it from its start; if not, then only once it is over."""
    json_payload: bool | None = True
    """Whether every payload is JSON: it then stands in an envelope as it is (interface.md, Wire). None: one by one."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Response headers over those of every SSE stream."""
    heartbeat_s: float | None = None
    """Its own heartbeat; None: the scenario's."""
    uplink: bool = False
    """Whether subscribers may say what is sent, where the scenario lets them (`Pace.conversation`)."""
    needs: str = ""
    """The [workload] key without which it cannot be played."""

    @abstractmethod
    def emissions(self, source: Source) -> Iterator[Emission | Notice]:
        """The stream's messages and notices, lazily, in order of `offset_ns` (never falling); ids count messages."""

    def live(self, source: Source, offset_ns: int) -> str:
        """The payload of an emission that left it empty, made now, when it is due."""
        raise NotImplementedError(f"{self.name} makes no payloads when they are due")

    def foreseen(self, pace: Pace) -> bool:
        """Whether the seed alone says what is sent."""
        return True

    def takes(self, pace: Pace) -> bool:
        """Whether subscribers say what is sent: nothing comes of the seed then, and it does not end."""
        return self.uplink and pace.conversation

    def check(self, pace: Pace) -> None:
        """Raises ScenarioError, before anything is started, for a `pace` with which this stream cannot be played."""
        if self.needs and not getattr(pace, self.needs):
            raise ScenarioError(f"stream {self.name} needs workload.{self.needs}", f"set workload.{self.needs}")


@cache
def catalogue() -> dict[str, Stream]:
    """Every stream by its name. A new file in this folder is enough."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.name: kind() for kind in sorted(Stream.__subclasses__(), key=lambda kind: kind.name)}


def find(name: str) -> Stream:
    """The stream called `name`. Raises ScenarioError that lists what there is."""
    streams = catalogue()
    if name not in streams:
        raise ScenarioError(f"stream: unknown stream {name!r}", one_of(name, streams))
    return streams[name]
