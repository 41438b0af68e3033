"""What the running server uses is what every subject has to use, and what it says that it uses (R11)."""

from __future__ import annotations

from pathlib import Path

from rtbench.conformance import EVERY, case
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.machine.sockets import observe

BACKLOG = 4096


def _granted() -> int:
    """The longest backlog that the kernel grants."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except (OSError, ValueError):
        return BACKLOG


@case("fairness", transports=EVERY, claims={"fairness"}, needs={"server"}, quick=True, last=1)
def fairness(target: Target) -> list[str]:
    """TCP_NODELAY on, a backlog of 4,096, and nothing declared that the running process does not show.

    Alone: a connection of another case may just have been accepted, and not have its options yet (picows, seen).
    """
    assert target.owned is not None
    server = target.owned.server
    with Subscriber(target) as subscriber:
        if not (subscriber.open() if target.transport in ("sse", "websocket") else subscriber.messages(1)):
            return [f"a subscriber did not open: {subscriber.why()}"]
        seen = observe(server.pid, target.port)
    if not seen:
        return []  # not ours to look at (no ptrace): nothing is known, nothing is said
    problems: list[str] = []
    if not seen.get("nodelay", True):
        problems.append("TCP_NODELAY is off on its connections")
    wanted = min(BACKLOG, _granted())
    if seen.get("backlog", wanted) < wanted:
        problems.append(f"its listen backlog is {seen['backlog']}, {wanted} are wanted")
    if (shown := server.uses.get("nodelay")) is not None and shown != seen.get("nodelay", shown):
        problems.append(f"it declares TCP_NODELAY {shown}, its connections have {seen['nodelay']}")
    return problems
