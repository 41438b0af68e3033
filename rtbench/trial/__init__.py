"""One trial: fresh publisher, server and load processes; ramp, warm-up, window, grace, close; files (R7).

Invariant: the folder holds a manifest exactly when the trial is over, whatever it ended by; counters are read at the
window's edges, which lie where nothing is due; the window closes before anything is torn down (R14); no process
outlives the call. Called by the campaign, which decides the order; runs everything through `rtbench.processes`.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbench.errors import MeasurementError, RtbenchError, SubjectError, UserError
from rtbench.machine.sockets import observe
from rtbench.messages.load import Finish, Window
from rtbench.messages.publisher import PostCounts
from rtbench.records import tables
from rtbench.subjects import Post
from rtbench.transports.catalogue import find
from rtbench.trial import _faults, _judge, _window, validity
from rtbench.trial._counters import Counters
from rtbench.trial._inferred_ticks import infer_ticks
from rtbench.trial._loads import length_s
from rtbench.trial._memory_ladder import climb_ladder
from rtbench.trial._process_group import ProcessGroup
from rtbench.trial._run import Place, Run, Spec, store
from rtbench.trial._uplink import settle

__all__ = ["Place", "Spec", "run"]

_FINISH_PATIENCE_S = 300.0


def run(spec: Spec, campaign: Path, place: Place, stage: Callable[[str], None]) -> dict[str, Any]:
    """Run one trial into `campaign / spec.directory` and return its manifest.

    `stage` is told what is going on. A failed subject or process makes a manifest with status `failed`; UserError
    and KeyboardInterrupt pass through, after everything was stopped, and leave no manifest.
    """
    folder = campaign / spec.directory
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = Run(spec, folder, place, stage)
    run.timeline["started_ns"] = time.monotonic_ns()
    try:
        _measure(run)
        _judge.judge(run)
    except SubjectError as error:
        run.status = "failed"
        run.reasons.append(validity.reason("failed", error.message, error.remedy, validity.EVERYTHING))
    except MeasurementError as error:
        run.status = "invalid"
        run.reasons.append(validity.reason("measurement", error.message, error.remedy, validity.EVERYTHING))
    run.timeline["closed_ns"] = time.monotonic_ns()
    if run.rows:
        names = list(tables.TABLES["probes"])
        columns = {name: [row[index] for row in run.rows] for index, name in enumerate(names)}
        store(lambda: tables.write_table(folder / "probes.parquet", "probes", columns), folder)
    manifest = _judge.manifest(run)
    store(lambda: manifest.update(files=tables.sums(folder)), folder)
    store(lambda: tables.write_json(folder / "manifest.json", manifest), folder)
    for path in folder.iterdir():
        path.chmod(0o444)  # raw data is kept and read-only (R15)
    return manifest


def _measure(run: Run) -> None:
    scenario = run.spec.scenario
    with contextlib.ExitStack() as stack:
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtbench-")))
        run.stage("starting")
        group = ProcessGroup(run, sockets, stack, length_s(scenario))
        finite = [name for name in group.workload.streams if group.workload.finite(name)]
        group.open([name for name in group.workload.streams if name not in finite])
        run.uses = group.server.uses
        for load in group.loads:
            load.connect()
        run.timeline["ready_ns"] = time.monotonic_ns()
        counters = Counters(group)
        group.tick = counters.tick

        if scenario.memory.ladder:
            climb_ladder(group)
        else:
            run.stage(f"connecting {scenario.subscribers:,}")
            group.ramp(scenario.subscribers)
        run.timeline["subscribed_ns"] = time.monotonic_ns()
        run.uses |= observe(group.server.pid, urlsplit(group.server.url).port or 0) if group.server.pid else {}
        if run.spec.subject.played:
            group.publisher.play(finite)

        run.stage("warming up")
        window = run.window = _window.choose(group.workload, scenario, group.publisher.started)
        run.timeline["window_start_ns"], run.timeline["window_end_ns"] = window
        _faults.plan(group, window[0])
        for load in group.loads:
            load.command(Window(*window))
        group.until(window[0])
        run.stage("measuring")
        counters.edge("at_start")
        group.until(window[1])
        counters.edge("at_end")
        run.stage("waiting for what is late")
        group.until(window[1] + int(scenario.grace_s * 1e9))
        group.wait(lambda: all(load.closed_window for load in group.loads), 10, "the window's end")
        counters.afterwards()

        run.stage("writing")
        run.timeline["finish_ns"] = time.monotonic_ns()
        _finish(group)
        if not run.spec.subject.played:
            infer_ticks(run, group.server.url)
        posted = isinstance(run.spec.subject.publish, Post)
        if posted:  # what a server that leaves had no time to answer is not what it refused
            group.publisher.finish(run.folder / "ticks.parquet")
        group.server.stop()
        if group.server.stopped_in_s is None:
            run.warnings.append(
                validity.reason("slow shutdown", "the server did not leave within 2 s of SIGTERM", "see server.log", [])
            )
        if run.spec.subject.played:
            if not posted:
                group.publisher.finish(run.folder / "ticks.parquet")
            if run.spec.scenario.chat.senders:
                settle(run)
        counters.close()
        _published(run, group.publisher.posts)


def _published(run: Run, posts: PostCounts) -> None:
    """Say what the server did not take of what was posted."""
    counted = (("refused", posts.refused), ("unanswered", posts.unanswered), ("reconnected", posts.reconnected))
    trouble = [f"{count:,} {name}" for name, count in counted if count]
    if trouble:
        text = f"publishing by HTTP: {posts.posted:,} messages taken, {', '.join(trouble)}"
        run.warnings.append(validity.reason("publishing", text, "see server.log", []))


def _finish(group: ProcessGroup) -> None:
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
        raise UserError(error.message, "free the disk; finished trials are kept, go on with --resume") from error
    run.reports = [load.finished for load in loads if load.finished is not None]
    if several:
        kinds = ["deliveries", "connections", *(["requests"] if polling else [])]
        kinds += ["sends"] if run.spec.scenario.chat.senders else []
        for kind in kinds:
            _join(run.folder, kind, len(loads))


def _join(folder: Path, kind: str, workers: int) -> None:
    """Every worker wrote a shard of its own; a trial's file holds all of them."""
    shards = [folder / f"{kind}-{index}.parquet" for index in range(workers)]
    whole = tables.concatenate(kind, [tables.read_table(shard, kind) for shard in shards])
    store(lambda: tables.write_table(folder / f"{kind}.parquet", kind, whole), folder)
    for shard in shards:
        shard.unlink()
