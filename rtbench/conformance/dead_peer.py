"""A server detects a peer that vanishes silently, as if its cable were cut, and frees its connection.

A filter on the peer's own socket drops whatever arrives: the peer acknowledges nothing and sends neither FIN nor RST.
The filter needs no privilege (socket(7), SO_ATTACH_FILTER).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time

from rtbench.conformance import PUSH, Skipped, case
from rtbench.conformance._checks import consecutive
from rtbench.conformance._client import Subscriber, held
from rtbench.conformance._target import Target

SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF: return 0, that is: keep no byte of it
LEAST_S, SLACK = 1.0, 1 / 6
"""With heartbeats under half a second TCP's own timeout counts. A busy machine may be late by the slack, which is a
share of the target's patience."""
LOOK_S = 0.02


def vanish(link: socket.socket) -> None:
    """Make this socket drop whatever arrives, so that it never answers again. Raises OSError."""
    code = ctypes.create_string_buffer(_DROP_ALL)
    link.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(code)))


@case("dead-peer", claims={"dead-peer"}, transports=PUSH, needs={"server", "quiet"})
def dead_peer(target: Target) -> list[str]:
    """A peer that vanishes without FIN is dropped within two heartbeats; other subscribers notice nothing."""
    assert target.owned is not None
    most_s = max(LEAST_S, 2 * target.owned.limits.heartbeat_s) + SLACK * target.patience_s
    with Subscriber(target) as healthy, Subscriber(target, stream=target.quiet) as dead:
        if not (healthy.open() and dead.open()):
            return [f"a subscriber did not open: {dead.why()}"]
        port = dead.link.getsockname()[1]
        try:
            vanish(dead.link)
        except OSError as error:
            raise Skipped(f"the kernel refuses the filter that silences a socket ({error})") from error
        began = time.monotonic()
        found = healthy.messages(1)
        while (stands := held(target.port, port)) and time.monotonic() - began < most_s:
            found += healthy.messages(1000, LOOK_S)
        if stands is None:
            raise Skipped("the kernel does not list connections")
        problems = consecutive(found, "the healthy subscriber")
        if stands:
            heartbeat = f"a heartbeat is due every {target.owned.limits.heartbeat_s:g} s"
            problems.append(f"still connected {most_s:.1f} s after it vanished ({heartbeat})")
        return problems
