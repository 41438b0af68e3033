"""The frame of every server process of ours: options, socket, feed, readiness, signals.

Invariant: the readiness line is printed when the listening socket accepts and the ring is refilled, and a line with
what was refused (`Counts`) at the end; after SIGTERM or
SIGINT the process is gone within two seconds, whatever its connections do. A subject's `serve(server)` gets a
`Server`, awaits `server.filled()`, accepts on `server.socket`, calls `server.ready()` and returns when `server.stopped`
is set and its farewells are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from msgspec import to_builtins

from rtbench.errors import UserError
from rtbench.messages.lines import say
from rtbench.messages.server import Counts, Limits, Readiness, ServerOptions
from rtbench.servers.kit import liveness, origin, tls
from rtbench.servers.kit.channel import Encoder
from rtbench.servers.kit.guard import Guard
from rtbench.servers.kit.hub import Hub
from rtbench.servers.kit.ingest import ingest
from rtbench.subjects import Subject
from rtbench.transports.coding import NONE

__all__ = ["BACKLOG", "FAREWELL_S", "READ_BUFFER_BYTES", "Server", "listen", "run", "tidy"]

H = TypeVar("H", bound=Hub)

BACKLOG = 4096
READ_BUFFER_BYTES = 4096
"""The article's read buffer. asyncio's own reads are always 256 KiB."""

GC_THRESHOLDS = (700, 10, 1000)
FAREWELL_S = 1.2
"""How long farewells may take after SIGTERM; the process exits at LAST_S in any case."""
LAST_S = 1.7


class Server:
    """One running server process."""

    def __init__(self, subject: Subject, options: ServerOptions) -> None:
        self.subject = subject
        self.options = options
        self.stopped = asyncio.Event()
        self.socket = listen(options.host, options.port)
        self.guard = Guard(options.bounds)
        self.tls = tls.context(options.tls)
        """The context of its TLS; None: cleartext."""
        self._watched = liveness.watch(self.socket, options.limits.heartbeat_s)
        self.conversing: set[asyncio.Task[Any]] = set()
        """Handlers that wait for the answer to their farewell (WebSocket): the server waits for them, then closes."""
        self.hub_type: Callable[[Encoder, Limits], Hub] = Hub
        self.middlewares: tuple[Callable[..., Awaitable[Any]], ...] = ()
        """Set by a fault-injecting subject before it serves."""
        self._tasks: list[asyncio.Task[None]] = []
        self._hubs: list[Hub] = []

    def hub(self, encoder: Encoder) -> Hub:
        """Make the process's hub; see `feed`."""
        return self.feed(self.hub_type(encoder, self.options.limits))

    def feed(self, hub: H) -> H:
        """Start the feed and the heartbeat of a hub. A subject has one; the demo has one for each transport."""
        self._hubs.append(hub)
        self._tasks += [asyncio.create_task(ingest(hub, self.options.ingest)), asyncio.create_task(hub.beat())]
        return hub

    async def filled(self) -> None:
        """Wait until the rings are filled. Await it before the first connection is accepted.

        Earlier clients wait in the backlog. A hub without its workload would answer 404 or a false gap.
        """
        assert self._hubs
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, tidy)
        for hub in self._hubs:
            await hub.live.wait()

    async def ready(self) -> None:
        """Print the readiness line: the server accepts."""
        # Imported objects stay out of every collection. A full collection over 10,000 connections takes half a second
        # (seen), so the old generation is collected a hundred times less often, for all subjects alike.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        host, port = self.socket.getsockname()[:2]
        url = f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        say(Readiness(url, self._uses()))

    @property
    def secure(self) -> dict[str, Any]:
        """The arguments of `loop.create_server` for TLS; a handshake may take as long as a head."""
        return {"ssl": self.tls, "ssl_handshake_timeout": self.options.bounds.head_s} if self.tls else {}

    def refuses(self, page: str | None, host: str) -> bool:
        """Whether a request with this `Origin` and this `Host` is a page's that may neither connect nor post."""
        if origin.allowed(page, host, self.options.allow_origin):
            return False
        self.guard.refused["origin"] += 1
        return True

    def _uses(self) -> dict[str, Any]:
        """The settings in use (R11), for the trial's manifest."""
        limits, coding = self.options.limits, self.options.compression
        once = self.subject.technique == "encode-once"
        return {
            "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
            "stack": ", ".join(_versioned(name) for name in self.subject.packages or (self.subject.stack,)),
            "python": sys.version.split()[0],
            "technique": self.subject.technique,
            "gc_thresholds": gc.get_threshold(),
            "nodelay": True,
            "backlog": BACKLOG,
            "access_log": False,
            "compression": coding,
            **({} if coding == NONE else {"compression_context": "message" if once else "connection"}),
            "heartbeat_s": limits.heartbeat_s,
            "buffer_bytes": limits.buffer_bytes,
            "slow_consumer": "drop",
            **self._watched,
            "ring_messages": limits.ring_messages,
            "ring_bytes": limits.ring_bytes,
            **to_builtins(self.options.bounds),
            "allow_origin": list(self.options.allow_origin),
        }

    def _stop(self) -> None:
        if not self.stopped.is_set():
            last = threading.Timer(LAST_S, os._exit, (0,))  # a thread: the loop may be busy with 10,000 farewells
            last.daemon = True
            last.start()
            for task in self._tasks:
                task.cancel()
            for hub in self._hubs:
                hub.stop()
            self.guard.close()
            self.stopped.set()


def _versioned(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # part of the standard library
        return f"{package} of Python {sys.version.split()[0]}"


def tidy() -> None:
    """Collect garbage and return free memory (SIGUSR1), so that memory is read in a declared state (R4)."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket with our backlog. Raises UserError for a port in use or another machine's address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY on accepted sockets only then.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot listen on {host}:{port} ({reason})", "free that port or take --port 0") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def run(subject: Subject, options: ServerOptions) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = Server(subject, options)
    with contextlib.suppress(asyncio.CancelledError):
        assert subject.serve is not None, f"{subject.name} has no serve()"
        try:
            await subject.serve(server)
        finally:
            with contextlib.suppress(OSError):  # the process that started it is away
                say(Counts(dict(server.guard.refused)))
