"""The catalogue of streams: one file each, found here, no list to edit.

A stream's file defines a subclass of `Stream`. Invariant: the emissions of a stream depend only on its `Source` (seed,
channel, options), so that one seed gives the same bytes on any machine and in any process. The exception is the
machine's real figures, which have an empty payload. Called by `rtbench.workload`.
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

    `Stream.live` fills an empty payload when it is due.
    """

    offset_ns: int
    payload: str


class Notice(NamedTuple):
    """A stream's statement about itself between messages. It is not a message and has no id.

    `kind` "retry": the source failed and will be asked again; the notice holds until the next message. "failure": the
    source failed for good; nothing follows. A stream that ends normally emits no notice: its iterator ends.
    """

    offset_ns: int
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """The scenario's [workload] table: the options of some streams. The other streams are fixed."""

    channels: str = "broadcast"
    rate_hz: float = 5.0
    payload_bytes: int = 150
    arrival: str = "constant"
    real: bool = False
    """`metrics`: the machine's real figures instead of simulated ones."""
    trace: str = ""
    """`replay`: the trace file."""
    data_heartbeat: bool = False
    """`production`: also send the article's own heartbeat, a message that scripts see."""
    conversation: bool = False
    """`chat`: subscribers send the messages, and the stream never ends (the scenario's [chat])."""
    payload: str = "random"
    """`fanout`: `random` letters, or `json`, documents that compress as real ones do."""


@dataclass(frozen=True, slots=True)
class Source:
    """The inputs of a stream. `channel`: a number within the stream. `channels`: the number of its channels."""

    seed: int
    epoch_s: int
    channel: int
    channels: int
    pace: Pace
    stream: str

    def random(self) -> Random:
        """A separate generator for this stream and channel.

        Python hashes a text seed with SHA-512, so PYTHONHASHSEED does not matter. Use only `random()` and
        `getrandbits()`: Python promises that only these stay the same between versions.
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
    """A finite stream is kept whole for late subscribers. In a trial it starts when all are subscribed."""
    from_start: bool = True
    """True: a subscriber without a cursor gets a finite stream from its start. False: only once it is over."""
    json_payload: bool | None = True
    """Whether every payload is JSON, which an envelope holds unchanged (interface.md, Wire). None: each is checked."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Response headers that override those of every SSE stream."""
    heartbeat_s: float | None = None
    """Its own heartbeat; None: the scenario's."""
    uplink: bool = False
    """Whether subscribers may send messages, if the scenario allows it (`Pace.conversation`)."""
    needs: str = ""
    """The [workload] key that the stream requires."""

    @abstractmethod
    def emissions(self, source: Source) -> Iterator[Emission | Notice]:
        """The stream's messages and notices, lazily, in order of `offset_ns` (never falling); ids count messages."""

    def live(self, source: Source, offset_ns: int) -> str:
        """The payload of an emission with an empty one, made when it is due."""
        raise NotImplementedError(f"{self.name} makes no payloads when they are due")

    def foreseen(self, pace: Pace) -> bool:
        """Whether the seed alone determines the messages."""
        return True

    def takes(self, pace: Pace) -> bool:
        """Whether subscribers send the messages. The seed then makes none, and the stream does not end."""
        return self.uplink and pace.conversation

    def check(self, pace: Pace) -> None:
        """Raises ScenarioError if the stream cannot be played with `pace`. Called before anything is started."""
        if self.needs and not getattr(pace, self.needs):
            raise ScenarioError(f"stream {self.name} needs workload.{self.needs}", f"set workload.{self.needs}")


@cache
def catalogue() -> dict[str, Stream]:
    """Every stream by its name. A new file in this folder is enough."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.name: kind() for kind in sorted(Stream.__subclasses__(), key=lambda kind: kind.name)}


def find(name: str) -> Stream:
    """The stream called `name`. Raises ScenarioError with the known names."""
    streams = catalogue()
    if name not in streams:
        raise ScenarioError(f"stream: unknown stream {name!r}", one_of(name, streams))
    return streams[name]
