"""A peer that vanishes without a word, as when its cable is cut, is noticed and let go of.

The peer is made to vanish by a filter on its own socket that drops whatever arrives: nothing is acknowledged any
more, no FIN and no RST are sent, and no right is needed for it (socket(7), SO_ATTACH_FILTER).
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
"""With heartbeats under half a second TCP's own patience counts. A busy machine may be late by the slack, which is a
share of the target's patience."""
LOOK_S = 0.02


def vanish(link: socket.socket) -> None:
    """From now on this socket hears nothing and, having nothing to answer, says nothing. Raises OSError."""
    code = ctypes.create_string_buffer(_DROP_ALL)
    link.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(code)))


@case("dead-peer", claims={"dead-peer"}, transports=PUSH, needs={"server", "quiet"})
def dead_peer(target: Target) -> list[str]:
    """Who vanished without FIN is noticed within two heartbeats and freed; the others notice nothing."""
    assert target.owned is not None
    most_s = max(LEAST_S, 2 * target.owned.limits.heartbeat_s) + SLACK * target.patience_s
    with Subscriber(target) as healthy, Subscriber(target, stream=target.quiet) as dead:
        if not (healthy.open() and dead.open()):
            return [f"a subscriber did not open: {dead.why()}"]
        port = dead.link.getsockname()[1]
        try:
            vanish(dead.link)
        except OSError as error:
            raise Skipped(f"a socket cannot be made to vanish here ({error})") from error
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
