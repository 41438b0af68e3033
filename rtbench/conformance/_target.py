"""The target of a verification: the address of a server, the transport, and what is known about the server.

Invariant: an unknown field is empty. A case that needs it is then skipped, never passed.
Made by `rtbench.conformance.verify`, read by the cases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rtbench.processes.starting import Server
from rtbench.scenario.tables import ServerTable
from rtbench.streams import catalogue
from rtbench.subjects import CAPABILITIES, Subject
from rtbench.transports import Asked
from rtbench.transports.catalogue import find, maker
from rtbench.transports.coding import NONE
from rtbench.workload import NOTICE, Tick, Workload

PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Owned:
    """A server process that we started. `started_ns`: each stream's start on CLOCK_MONOTONIC."""

    server: Server
    limits: ServerTable
    started_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Target:
    """One transport of one server.

    `stream` sends all the time. `quiet` has pauses. `finite`: streams that have ended. `failing`: its source fails soon
    or has failed. `uplink`: subscribers send its messages. `patience_s`: the time that the server has for one step;
    other limits are shares of it.
    """

    host: str
    port: int
    transport: str
    stream: str
    quiet: str = ""
    finite: tuple[str, ...] = ()
    failing: str = ""
    workload: Workload | None = None
    owned: Owned | None = None
    patience_s: float = PATIENCE_S
    uplink: str = ""
    subject: Subject | None = None
    """The subject that the server belongs to; None: the server must keep the whole contract."""
    coding: str = ""
    """What the server was started to compress with; empty: it was not."""

    @property
    def claims(self) -> frozenset[str]:
        """The capabilities that are checked."""
        return CAPABILITIES if self.subject is None else self.subject.capabilities

    @property
    def numbered(self) -> bool:
        """Whether its messages must carry ids. Messages of a server with its own timetable need none."""
        return self.subject is None or self.subject.played

    @property
    def authority(self) -> str:
        """The Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether its clients speak TLS."""
        subject = self.subject
        return subject is not None and (bool(subject.tls_ca) or subject.url.startswith(("https:", "wss:")))

    def url(self, path: str) -> str:
        """The URL of a path, for the text of a problem."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{path}"

    def path(self, stream: str = "") -> str:
        """The path of a stream (interface.md). Our own servers always have the contract's path, next to their own."""
        stream = stream or self.stream
        elsewhere = self.subject is not None and self.subject.serve is None
        template = self.subject.template if self.subject and elsewhere else find(self.transport).prefix + "/{query}"
        return template.format(query=stream, stream=stream, channel=0, subscriber=0)

    def codec(
        self,
        path: str,
        since: int | None,
        headers: Mapping[str, str],
        timeout_s: float,
        stream: str,
        compression: str = NONE,
    ) -> Any:
        """The codec that requests `path` from the cursor `since` and reads the answer."""
        if self.transport == "sse" and since is not None:  # the other way, Last-Event-ID, has a case of its own
            path, since = f"{path}{'&' if '?' in path else '?'}since={since}", None
        subject = self.subject
        asked = Asked(
            host=self.authority,
            path=path,
            cursor=since,
            timeout_s=timeout_s if self.transport == "long-poll" else None,
            headers={**(subject.headers if subject is not None else {}), **headers},
            subprotocol=subject.subprotocol if subject is not None else "",
            carries_id=subject.carries_id if subject is not None else "protocol",
            payload=subject.payload if subject is not None else "",
            json_payload=self.json_payload(stream),
            compression=compression,
        )
        return maker(self.transport, subject.codec if subject is not None else "")(asked)

    def json_payload(self, stream: str = "") -> bool | None:
        """Whether the payloads of a stream are JSON; None: not known (`rtbench.transports.envelope.unwrap`)."""
        known = catalogue().get(stream or self.stream)
        return None if known is None else known.json_payload

    def ticks(self, count: int, stream: str = "") -> list[Tick]:
        """The first `count` ticks of a stream's first channel, from the seed."""
        assert self.workload is not None
        channel = self.workload.channel(self.workload.streams.index(stream or self.stream))
        return list(islice(self.workload.ticks_of(channel), count))

    def notices(self, stream: str) -> list[tuple[int, dict[str, Any]]]:
        """Due time and members of each notice of a finite stream's first channel, its end or failure last."""
        assert self.workload is not None
        channel = self.workload.channel(self.workload.streams.index(stream))
        script = self.workload.script_of(channel)
        return [(tick.due_ns, json.loads(tick.payload)) for tick in script if tick.seq == NOTICE]

    def lacks(self, need: str) -> bool:
        """Whether this target lacks a need of a case (a key of `NEEDS`)."""
        known = {
            "workload": self.workload,
            "server": self.owned,
            "quiet": self.quiet,
            "finite": self.finite,
            "failing": self.failing,
            "uplink": self.uplink,
            "tls": self.subject is not None and self.subject.tls,
            "http2": self.subject is not None and self.subject.http2,
        }
        return not known[need]
