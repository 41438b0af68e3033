"""The running server has the socket options that every subject must have, and those that it declares (R11)."""

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
    """TCP_NODELAY is on, the backlog is 4,096, and the declared options match the running process.

    Runs alone: a connection that another case just opened may not have its options yet (seen with picows).
    """
    assert target.owned is not None
    server = target.owned.server
    with Subscriber(target) as subscriber:
        if not (subscriber.open() if target.transport in ("sse", "websocket") else subscriber.messages(1)):
            return [f"a subscriber did not open: {subscriber.why()}"]
        seen = observe(server.pid, target.port)
    if not seen:
        return []  # without the ptrace right nothing is known about its sockets
    problems: list[str] = []
    if not seen.get("nodelay", True):
        problems.append("TCP_NODELAY is off on its connections")
    wanted = min(BACKLOG, _granted())
    if seen.get("backlog", wanted) < wanted:
        problems.append(f"its listen backlog is {seen['backlog']}, wanted {wanted}")
    if (shown := server.uses.get("nodelay")) is not None and shown != seen.get("nodelay", shown):
        problems.append(f"it declares TCP_NODELAY {shown}, its connections have {seen['nodelay']}")
    return problems
