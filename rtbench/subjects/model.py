"""The model of a subject: a transport on a stack, its start, and the way messages reach it.

A subject has three properties: its start (a coroutine of ours, a program, or a foreign server's URL), its way of
publishing (our feed, HTTP, or none), and its transport. Invariant: a `Subject` is a value and independent of the
registry. Used by every file in `servers/`; the measuring code gets subjects from the registry.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbench.errors import UnavailableError, UserError
from rtbench.subjects.requirements import Requirement, lacking
from rtbench.subjects.templates import JSON_TYPE, Body, check_path
from rtbench.subjects.tls import TlsFiles
from rtbench.transports.catalogue import catalogue as transports
from rtbench.transports.catalogue import find as transport

__all__ = ["CAPABILITIES", "CLAIMS", "FEED", "NOBODY", "Launch", "Post", "Program", "Subject"]

CLAIMS: Mapping[str, str] = {
    "resume": "a client that reconnects with the last id gets all that follows, without a hole between replay and live",
    "gap": "a cursor that is older than the ring, or from the future, gets a gap notice",
    "heartbeat": "a push connection gets a heartbeat within two heartbeats",
    "end": "a finite stream is kept whole for late subscribers, and ends with a notice and a clean close",
    "failure": "retry advice and the final failure of a stream arrive",
    "errors": "an unknown stream, a bad parameter and a wrong method get the contract's status and a small JSON error",
    "headers": "an SSE response has the article's headers",
    "aliases": "an SSE server has the article's routes",
    "framing": "a message is one SSE event in one chunk, or one WebSocket text frame; a poll's answer has its length",
    "plan": "`GET /plan/STREAM` gives the due time of each message",
    "slow-consumer": "a client that stops reading is dropped at `server.buffer_bytes`; the others get everything",
    "dead-peer": "a client that vanished without FIN is dropped within two heartbeats",
    "shutdown": "on SIGTERM streams end cleanly, waiting polls are answered, and the process ends in time",
    "fairness": "TCP_NODELAY, a backlog of 4,096, and a declaration of what the server uses that is true (R11)",
    "polls": "an answer to a poll has `next` and `ETag`; nothing new gets 304 or 204",
    "conversation": "subscribers send messages, and all get them in one order",
    "uncompressed": "nothing is compressed, also for a client that offers it",
    "origin": "a page of another site can neither open a WebSocket nor post (403), nor read an answer (no CORS)",
    "quiet-log": "the server logs no exception",
    "tls": "asked for TLS, it serves that version with the certificate that it is given, and no cleartext",
    "http2": "asked for HTTP/2, it agrees on it in the TLS handshake (ALPN), and serves the same over it",
}
"""What a subject may claim, and what that means."""
CAPABILITIES = frozenset(CLAIMS) - {"http2"}
"""What a subject claims that names nothing; `verify` checks what is claimed and says what is not."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The inputs of a program's command. `folder`: its own folder, for configuration; `feed`: our Unix socket."""

    host: str
    port: int
    folder: Path
    feed: Path
    limits: Mapping[str, Any]
    """The scenario's [server] table: heartbeat_s, ring_messages, ring_bytes, buffer_bytes."""
    subscribers: int
    tls: TlsFiles | None = None
    """With what it serves TLS; None: cleartext."""
    posts: int = 0
    """With TLS, the port on which it takes the publisher's posts in cleartext; 0: there are none."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server that a command starts.

    `command`: words with {host}, {port}, {folder} and {feed} filled in, for TLS also {certificate}, {key} (PEM files)
    and {posts} (a port for posts in cleartext); or a function of a Launch that may write configuration.
    `ready`: "line": it prints one JSON line {"url","uses"}; or a path that is polled until the server answers.
    `version`: the command that prints its version; the first line is recorded. `cgroup`: a container's, whose CPU and
    memory replace the process tree's. `tidy`: the signal that makes it collect garbage; 0: none. `nodelay`: the harness
    sets TCP_NODELAY on its listening socket, for a server that has no setting for it; its connections inherit it.
    """

    command: Sequence[str] | Callable[[Launch], Sequence[str]]
    ready: str = "/"
    version: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    cwd: str = ""
    tidy: int = 0
    nodelay: bool = False


FEED = "feed"
"""Our servers take ticks from the publisher's Unix socket."""
NOBODY = "nobody"
"""The harness cannot publish into it: it has a timetable of its own."""


@dataclass(frozen=True, slots=True)
class Post:
    """Publishing by HTTP POST, pipelined over kept-alive connections; a channel stays on one connection, in order.

    `path`: may contain {stream}, {channel} and {query}. `wrap`: the body is `{"id":N,"data":PAYLOAD}`, else PAYLOAD.
    `batch`: the maximum number of messages in a body, one a line, if they are due together; 1: a request each.
    `body`: the template of a body in the server's own shape (`rtbench.subjects.templates`); empty: `wrap` counts.
    `content_type`: empty: JSON for a `body`, else none. `port`: where posts go; 0: the port of the server.
    Raises UserError for a wrong template.
    """

    path: str = "/publish/{stream}?channel={channel}"
    wrap: bool = True
    connections: int = 1
    batch: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    content_type: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        check_path("post_path", self.path, ("stream", "channel", "query"))
        if self.content_type and any(name.lower() == "content-type" for name in self.headers):
            raise UserError("post_type and post_headers both set the content type", "remove one of them")
        if self.body:
            if not self.wrap or self.batch > 1:
                other = "post_batch > 1" if self.wrap else "post_wrap = false"
                raise UserError(f"post_body cannot be combined with {other}", "remove one of them")
            self.template()

    @property
    def sent_type(self) -> str:
        """The content type that is sent; empty: none."""
        return self.content_type or (JSON_TYPE if self.body else "")

    def template(self) -> Body | None:
        """The body's template; None without one."""
        return Body.of(self.body, self.sent_type) if self.body else None


