"""What is verified: where a server listens, which transport it is asked for, and what is known about it.

Invariant: a field is empty where nothing is known, and a case that needs it is skipped then, never passed.
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

    `stream` is a stream that sends all the time, `quiet` one with pauses, `finite` those that are over, `failing` one
    whose source fails soon, or has failed, for good, `uplink` one whose messages subscribers send. `patience_s` is how
    long one step may take before the server is said not to do it; what may be late by a part of it is later with it.
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
    """What it is known as; None: a server that keeps the contract, all of it."""

    @property
    def claims(self) -> frozenset[str]:
        """What it is held to."""
        return CAPABILITIES if self.subject is None else self.subject.capabilities

    @property
    def numbered(self) -> bool:
        """Whether its messages must carry ids: those of a server with a timetable of its own need not."""
        return self.subject is None or self.subject.played

    @property
    def authority(self) -> str:
        """The Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str) -> str:
        """Where a path is, for a problem's text."""
        tls = self.subject is not None and self.subject.tls_ca
        return f"{'https' if tls else 'http'}://{self.authority}{path}"

    def path(self, stream: str = "") -> str:
        """Where a stream is subscribed to (interface.md). A server of ours is at the contract's place, too, when it has
        one of its own."""
        stream = stream or self.stream
        elsewhere = self.subject is not None and self.subject.serve is None
        template = self.subject.template if self.subject and elsewhere else find(self.transport).prefix + "/{query}"
        return template.format(query=stream, stream=stream, channel=0, subscriber=0)

    def codec(self, path: str, since: int | None, headers: Mapping[str, str], timeout_s: float, stream: str) -> Any:
        """What asks for `path` from the cursor `since` and reads the answer."""
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
        )
        return maker(self.transport, subject.codec if subject is not None else "")(asked)

    def json_payload(self, stream: str = "") -> bool | None:
        """What the payloads of a stream are known to be (`rtbench.transports.envelope.unwrap`)."""
        known = catalogue().get(stream or self.stream)
        return None if known is None else known.json_payload

    def ticks(self, count: int, stream: str = "") -> list[Tick]:
        """The first `count` ticks of a stream's first channel, as the seed has them."""
        assert self.workload is not None
        channel = self.workload.channel(self.workload.streams.index(stream or self.stream))
        return list(islice(self.workload.ticks_of(channel), count))

    def notices(self, stream: str) -> list[tuple[int, dict[str, Any]]]:
        """When each notice of a finite stream's first channel is due and what it says, its end or failure last."""
        assert self.workload is not None
        channel = self.workload.channel(self.workload.streams.index(stream))
        script = self.workload.script_of(channel)
        return [(tick.due_ns, json.loads(tick.payload)) for tick in script if tick.seq == NOTICE]

    def lacks(self, need: str) -> bool:
        """Whether this target has not what a case needs (a key of `NEEDS`)."""
        known = {
            "workload": self.workload,
            "server": self.owned,
            "quiet": self.quiet,
            "finite": self.finite,
            "failing": self.failing,
            "uplink": self.uplink,
        }
        return not known[need]
