"""`… -m rtbench.servers.stacks.listening HOST PORT COMMAND…`: exec COMMAND, an nginx, with a listening socket of ours.

Linux gives an accepted socket the options of the one that listens, so TCP_NODELAY set here is on for every connection,
as with `NoDelay=yes` in a systemd socket unit. nginx takes over the listening sockets that its variable NGINX names
(that is how it replaces its own binary) and gives them the backlog of its configuration. Used by `nchan.py`.
"""

from __future__ import annotations

import os
import socket
import sys


def main() -> None:
    """Never returns."""
    host, port, *command = sys.argv[1:]
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port} ({error.strerror})")
    listener.listen()
    listener.setblocking(False)  # nginx takes it as it is
    listener.set_inheritable(True)
    os.environ["NGINX"] = f"{listener.fileno()};"
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
