"""The message of a trial to its starver (`rtbench.processes._starve`)."""

from __future__ import annotations

from rtbench.messages.lines import Message, Reader


class Burn(Message, frozen=True):
    """Burn `burn_s` of every `every_s` between two instants (CLOCK_MONOTONIC)."""

    start_ns: int
    end_ns: int
    burn_s: float
    every_s: float


BURN: Reader[Burn] = Reader(Burn)
