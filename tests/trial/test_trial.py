"""A trial: what becomes of errors, and whole small ones with real processes. Afterwards nothing is left running."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtbench import trial
from rtbench.errors import MeasurementError, RtbenchError, SubjectError, UserError
from rtbench.machine.placement import Place
from rtbench.messages.load import Finish, LoadReport
from rtbench.records import tables
from rtbench.records.audit import audit
from rtbench.records.record import plain
from rtbench.trial import Spec, _measuring
from rtbench.trial._measuring import Measured
from rtbench.trial._run import Run
from rtbench.trial.validity import EVERYTHING, READ_BY_CAMPAIGN

SECOND = 10**9
HERE = Place((0,), (0,), (0,))
MakeGroup = Callable[..., Any]
SpecOf = Callable[..., Spec]


def quiet(_: str) -> None:
    """A stage that nobody wants to hear of."""


# Finishing


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (RtbenchError("cannot write /results (No space left on device)", "free the disk"), UserError, "free the disk"),
        (SubjectError("the server ended early"), SubjectError, ""),
    ],
)
def test_a_load_process_that_cannot_write_is_a_user_error(
    tmp_path: Path, make_group: MakeGroup, clock: Any, error: RtbenchError, kind: type[RtbenchError], remedy: str
) -> None:
    group = make_group(2)

    def trouble() -> None:
        raise error

    group.loads[1].says = trouble
    clock.arrivals.append((clock.now + SECOND, group.loads[1]))
    with pytest.raises(kind) as caught:
        _measuring._finish(group)
    assert type(caught.value) is kind
    assert caught.value.message == error.message
    assert remedy in caught.value.remedy
    folder = str(tmp_path)
    assert [load.told for load in group.loads] == [[Finish(folder, f"-{index}", polling=False)] for index in range(2)]


def test_one_load_process_writes_the_trials_files_itself(
    tmp_path: Path, make_group: MakeGroup, clock: Any, report_of: Callable[..., LoadReport]
) -> None:
    group = make_group()
    load = group.loads[0]
    load.says = lambda: setattr(load, "finished", report_of(pid=7))
    clock.arrivals.append((clock.now + SECOND, load))
    reports = _measuring._finish(group)
    assert load.told == [Finish(str(tmp_path), "", polling=False)]
    assert reports == [report_of(pid=7)]


def requests(subscriber: int, rows: int) -> dict[str, Any]:
    return {name: np.full(rows, subscriber) for name in tables.TABLES["requests"]}


def test_shards_become_one_file(tmp_path: Path) -> None:
    for index, rows in enumerate((2, 0, 3)):
        tables.write_table(tmp_path / f"requests-{index}.parquet", "requests", requests(index, rows))
    _measuring._join(tmp_path, "requests", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["requests.parquet"]
    assert tables.read_table(tmp_path / "requests.parquet", "requests")["subscriber"].tolist() == [0, 0, 2, 2, 2]


# What becomes of errors


@pytest.mark.parametrize(
    ("error", "status", "kind", "probed"),
    [
        (SubjectError("it broke", "see its log"), "failed", "failed", 0),
        (MeasurementError("it is not so", "try again"), "invalid", "measurement", 1),
    ],
)
def test_whose_fault_it_is_decides_the_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec_of: SpecOf,
    error: RtbenchError,
    status: str,
    kind: str,
    probed: int,
) -> None:
    def measure(run: Run, found: Measured) -> None:
        (run.folder / "server.log").write_text("oh\n")
        row = {name: np.array([5 if name == "at_ns" else -1]) for name in tables.TABLES["probes"]}
        counters: Any = SimpleNamespace(
            rows=[row] * probed, columns=row, processes={}, network={}, wire={}, routed=None
        )
        found.counters = counters
        raise error

    monkeypatch.setattr(trial, "measure", measure)
    folder = tmp_path / spec_of().directory
    folder.mkdir(parents=True)
    (folder / "left.over").write_text("from a trial that was interrupted")
    manifest = plain(trial.run(spec_of(), tmp_path, HERE, quiet))
    assert manifest["status"] == status
    assert manifest["reasons"] == [
        {"kind": kind, "message": error.message, "remedy": error.remedy, "metrics": EVERYTHING}
    ]
    assert manifest["window"] == {"start_ns": -1, "end_ns": -1}
    assert manifest == json.loads((folder / "manifest.json").read_text())
    names = ["manifest.json", *["probes.parquet"] * probed, "server.log"]
    assert sorted(path.name for path in folder.iterdir()) == names
    if probed:
        assert tables.read_table(folder / "probes.parquet", "probes")["at_ns"].tolist() == [5]


@pytest.mark.parametrize("error", [UserError("the disk is full"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_what_is_not_the_subjects_passes_and_leaves_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec_of: SpecOf, error: BaseException
) -> None:
    def measure(run: Run, found: Measured) -> None:
        raise error

    monkeypatch.setattr(trial, "measure", measure)
    with pytest.raises(type(error)):
        trial.run(spec_of(), tmp_path, HERE, quiet)
    assert not (tmp_path / spec_of().directory / "manifest.json").exists()


# Whole trials


@pytest.mark.slow
def test_trial_ends_well_and_leaves_nothing_running(whole: Any) -> None:
    assert (whole.manifest["status"], whole.manifest["reasons"]) == ("ok", [])
    assert whole.alive == []
    assert whole.stages == [
        "starting",
        "connecting 5",
        "warming up",
        "measuring",
        "waiting for what is late",
        "writing",
    ]


@pytest.mark.slow
def test_manifest_is_the_contracts(whole: Any) -> None:
    manifest = whole.manifest
    assert manifest == json.loads((whole.folder / "manifest.json").read_text())
    assert {
        *("schema", "trial", "subject", "transport", "stack", "arm", "technique", "carries_id", "block", "position"),
        *("seed", "window", "clocks", "status", "reasons", "counts", "processes", "bytes", "environment"),
    } <= manifest.keys()
    assert whole.spec.subject.describe().items() <= manifest.items()
    identity = [manifest[key] for key in ("schema", "trial", "block", "position", "seed", "environment")]
    assert identity == [tables.SCHEMA, 7, 2, 3, 1, {"machine": "here"}]
    assert manifest["scenario_hash"] == whole.spec.scenario.hash
    for name in ("server", "publisher", "load"):
        process = manifest["processes"][name]
        assert process["cpu_ns_at_end"] >= process["cpu_ns_at_start"] > 0
    assert len(manifest["processes"]["load"]["pids"]) == (whole.spec.scenario.workers or 1)
    assert len(manifest["clocks"]["pairs"]) >= 2
    deliveries, (start, end) = whole.table("deliveries"), whole.window
    arrived = (deliveries["app_ns"] >= start) & (deliveries["app_ns"] < end)
    counted = {"messages_in_window": arrived.sum(), "payload": deliveries["payload_bytes"][arrived].sum()}
    assert counted.items() <= manifest["bytes"].items()
    assert manifest["bytes"]["tcp_down"] > 0


@pytest.mark.slow
def test_window_is_as_long_as_asked_and_after_all_have_subscribed(whole: Any) -> None:
    start, end = whole.window
    assert end - start == SECOND // 2
    moments = [
        whole.manifest["timeline"][f"{name}_ns"]
        for name in ("started", "ready", "subscribed", "window_start", "window_end", "finish", "closed")
    ]
    assert moments == sorted(moments)
    assert moments[5] - end >= whole.spec.scenario.grace_s * SECOND
    due = whole.table("ticks")["due_ns"]
    assert min(abs(due - edge).min() for edge in (start, end)) >= 5_000_000  # ticks are 20 ms apart


@pytest.mark.slow
def test_every_subscriber_has_every_tick_of_the_window_once(whole: Any) -> None:
    inside = whole.due_inside()
    assert len(inside) == 25
    assert inside == list(range(inside[0], inside[0] + 25))
    deliveries = whole.table("deliveries")
    mine = np.isin(deliveries["seq"], inside)
    assert int(mine.sum()) == 25 * 5
    for subscriber in range(5):
        seen = deliveries["seq"][mine & (deliveries["subscriber"] == subscriber)]
        assert seen.tolist() == inside
    counts = whole.manifest["counts"]
    assert (counts["expected"], counts["delivered"], counts["lost"]) == (125, 125, 0)
    assert (counts["subscribers"], counts["subscribed"], counts["connections_failed"]) == (5, 5, 0)


@pytest.mark.slow
def test_the_audit_can_be_made_again_from_the_files(whole: Any) -> None:
    again = audit(whole.table("deliveries"), whole.table("ticks"), whole.window, np.zeros(5, dtype=np.int64))
    assert again.counts().items() <= whole.manifest["counts"].items()
    assert again.details() == whole.manifest["audit"]


@pytest.mark.slow
def test_files_are_complete_and_read_only(whole: Any) -> None:
    kinds = {"deliveries", "ticks", "connections", "probes"}
    logs = {"publisher.log", "server.log", "load.log"}
    if whole.spec.subject.transport == "short-poll":
        kinds.add("requests")
        logs = {"publisher.log", "server.log", "load-0.log", "load-1.log"}
    names = {f"{kind}.parquet" for kind in kinds} | logs | {"manifest.json"}
    assert {path.name for path in whole.folder.iterdir()} == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in whole.folder.iterdir()} == {0o444}
    for kind in kinds:
        assert whole.table(kind).keys() == tables.TABLES[kind].keys()


@pytest.mark.slow
def test_workers_shards_are_merged(polled: Any) -> None:
    assert set(polled.table("connections")["subscriber"].tolist()) == set(range(5))
    requests = polled.table("requests")
    assert set(requests["subscriber"].tolist()) == set(range(5))
    for subscriber in range(5):
        planned = requests["planned_ns"][requests["subscriber"] == subscriber][1:]  # the first is planned by the ramp
        # One each 0.1 s; where no answer came in time, its turns are left out.
        apart = np.diff(planned)
        assert len(apart) >= 3 and (apart > 0).all() and (apart % 100_000_000 == 0).all()


@pytest.mark.slow
def test_a_server_that_does_not_leave_is_warned_of(polled: Any, pushed: Any) -> None:
    assert [found["kind"] for found in polled.manifest["warnings"]] == ["slow shutdown"]
    assert pushed.manifest["warnings"] == []


@pytest.mark.slow
def test_a_campaigns_process_that_was_stopped_at_an_edge_spoils_what_it_counts(measure: Callable[..., Any]) -> None:
    """The server's CPU time would else be that of half a window, divided by the messages of a whole one."""

    def look(whole: Any) -> None:
        if whole.stages[-1] == "measuring":
            time.sleep(1.1)

    manifest = measure("sse-aiohttp", {"edge_share": 0.2}, look, window_s=1).manifest
    assert manifest["status"] == "invalid"
    (reason,) = (one for one in manifest["reasons"] if "campaign" in one["message"])
    assert (reason["kind"], reason["metrics"]) == ("counters read late", READ_BY_CAMPAIGN)
    late_ns = manifest["processes"]["machine"]["read_ns_at_start"] - manifest["window"]["start_ns"]
    assert late_ns >= 1_100_000_000


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_window_fails_the_trial(tmp_path: Path, spec_of: SpecOf, children: Any) -> None:
    def stage(text: str) -> None:
        if text == "measuring":
            server = children.named("server")
            with server.log.open("a") as log:
                log.write("out of memory\nlast words\n")
            server.kill()

    manifest = plain(trial.run(spec_of(), tmp_path, Place.here(), stage))
    assert manifest["status"] == "failed"
    (found,) = manifest["reasons"]
    assert found["message"] == "the server ended early (SIGKILL)"
    assert "last words" in found["remedy"]
    assert found["metrics"] == EVERYTHING
    folder = tmp_path / spec_of().directory
    assert manifest == json.loads((folder / "manifest.json").read_text())
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert len(children.all) == 3
    assert children.alive == []


@pytest.mark.slow
@pytest.mark.parametrize("when", ["starting", "measuring"])
def test_ctrl_c_leaves_no_manifest_and_no_process(tmp_path: Path, spec_of: SpecOf, children: Any, when: str) -> None:
    def stage(text: str) -> None:
        if text == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial.run(spec_of(), tmp_path, Place.here(), stage)
    assert not (tmp_path / spec_of().directory / "manifest.json").exists()
    assert len(children.all) == (3 if when == "measuring" else 0)
    assert children.alive == []
