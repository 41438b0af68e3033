"""What one connection to a stream brought: its head, the time of every read, and the events in them.

Times are seconds of `time.monotonic`. Invariant: a `Recording` is a value; it holds no more than the limits of
`rtbench.diagnosis._listening`, whatever the server sent. Made there, read by the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EVENT, HEARTBEAT, RETRY = "event", "heartbeat", "retry"

OPEN, ENDED, CUT = "open", "ended", "cut"
"""How a recording stops: we stopped; the server ended the answer or closed as the protocol asks; it broke off."""


@dataclass(frozen=True, slots=True)
class Item:
    """An event, a heartbeat or a `retry` field.

    `at`: when it was whole; `began`: when its first byte was read; `pause`: the longest wait between two reads in it.
    `read`: the number of the read that completed it. `text`: the first bytes; `size`, `digest`: of all.
    """

    kind: str
    at: float
    began: float
    pause: float
    read: int
    id: str = ""
    type: str = ""
    text: bytes = b""
    size: int = 0
    digest: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """One connection, from the request to its end or to the moment when rtbench stopped it.

    `status` 0: no answer; `why` then has the reason. `line` and `fields`: the answer's head as it was sent. `reads`:
    time and bytes of each read after the request. `body_bytes`: after the transfer coding. `beginning`: the first
    bytes of the body. `strange`: lines of an event stream that have no meaning there. `pong`: whether a ping of ours
    was answered (None: not asked). `farewell`: "echoed", "dropped" or "ignored", the answer to our close frame.
    """

    asked_at: float
    status: int = 0
    line: str = ""
    fields: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    head_at: float = 0.0
    reads: tuple[tuple[float, int], ...] = ()
    items: tuple[Item, ...] = ()
    body_bytes: int = 0
    beginning: bytes = b""
    strange: tuple[str, ...] = ()
    data_lines: int = 0
    state: str = OPEN
    why: str = ""
    code: int = 0
    stopped_at: float = 0.0
    full: bool = False
    """Stopped at the limit of size."""
    pong: bool | None = None
    farewell: str = ""

    @property
    def events(self) -> list[Item]:
        """The events alone."""
        return [item for item in self.items if item.kind == EVENT]

    @property
    def heartbeats(self) -> list[Item]:
        """The heartbeats alone."""
        return [item for item in self.items if item.kind == HEARTBEAT]

    @property
    def seconds(self) -> float:
        """How long it was open, from the head on."""
        return max(0.0, self.stopped_at - self.head_at) if self.status else 0.0

    def silences(self) -> list[float]:
        """The waits between two reads, from the request to the stop."""
        times = [self.asked_at, *(at for at, _ in self.reads)]
        return [later - before for before, later in zip(times, [*times[1:], self.stopped_at], strict=True)]

    def header(self, name: str) -> str:
        """A header as evidence: the line as it was sent, or that it is missing."""
        lines = [line for line in self.fields if line.partition(":")[0].strip().lower() == name.lower()]
        return "; ".join(lines) or f"{name}: missing"
