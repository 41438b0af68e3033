"""`python -m rtbench.servers.stacks.listener HOST PORT HEARTBEAT_S COMMAND…`: listen, then become COMMAND.

For a stack that cannot set a socket's options itself: the kernel's limits on every connection
(`servers/kit/liveness.py`) are set on the listening socket, and accepted ones inherit them. COMMAND gets the socket as
descriptor 3, with LISTEN_FDS and LISTEN_PID, as from systemd's socket activation (sd_listen_fds(3)); LISTEN_OPTIONS has
the options as JSON.
Invariant: the process is COMMAND's; nothing of this program is left in it. Started by `servers/stacks/node.py`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import NoReturn

from rtbench.servers.kit import liveness

DESCRIPTOR = 3
BACKLOG = 4096
UNACKNOWLEDGED = 0.75
"""How many heartbeats bytes may be unacknowledged. Here the kernel alone notices a dead peer: up to one heartbeat
passes before bytes are written, and two are allowed, so it must be less than one."""
LEAST_MS = 500


def main() -> NoReturn:
    """Exits only if it cannot listen: exit code 2, one line on standard error."""
    host, port, heartbeat_s, *command = sys.argv[1:]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while ")[0]
        sys.stderr.write(f"rtbench: cannot listen on {host}:{port} ({reason}): free that port or take --port 0\n")
        sys.exit(2)
    options = liveness.watch(listener, float(heartbeat_s), UNACKNOWLEDGED, LEAST_MS)
    os.dup2(listener.fileno(), DESCRIPTOR)
    os.set_inheritable(DESCRIPTOR, True)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_OPTIONS": json.dumps(options)}
    os.execvp(command[0], command)  # noqa: S606 - without a shell, on purpose


if __name__ == "__main__":
    main()