@dataclass(frozen=True, slots=True)
class Subject:
    """A transport on a stack.

    `arm`: "controlled" (one stack for all transports) or "idiomatic" (what one would use for this transport), R10.
    `technique`: "encode-once" (the same bytes written to every connection) or "per-connection" (the public API).
    One of `serve` (coroutine that serves until its hub stops; see `servers/kit/app.py`), `program`, `url`.
    `path`: the subscription path, if it differs from the contract's; see `template`.
    `carries_id`: "protocol" (interface.md, Wire), "payload" (each message is `{"id":N,"data":PAYLOAD}`), "json:A.B"
    (the number at that path of the JSON that subscribers get) or "none".
    `payload`: "json:A.B", the path of what was published in the JSON that subscribers get; empty: all of it.
    `codec`: the load's codec, if it differs from the transport's own (`rtbench.transports.catalogue`).
    `headers`, `subprotocol`, `greeting`: header fields, WebSocket subprotocol and texts that a subscriber sends.
    `tls_ca`: a PEM file to trust, for https and wss. `due`: a JSON path of the due time (seconds since 1970) in
    payloads of a server with its own timetable.
    """

    name: str
    transport: str
    stack: str
    arm: str = "idiomatic"
    technique: str = "per-connection"
    serve: Callable[[Any], Awaitable[None]] | None = None
    program: Program | None = None
    url: str = ""
    publish: str | Post = FEED
    description: str = ""
    carries_id: str = "protocol"
    payload: str = ""
    path: str = ""
    codec: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocol: str = ""
    greeting: Sequence[str] = ()
    tls_ca: str = ""
    due: str = ""
    packages: Sequence[str] = ()
    """Distributions whose versions are the stack's; empty: the distribution with the stack's name."""
    least_heartbeat_s: float = 0.0
    """The shortest heartbeat that it supports, seconds."""
    capabilities: frozenset[str] = CAPABILITIES
    codings: frozenset[str] = frozenset()
    """What it can compress with, for a client that accepts it (`rtbench.transports.coding`)."""
    requires: Sequence[Requirement] = ()
    module: str = ""
    """Its definition: a module's name, a Python file, or the scenario file with its [[subject]]."""
    proxy: str = ""
    """The proxy (servers/proxies/) before it; empty: none."""
    tls: str = ""
    """The version of TLS that its clients speak, "1.2" or "1.3"; empty: as its URL and `tls_ca` have it."""
    http2: bool = False
    """Whether its clients speak HTTP/2."""

    def __post_init__(self) -> None:
        check_path("path", self.path, ("query", "stream", "channel", "subscriber"))
        # Only asked where it matters: the transports import their codecs.
        if self.payload and not self.codec and (spoken := transports().get(self.transport)) and spoken.polls:
            text = f"payload: an answer to {self.transport} holds many messages, each as the contract has it"
            raise UserError(text, 'remove payload, or set codec = "conditional" if an answer is one message')
        body = self.publish.template() if isinstance(self.publish, Post) else None
        if body is not None and self.carries_id == "payload" and not {"id", "message"} & body.names:
            raise UserError(
                'post_body has no id, and carries_id = "payload" expects one in each message',
                "write {message} instead of {data}, or set carries_id",
            )

    @property
    def template(self) -> str:
        """The subscription path; placeholders: {query} (`stream?channel=C`), {stream}, {channel}, {subscriber}."""
        return self.path or transport(self.transport).prefix + "/{query}"

    @property
    def played(self) -> bool:
        """Whether the publisher plays into it."""
        return self.publish != NOBODY

    @property
    def verified_by(self) -> str:
        """The command that verifies it."""
        file = self.module if self.module.endswith((".py", ".toml")) else ""
        return f"rtbench verify {shlex.quote(file or self.name)}"

    def missing(self) -> tuple[str, str]:
        """The first missing requirement and the command that installs it; empty texts when nothing is missing."""
        return lacking(self.requires)

    def check(self) -> None:
        """Raises UnavailableError when it cannot run here."""
        what, remedy = self.missing()
        if what:
            raise UnavailableError(f"{self.name} needs {what}", remedy)

    def describe(self) -> dict[str, str]:
        """The row of campaign.json and of `rtbench list subjects --json`."""
        return {
            "subject": self.name,
            "transport": self.transport,
            "stack": self.stack,
            "arm": self.arm,
            "technique": self.technique,
            "carries_id": self.carries_id,
            "proxy": self.proxy,
        }
