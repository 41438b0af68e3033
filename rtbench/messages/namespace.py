"""The messages between a trial and the holder of a network namespace (`rtbench.processes._namespace`).

The holder sends Ready first, then answers each Configure with Configured.
"""

from __future__ import annotations

from rtbench.messages.lines import Message, Reader


class Ready(Message, frozen=True):
    """The namespace exists, and process `ready` is in it."""

    ready: int


class Configure(Message, frozen=True):
    """Give `interface` these addresses (with prefix lengths) and bring it up without offloads."""

    interface: str
    addresses: tuple[str, ...]


class Configured(Message, frozen=True):
    """The interface is up. `offloads`: those that are still on."""

    offloads: tuple[str, ...]


READY: Reader[Ready] = Reader(Ready)
CONFIGURE: Reader[Configure] = Reader(Configure)
CONFIGURED: Reader[Configured] = Reader(Configured)
