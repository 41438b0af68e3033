"""Everything that `rtbench check` has seen of a stream: the recordings of its few connections.

Invariant: a field that was not looked at is None or empty; the check that needs it raises Undecided.
Made by `rtbench.diagnosis._gathering`, read by the checks; the tests write it by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rtbench.diagnosis._recording import Item, Recording
from rtbench.transports.envelope import at_path

_ID_KEYS = ("id", "seq", "sequence")


@dataclass(frozen=True, slots=True)
class Limits:
    """`seconds`: the longest that a check listens. `least_s`: the shortest, if the stream has shown enough by then.

    `silence_s`: the longest silence that the way to the subscriber bears. `patience_s`: for one answer. `bytes`: of
    one connection. `held_s`: a longer wait between write and read is neither the network's nor a busy machine's:
    something held the bytes back. `cut_s`: what breaks off after a longer silence was cut for it.
    """

    seconds: float = 45.0
    least_s: float = 10.0
    silence_s: float = 30.0
    patience_s: float = 3.0
    held_s: float = 0.5
    cut_s: float = 3.0
    bytes: int = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Evidence:
    """`plain`: the connection that was watched all the time. `second`: a later one beside it.

    `offered`: one that offered compression. `resumed`: one with the `Last-Event-ID` `resumed_from`. `again`: one
    after the stream's end. `polls`: the answers of a polled URL. `foreign`: the status of a WebSocket request from
    another site's page. `due`: when each id was to be sent (a subject of ours), by `time.monotonic`.
    """

    transport: str
    plain: Recording
    limits: Limits = field(default_factory=Limits)
    second: Recording | None = None
    offered: Recording | None = None
    resumed: Recording | None = None
    resumed_from: str = ""
    again: Recording | None = None
    polls: Sequence[Recording] = ()
    validated: Recording | None = None
    foreign: int | None = None
    due: Mapping[int, float] = field(default_factory=dict)
    due_bytes: Mapping[int, int] = field(default_factory=dict)
    proxy: str = ""


def number(item: Item) -> int | None:
    """The number that counts an event: its id, or the `id` or `seq` of its JSON; None without one."""
    if re.fullmatch(r"[0-9]{1,18}", item.id):
        return int(item.id)
    if not item.text.lstrip().startswith(b"{"):
        return None
    if found := re.match(rb'\{"id":([0-9]{1,18})[,}]', item.text):  # also where the text is cut
        return int(found[1])
    for key in _ID_KEYS:
        value = at_path(item.text, (key,))
        if type(value) is int and 0 <= value < 10**18:
            return value
    return None


def seconds(value: float) -> str:
    """A length of time as evidence shows it."""
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def quote(data: bytes) -> str:
    """The beginning of some bytes as evidence shows it."""
    return repr(data[:80].decode("utf-8", "replace"))
