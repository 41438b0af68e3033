"""What a trial and the holder of a network namespace tell each other (`rtbench.processes._namespace`).

The holder says Ready first, then answers each Configure with Configured.
"""

from __future__ import annotations

from rtbench.messages.lines import Message, Reader


class Ready(Message, frozen=True):
    """The namespace is there, and process `ready` is in it."""

    ready: int


class Configure(Message, frozen=True):
    """Give `interface` these addresses (with prefix lengths) and bring it up without offloads."""

    interface: str
    addresses: tuple[str, ...]


class Configured(Message, frozen=True):
    """It is up; `offloads` are those that are still on."""

    offloads: tuple[str, ...]


READY: Reader[Ready] = Reader(Ready)
CONFIGURE: Reader[Configure] = Reader(Configure)
CONFIGURED: Reader[Configured] = Reader(Configured)
