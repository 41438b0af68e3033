"""The publisher's first message to every server that connects to its feed (`servers/kit/feed.py`).

Servers on other stacks read it too (servers/hyperlane/src/feed.rs, servers/go/feed, servers/node/feed.js): its JSON
must not change.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Self

from rtbench.messages.lines import Message, Reader
from rtbench.streams import Pace
from rtbench.workload import Workload


class PlayedWorkload(Message, frozen=True):
    """A workload as JSON. `pace`: the members of `rtbench.streams.Pace` in their order."""

    streams: tuple[str, ...]
    seed: int
    epoch_s: int
    subscribers: int
    pace: tuple[str, float, int, str, bool, str, bool, bool, str]

    @classmethod
    def of(cls, workload: Workload) -> Self:
        """The message of a workload."""
        return cls(workload.streams, workload.seed, workload.epoch_s, workload.subscribers, astuple(workload.pace))

    def restore(self) -> Workload:
        """The workload of the message."""
        return Workload(self.streams, self.seed, self.epoch_s, self.subscribers, Pace(*self.pace))


class Hello(Message, frozen=True):
    """The run of the publisher (`epoch`), its machine (`boot_id`) and the workload that it plays."""

    epoch: str
    boot_id: str
    workload: PlayedWorkload


HELLO: Reader[Hello] = Reader(Hello)
