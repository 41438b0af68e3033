"""A server's socket options, read from the running process and not from its declaration (R11).

pidfd_getfd(2) copies its sockets: connections give TCP_NODELAY, buffers and timeouts, the listening socket its backlog.
Invariant: what is observed is not changed; an option that cannot be read is left out, never guessed. Called by the
trial for its manifest, by the conformance case `fairness`, and at the start of a program that lacks the setting
(`no_delay`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rtbench.machine import probes

_PIDFD_GETFD = 438
_SAMPLE = 5
"""Connections that are read; a server treats them alike."""
_TCP_USER_TIMEOUT, _TCP_CONGESTION = 18, 13


def observe(pid: int, port: int) -> dict[str, Any]:
    """Socket options of the process tree of `pid`, which listens on TCP `port`; empty without the right to read them.

    Keys: `nodelay` (true: on every connection read), `backlog`, and `observed` with further options.
    """
    found: dict[str, Any] = {}
    connections = 0
    for process in probes.tree(pid):
        # The listening socket is the oldest, the publisher's (if any) come next, subscribers' are the newest.
        for sock in islice(_sockets(process, port), 1):
            with sock:
                if _listens(sock):
                    found["backlog"] = _backlog(sock)
        for sock in reversed(list(islice(_sockets(process, port, newest=True), _SAMPLE))):
            with sock:
                if not _listens(sock):
                    connections += 1
                    _connection(sock, found)
    if found:
        observed = found.setdefault("observed", {})
        observed |= {"threads": _threads(pid), "cores": probes.cores_of(pid), "connections": connections}
    return found


def no_delay(pid: int, port: int) -> bool:
    """Set TCP_NODELAY on the socket that listens on `port` in the process tree of `pid`. Connections that it accepts
    from now on inherit the option (Linux). Returns whether it could be set.
    """
    for process in probes.tree(pid):
        for sock in islice(_sockets(process, port), 1):
            with sock:
                if _listens(sock):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return True
    return False


def _connection(sock: socket.socket, found: dict[str, Any]) -> None:
    nodelay = bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    found["nodelay"] = found.get("nodelay", True) and nodelay
    observed = found.setdefault("observed", {})
    observed["send_buffer_bytes"] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    observed["receive_buffer_bytes"] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    observed["user_timeout_ms"] = sock.getsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT)
    observed["keepalive"] = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    on, seconds = struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    observed["linger_s"] = seconds if on else -1
    name = sock.getsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, 16)
    observed["congestion_control"] = name.split(b"\0")[0].decode()


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _backlog(listener: socket.socket) -> int:
    """The backlog that the kernel granted: tcpi_sacked of a listening socket (tcp(7), tcp_get_info)."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    backlog: int = struct.unpack_from("I", info, 28)[0]
    return backlog


def _sockets(pid: int, port: int, newest: bool = False) -> Iterator[socket.socket]:
    """Copies of the process's TCP sockets whose own port is `port`, the oldest first or the newest."""
    try:
        pidfd = os.pidfd_open(pid)
        entries = sorted(((int(path.name), path) for path in Path(f"/proc/{pid}/fd").iterdir()), reverse=newest)
    except OSError:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        for number, path in entries:
            with contextlib.suppress(OSError):
                if not str(path.readlink()).startswith("socket:"):
                    continue
                copy = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
                if copy < 0:
                    continue
                sock = socket.socket(fileno=copy)
                if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname()[1] == port:
                    yield sock
                else:
                    sock.close()
    finally:
        os.close(pidfd)


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return -1
