"""The steps of a trial while its processes run: start, ramp, warm-up, window, grace, writing, close (R7).

Invariant: counters are read at the window's edges, where nothing is due; the window closes before anything is torn down
(R14); no process outlives `measure`. Each step returns its result, and only `measure` puts it into `Measured`, so that
a failed trial shows the steps that it finished. Called by the trial.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbench.errors import RtbenchError, SubjectError, UserError
from rtbench.machine.sockets import observe
from rtbench.messages.load import Finish, LoadReport, Window
from rtbench.messages.publisher import PostCounts
from rtbench.processes import certificates, namespaces
from rtbench.processes.scratch import scratch
from rtbench.records import tables
from rtbench.records.manifest import Event, Handshakes, Idle, Ladder
from rtbench.records.reason import Reason
from rtbench.subjects import Post
from rtbench.transports.catalogue import find
from rtbench.trial import _faults, _storm, _window
from rtbench.trial._counters import Counters
from rtbench.trial._handshakes import handshakes
from rtbench.trial._inferred_ticks import infer_ticks
from rtbench.trial._loads import length_s
from rtbench.trial._memory_ladder import climb_ladder
from rtbench.trial._process_group import ProcessGroup, refused
from rtbench.trial._run import Run, store
from rtbench.trial._uplink import settle

_FINISH_PATIENCE_S = 300.0


@dataclass(slots=True)
class Measured:
    """The results of the finished steps."""

    timeline: dict[str, int] = field(default_factory=dict)
    """Moments of the trial, `…_ns`, CLOCK_MONOTONIC."""
    uses: dict[str, Any] = field(default_factory=dict)
    """The socket options that the server declares, and those that were observed."""
    counters: Counters | None = None
    ladder: tuple[Ladder, Idle] = (Ladder(), Idle())
    window: tuple[int, int] = (-1, -1)
    events: list[Event] = field(default_factory=list)
    reports: list[LoadReport] = field(default_factory=list)
    """The report of each load process on itself."""
    due: str = "publisher"
    """The source of due times: the publisher, the server's plan, its payloads, or none (unknown)."""
    unknown: list[str] = field(default_factory=list)
    """Metrics that are unknown for this subject."""
    handshakes: Handshakes = Handshakes()
    """What a TLS handshake costs."""
    sends: dict[str, int] = field(default_factory=dict)
    """Outcomes of the subscribers' own messages, counted over the window ([chat])."""
    warnings: list[Reason] = field(default_factory=list)

    def reach(self, moment: str) -> None:
        """Record the current time as `moment`."""
        self.timeline[f"{moment}_ns"] = time.monotonic_ns()


def measure(run: Run, found: Measured) -> None:
    """Run the trial's processes and fill `found`. Raises SubjectError, MeasurementError or UserError."""
    scenario, subject = run.spec.scenario, run.spec.subject
    with contextlib.ExitStack() as stack:
        sockets = stack.enter_context(scratch())
        run = _with_certificates(run, sockets)
        run.stage("starting")
        group = ProcessGroup(run, sockets, stack, length_s(scenario))
        found.events = group.events
        finite = [name for name in group.workload.streams if group.workload.finite(name)]
        group.open([name for name in group.workload.streams if name not in finite])
        found.uses = group.server.uses
        for load in group.loads:
            load.connect()
        found.handshakes = handshakes(group)
        found.reach("ready")
        counters = found.counters = Counters(group)
        group.tick = counters.tick

        if scenario.memory.ladder:
            found.ladder = climb_ladder(group)
        else:
            run.stage(f"connecting {scenario.subscribers:,}")
            group.ramp(scenario.subscribers)
        group.published()
        found.reach("subscribed")
        found.uses |= observe(group.server.pid, urlsplit(group.server.url).port or 0) if group.server.pid else {}
        if subject.played:
            group.publisher.play(finite)

        run.stage("warming up")
        start_ns, end_ns = found.window = _window.choose(
            group.workload, scenario, group.publisher.started, group.subscribed_ns
        )
        found.timeline |= {"window_start_ns": start_ns, "window_end_ns": end_ns}
        _faults.plan(group, start_ns)
        counters.watch(found.window)
        for load in group.loads:
            load.command(Window(start_ns, end_ns))
        group.until(start_ns)
        run.stage("measuring")
        counters.edge("at_start")
        group.until(end_ns)
        counters.edge("at_end")
        run.stage("waiting for what is late")
        group.until(end_ns + int(scenario.grace_s * 1e9))
        group.wait(lambda: all(load.closed_window for load in group.loads), 10, "the window's end")
        counters.afterwards()

        run.stage("writing")
        found.reach("finish")
        found.reports = _finish(group)
        found.warnings += _storm.settle(group, found.reports)
        if not subject.played:
            found.due, found.unknown, warnings = infer_ticks(run, found.reports, group.server.url)
            found.warnings += warnings
        found.warnings += _stop(group)
        counters.processes["server"]["refused"] = group.server.refused
        if subject.played and scenario.chat.senders:
            found.sends, warnings = settle(run, found.window)
            found.warnings += warnings
        counters.close(found.reports)
        found.warnings += _published(group.publisher.posts)


