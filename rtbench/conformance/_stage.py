"""What a verification plays into a subject: every stream, begun so long ago that enough of it is held at once.

Invariant: small limits and a high rate, so that rings let go of messages and buffers fill within seconds; the same
stage for every subject. Made by `rtbench.conformance.verify`.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from rtbench.conformance._target import PATIENCE_S, Owned, Target
from rtbench.conformance.bytes_and_order import COUNT
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ChatTable, ServerTable, WorkloadTable
from rtbench.streams import catalogue as streams
from rtbench.subjects import Subject
from rtbench.workload import NOTICE, Workload

BUSY, QUIET = "fanout", "stocks"
"""One stream that sends all the time and one with pauses; every subject is verified with both."""

RATE_HZ, PAYLOAD_BYTES = 200.0, 1200
RING_MESSAGES, HEARTBEAT_S, BUFFER_BYTES = 200, 0.2, 32 * 1024
HEAD_START_NS = 5 * 10**9
"""The timetables begin this far in the past: the rings are full at once, and the busy one has dropped messages."""
SEED = 52
"""With this seed `resilient` fails after some 200 messages; with most others it takes thousands."""
FAILING_NS = 1_700_000_000
"""The time until the failing stream fails: just after its last retry advice."""
MOST_TICKS = 50_000
"""A finite stream with more ticks is not played to its end."""


def arrange(scenario: Scenario, trace: str = "", conversing: bool = False, patience_s: float = PATIENCE_S) -> Scenario:
    """The scenario of a verification: the event loop of `scenario`, every stream, small limits, a high rate.

    `trace`: the file of `replay`, which is left out without one. `conversing`: subscribers may send. `patience_s`: more
    patience lowers the rate and spaces the heartbeats: the ring lasts longer, late messages make no larger burst, and a
    subscriber that a busy machine keeps waiting is not taken for a dead one.
    """
    table = WorkloadTable(rate_hz=RATE_HZ * PATIENCE_S / patience_s, payload_bytes=PAYLOAD_BYTES, trace=trace)
    playable = [name for name, stream in streams().items() if not stream.needs or getattr(table, stream.needs)]
    chosen = dict.fromkeys((BUSY, QUIET, *playable))
    return replace(
        scenario,
        seed=SEED,
        stream=tuple(chosen),
        subscribers=len(chosen),
        server=ServerTable(
            heartbeat_s=HEARTBEAT_S * patience_s / PATIENCE_S,
            ring_messages=RING_MESSAGES,
            buffer_bytes=BUFFER_BYTES,
            loop=scenario.server.loop,
        ),
        workload=table,
        chat=ChatTable(senders=int(conversing)),
    )


def _trace(folder: Path) -> str:
    """A trace for `replay`: JSON and other texts, some due together."""
    path = folder / "trace.jsonl"
    texts = ('{"n":%d}', "text %d", '"%d"', "[%d,null]")
    lines = [
        json.dumps({"offset_ns": number // 3 * 10**7, "payload": texts[number % len(texts)] % number})
        for number in range(2 * COUNT)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@dataclass(frozen=True, slots=True)
class Stage:
    """The playback of a verification: every stream begins far enough in the past to fill its ring at once.

    Finite streams have ended (with up to MOST_TICKS ticks). The failing stream fails FAILING_NS after `fail`; its last
    retry advice comes before that.
    """

    scenario: Scenario
    workload: Workload
    past_ns: Mapping[str, int]
    finite: tuple[str, ...]
    failing: str

    @classmethod
    def of(cls, scenario: Scenario, folder: Path, conversing: bool = True, patience_s: float = PATIENCE_S) -> Stage:
        """The stage for a scenario's event loop. `folder` gets the trace. `conversing`, `patience_s`: `arrange`."""
        arranged = arrange(scenario, _trace(folder), conversing, patience_s)
        head_start_ns = int(HEAD_START_NS * patience_s / PATIENCE_S)
        workload = arranged.make_workload()
        past_ns: dict[str, int] = {}
        finite: list[str] = []
        failing = ""
        for number, name in enumerate(workload.streams):
            if workload.takes(number):
                past_ns[name] = head_start_ns
                continue
            script = islice(workload.script_of(workload.channel(number)), MOST_TICKS)
            if not streams()[name].finite:
                past_ns[name] = max(head_start_ns, next(islice(script, 2 * COUNT, None)).due_ns)
                continue
            last = deque(script, maxlen=1)[0]
            past_ns[name] = head_start_ns
            if last.seq == NOTICE and json.loads(last.payload)["control"] == "failure":
                failing, past_ns[name] = name, last.due_ns - FAILING_NS
            elif last.seq == NOTICE:
                finite.append(name)
                past_ns[name] += last.due_ns
        return cls(arranged, workload, past_ns, tuple(finite), failing)

    def begin(self, publisher: PublisherProcess) -> None:
        """Play all streams except the failing one."""
        now = time.monotonic_ns()
        for name, past_ns in self.past_ns.items():
            if name != self.failing:
                publisher.play([name], now - past_ns)

    def fail(self, publisher: PublisherProcess) -> None:
        """Play the failing stream. Call it once the server accepts: the stream does not wait for subscribers."""
        if self.failing:
            publisher.play([self.failing], time.monotonic_ns() - self.past_ns[self.failing])

    def target(self, subject: Subject, publisher: PublisherProcess, server: Server) -> Target:
        """The target of the cases, once the server listens."""
        url = urlsplit(server.url)
        if not subject.played:  # it sends its own messages, which are not known
            owned = Owned(server, self.scenario.server, {})
            return Target(url.hostname or "", url.port or 0, subject.transport, BUSY, owned=owned, subject=subject)
        return Target(
            url.hostname or "",
            url.port or 0,
            subject.transport,
            BUSY,
            QUIET,
            self.finite,
            self.failing,
            self.workload,
            Owned(server, self.scenario.server, publisher.started),
            uplink=next((name for n, name in enumerate(self.workload.streams) if self.workload.takes(n)), ""),
            subject=subject,
        )
