"""The messages between a trial and its router (`rtbench.processes._router`).

The router gets `Route` as its argument and says Opened when its devices exist. After Begin it forwards packets, and
answers each Count with Counted. `down` is from the server to the load, `up` the other way.
"""

from __future__ import annotations

from rtbench.messages.lines import Message, Reader


class Link(Message, frozen=True):
    """One direction. `rate_bps` in bits a second, 0: no limit; `loss` is a share of the packets."""

    delay_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0
    rate_bps: float = 0.0
    queue_ns: int = 0


class Route(Message, frozen=True):
    """What a router does. `server` and `load`: paths of the namespaces that get a device called `interface` each."""

    interface: str
    server: str
    load: str
    down: Link
    up: Link
    seed: int
    library: str


class Opened(Message, frozen=True):
    """Both devices exist."""

    scheduling: str


class Begin(Message, frozen=True, tag="begin"):
    """Forward from now on: the devices have their addresses."""


class Count(Message, frozen=True, tag="count"):
    """Tell the counters."""


class Packets(Message, frozen=True):
    """One direction since the beginning. Packets are IP packets, bytes have their IP heads.

    `other`: not forwarded on purpose (multicast, link-local). `no_room`, `refused` and `device` were dropped by the
    router itself: it held too many packets, the device took one not, the device's queue was full.
    """

    packets: int
    bytes: int
    forwarded: int
    forwarded_bytes: int
    lost: int
    queue_full: int
    no_room: int
    refused: int
    device: int
    other: int
    queued_max_ns: int

    @property
    def own_drops(self) -> int:
        """Packets that the router dropped without being asked to."""
        return self.no_room + self.refused + self.device


class Counted(Message, frozen=True):
    """The counters. Lateness: how much later than planned packets were written, since the last Count."""

    down: Packets
    up: Packets
    held: int
    late_p50_ns: int
    late_p99_ns: int
    late_max_ns: int


Command = Begin | Count

OPENED: Reader[Opened] = Reader(Opened)
COMMAND: Reader[Command] = Reader(Command)
COUNTED: Reader[Counted] = Reader(Counted)
ROUTE: Reader[Route] = Reader(Route)