def _with_certificates(run: Run, folder: Path) -> Run:
    """The run with a subject that trusts the CA of this trial."""
    spec = run.spec
    hosts = (spec.scenario.server.host, *(namespaces.HOSTS if spec.scenario.apart else ()))
    return replace(run, spec=replace(spec, subject=certificates.trusting(spec.subject, folder, *hosts)))


def _stop(group: ProcessGroup) -> list[Reason]:
    """Stop the server and have the publisher write its ticks. Returns a warning if the server does not exit in time."""
    subject, ticks = group.run.spec.subject, group.run.folder / "ticks.parquet"
    posted = isinstance(subject.publish, Post)
    if posted:  # what a server that leaves had no time to answer is not what it refused
        group.publisher.finish(ticks)
    group.server.stop()
    late = group.server.stopped_in_s is None
    if subject.played and not posted:
        group.publisher.finish(ticks)
    text = "the server did not leave within 2 s of SIGTERM"
    return [Reason("slow shutdown", text, "see server.log", [])] if late else []


def _published(posts: PostCounts) -> list[Reason]:
    """A warning about posts that the server did not accept. Raises SubjectError if it accepted none."""
    refused(posts)
    counted = (("refused", posts.refused), ("unanswered", posts.unanswered), ("reconnected", posts.reconnected))
    trouble = [f"{count:,} {name}" for name, count in counted if count]
    if not trouble:
        return []
    text = f"publishing by HTTP: {posts.posted:,} messages taken, {', '.join(trouble)}"
    if posts.refused:
        text += f"; the first refused {posts.refusal()}"
    return [Reason("publishing", text, "see server.log", [])]


def _finish(group: ProcessGroup) -> list[LoadReport]:
    """Have the load processes write their tables. Returns their reports."""
    run, loads = group.run, group.loads
    polling = find(run.spec.subject.transport).polls
    several = len(loads) > 1
    for index, load in enumerate(loads):
        suffix = f"-{index}" if several else ""
        load.command(Finish(str(run.folder), suffix, polling))
    try:
        group.wait(lambda: all(load.finished for load in loads), _FINISH_PATIENCE_S, "writing what was read")
    except SubjectError:
        raise
    except RtbenchError as error:
        raise UserError(error.message, error.remedy) from error
    if several:
        kinds = ["deliveries", "connections", *(["requests"] if polling else [])]
        kinds += ["sends"] if run.spec.scenario.chat.senders else []
        kinds += ["visits", "visit_deliveries"] if run.spec.scenario.churn.rate_hz else []
        for kind in kinds:
            _join(run.folder, kind, len(loads))
    return [load.finished for load in loads if load.finished is not None]


def _join(folder: Path, kind: str, workers: int) -> None:
    """Merge the shards of all workers into the trial's files."""
    shards = [folder / f"{kind}-{index}.parquet" for index in range(workers)]
    whole = tables.concatenate(kind, [tables.read_table(shard, kind) for shard in shards])
    store(lambda: tables.write_table(folder / f"{kind}.parquet", kind, whole), folder)
    for shard in shards:
        shard.unlink()
