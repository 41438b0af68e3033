"""What the publisher says first to every server that connects to its feed (`servers/kit/feed.py`).

Servers on other stacks read it, too (servers/hyperlane/src/feed.rs, servers/node/feed.js): its JSON stays as it is.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Self

from rtbench.messages.lines import Message, Reader
from rtbench.streams import Pace
from rtbench.workload import Workload


class PlayedWorkload(Message, frozen=True):
    """A workload as JSON has it. `pace`: the members of `rtbench.streams.Pace` in their order."""

    streams: tuple[str, ...]
    seed: int
    epoch_s: int
    subscribers: int
    pace: tuple[str, float, int, str, bool, str, bool, bool]

    @classmethod
    def of(cls, workload: Workload) -> Self:
        """This workload."""
        return cls(workload.streams, workload.seed, workload.epoch_s, workload.subscribers, astuple(workload.pace))

    def restore(self) -> Workload:
        """The workload that it was made of."""
        return Workload(self.streams, self.seed, self.epoch_s, self.subscribers, Pace(*self.pace))


class Hello(Message, frozen=True):
    """Which run of the publisher it is (`epoch`), on which machine, and what it plays."""

    epoch: str
    boot_id: str
    workload: PlayedWorkload


HELLO: Reader[Hello] = Reader(Hello)
