"""A campaign: seeded order, nothing run twice, campaign.json after every trial, errors of the user by name."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbench.campaign import campaign as campaigns
from rtbench.campaign import preflight, schedule
from rtbench.campaign.campaign import Campaign, stay_on
from rtbench.campaign.journal import alone
from rtbench.campaign.preflight import prepare
from rtbench.campaign.schedule import block_seed, estimate, order
from rtbench.errors import ResultsError, UserError
from rtbench.machine.placement import Place
from rtbench.records import tables
from rtbench.records.manifest import Counts, Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import Status, plain
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.proxies import catalogue as proxies
from rtbench.subjects.registry import find
from rtbench.trial import Spec

NAMES = ["sse-aiohttp", "websocket-aiohttp", "long-poll-aiohttp"]
PLACE = Place((0,), (0,), (0,))
ENVIRONMENT = {"machine": "here", "cpu": "a", "cores": 2, "kernel": "6", "python": "3", "packages": {}, "rtbench": "1"}


def scenario(**table: Any) -> Scenario:
    return build({"subjects": NAMES, "subscribers": 10, "blocks": 2, **table}, "here")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """This machine's fingerprint and inventory, cheaper; and the limits put back that a campaign raises."""
    environment = dict(ENVIRONMENT)
    monkeypatch.setattr(campaigns, "inventory", lambda: Reason("inventory"))
    monkeypatch.setattr(campaigns, "fingerprint", lambda: environment)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield environment
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Told:
    """Listens to a campaign, verifies and runs its trials: everything that happens, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.problems: dict[str, list[str]] = {}
        self.statuses: dict[int, Status] = {}
        self.crash: dict[int, BaseException] = {}

    def trial(self, spec: Spec, number: int, total: int) -> None:
        self.events.append(("trial", spec.subject.name, number, total))

    def stage(self, text: str) -> None:
        self.events.append(("stage", text))

    def done(self, spec: Spec, manifest: Manifest) -> None:
        self.events.append(("done", spec.number, manifest.status))

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def verify(self, subject: Subject, logs: Path) -> list[str]:
        assert (logs.parent.name, logs.name) == ("verification", subject.name)
        self.events.append(("verify", subject.name))
        return self.problems.get(subject.name, [])

    def run(self, spec: Spec, folder: Path, place: Place, stage: Callable[[str], None]) -> Manifest:
        assert place is PLACE
        stage("measuring")
        if spec.number in self.crash:
            raise self.crash[spec.number]
        self.events.append(("run", spec.number, spec.subject.name, spec.block, spec.position))
        manifest = Manifest(schema=1, status=self.statuses.get(spec.number, "ok"), counts=Counts(), reasons=[])
        (folder / spec.directory).mkdir(parents=True, exist_ok=True)
        tables.write_json(folder / spec.directory / "manifest.json", plain(manifest))
        return manifest

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(campaigns.trial, "run", told.run)
    return told


def measure(folder: Path, told: Told, resume: bool = False, **table: Any) -> Campaign:
    campaign = Campaign(scenario(**table), folder, "rtbench run here", resume)
    campaign.run(PLACE, told, told.verify)
    return campaign


def document(folder: Path) -> dict[str, Any]:
    value = json.loads((folder / "campaign.json").read_text())
    assert isinstance(value, dict)
    return value


# Order and plan


def test_every_block_has_every_subject_once_in_an_order_from_the_seed_alone() -> None:
    many = scenario(blocks=40, seed=7)
    blocks = order(many)
    assert [sorted(block) for block in blocks] == [sorted(NAMES)] * 40
    assert len({tuple(block) for block in blocks}) == 6  # all permutations of three turn up
    assert blocks == order(many)
    assert blocks != order(scenario(blocks=40, seed=8))
    assert order(scenario(blocks=3, seed=7)) == blocks[:3]  # more blocks later: the first ones stay


def test_blocks_differ_in_their_seed_and_subjects_and_attempts_inside_a_block_do_not(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[int, set[int]] = {}

    def run(spec: Spec, *words: Any) -> Manifest:
        seeds.setdefault(spec.block, set()).add(spec.scenario.seed)
        return told.run(spec, *words)

    monkeypatch.setattr(campaigns.trial, "run", run)
    told.statuses = {2: "invalid"}
    measure(tmp_path, told, seed=7, validity={"reruns": 1})
    assert len(told.of("run")) == 9
    assert seeds == {1: {block_seed(7, 1)}, 2: {block_seed(7, 2)}}
    assert document(tmp_path)["seed"] == 7


def test_the_seed_of_a_block_is_what_its_docstring_says() -> None:
    for seed, block in ((1, 1), (2**63 - 1, 1000)):
        digest = hashlib.sha256(f"rtbench/{seed}/block/{block}".encode()).digest()
        assert block_seed(seed, block) == int.from_bytes(digest[:4], "big")
    assert len({block_seed(seed, block) for seed in range(9) for block in range(1, 9)}) == 72


@pytest.mark.slow
def test_order_is_the_same_in_every_process() -> None:
    """A campaign that is replayed with its seed runs its subjects in the same order (no PYTHONHASHSEED in it)."""
    script = (
        "import sys; from rtbench.campaign.schedule import order; from rtbench.scenario.loading import build; "
        "print(order(build({'subjects': sys.argv[1:], 'blocks': 5, 'seed': 7}, 'here')))"
    )
    command = [sys.executable, "-c", script, *NAMES]
    said = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{order(scenario(blocks=5, seed=7))}\n"}


def test_plan_counts_the_ladder() -> None:
    flat = estimate(scenario())
    ladder = {"ladder": [2, 5, 10], "idle_s": 3, "stream_s": 4}
    climbed = estimate(scenario(memory=ladder))
    warm_s = 4.0 - 2.0  # 20 messages take 4 s; the last rung has sent them already, and `warmup_s` is left
    assert climbed.seconds - flat.seconds == pytest.approx(6 * (3 * (3 + 4 + schedule.RUNG_S) - warm_s))


def test_plan_counts_trials_time_and_disk() -> None:
    table = {"blocks": 4, "ramp_hz": 5, "warmup_s": 1, "window_s": 10, "grace_s": 2, "workload": {"rate_hz": 100}}
    take = estimate(scenario(**table))
    each_s = 10 / 5 + 1 + 10 + 2 + schedule.START_S
    assert take.trials == 12
    assert take.seconds == pytest.approx(12 * each_s + 15)
    assert take.as_dict() == {
        "trials": 12,
        "minutes": round(take.seconds / 60, 1),
        "disk_bytes": take.disk_bytes,
    }
    assert estimate(scenario(**{**table, "workload": {"rate_hz": 200}})).disk_bytes > 1.9 * take.disk_bytes
    # 300 messages of warm-up take 3 s, which is longer than `warmup_s`.
    longer = estimate(scenario(**table, warmup_messages=300))
    assert longer.seconds - take.seconds == pytest.approx(12 * 2)
    # A stream with a pace of its own does not care for the scenario's.
    assert estimate(scenario(**table, stream="stocks")).disk_bytes < take.disk_bytes


# Can it run here?


def test_a_stream_that_warms_up_for_minutes_is_refused_in_every_cell() -> None:
    prepare(scenario())
    slow = scenario(sweep={"workload": {"rate_hz": [5, 0.1]}})
    with pytest.raises(UserError, match=r"a warm-up of 20 messages takes 200 s, the limit is 60 s"):
        prepare(slow)


def limits(monkeypatch: pytest.MonkeyPatch, hard: int) -> list[tuple[int, int]]:
    """Pretend that this is the hard limit of descriptors; what is set is in the list."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    return asked


@pytest.mark.parametrize("hard", [1200, resource.RLIM_INFINITY])
def test_enough_descriptors_are_all_taken(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    with monkeypatch.context() as patch:
        asked = limits(patch, hard)
        assert [subject.name for subject in prepare(scenario(subscribers=1000))] == NAMES
    assert asked == [(hard, hard)]


def test_too_few_descriptors_say_how_many_and_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(UserError) as caught:
        limits(patch, 1199)
        prepare(scenario(subscribers=1000))
    assert str(caught.value) == (
        "1,000 subscribers need 1,200 file descriptors, the hard limit is 1,199: "
        "raise it (ulimit -Hn 1200) or take --set subscribers=999"
    )


def test_too_few_local_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ports", lambda: (50_000, 50_009))
    with pytest.raises(UserError, match=r"10 subscribers need as many local ports, there are 9: .*ip_local_port_range"):
        prepare(scenario())


def test_ports_are_the_kernels_or_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = preflight.ports()
    assert 0 < low < high < 65536
    for answer in (OSError(), "nonsense"):

        def read_text(path: Path, *_: Any, answer: OSError | str = answer) -> str:
            if isinstance(answer, OSError):
                raise answer
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", read_text)
            ports = preflight.ports()
        assert ports == (32768, 60999)


def test_namespaces_that_cannot_be_made_are_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="--netns needs root, for network namespaces"):
        prepare(scenario(netns=True))
    swept = {"network": {"profile": ["none", "wan"]}}
    for table in ({"network": {"delay_ms": 1}}, {"sweep": swept}):
        with pytest.raises(UserError, match=r"\[network\] needs root, for network namespaces: use sudo"):
            prepare(scenario(**table))
    assert prepare(scenario())


def test_both_labels_of_a_subject_are_there() -> None:
    found = prepare(scenario(subjects=["sse-aiohttp", "sse-aiohttp@2"]))
    assert [subject.name for subject in found] == ["sse-aiohttp", "sse-aiohttp@2"]


def test_an_unknown_subject_is_named() -> None:
    with pytest.raises(UserError, match="unknown subject 'sse-somebodys'"):
        prepare(scenario(subjects=["sse-somebodys"]))


# The folder


def test_folder_is_made_with_a_first_campaign_json(tmp_path: Path, here: dict[str, Any]) -> None:
    folder = tmp_path / "a" / "b"
    began = time.time()
    campaign = Campaign(scenario(stream=["fanout", "stocks"]), folder, "rtbench run here")
    assert (folder / "trials").is_dir()
    value = document(folder)
    assert value == plain(campaign.journal.record)
    assert {"schema", "rtbench", "scenario", "seed", "order", "environment", "warnings", "trials", "exit"} <= set(value)
    assert (value["schema"], value["campaign"], value["command"]) == (tables.SCHEMA, "b", "rtbench run here")
    assert value["scenario"] == campaign.scenario.as_dict()
    assert value["scenario_hash"] == campaign.scenario.hash
    assert (value["trials"], value["exit"], value["environment"]) == ([], None, here)
    assert [row["subject"] for row in value["subjects"]] == NAMES
    assert value["channels"] == [
        {"channel": 0, "stream": "fanout", "stream_channel": 0},
        {"channel": 1, "stream": "stocks", "stream_channel": 0},
    ]
    assert began <= value["started_unix"] <= value["finished_unix"]


def test_calibration_of_the_machine_is_kept_with_the_campaign(tmp_path: Path) -> None:
    known = {"met": True, "checks": [], "measured_unix": 5}
    Campaign(scenario(), tmp_path / "a", "", calibration=known)
    assert document(tmp_path / "a")["calibration"] == known
    Campaign(scenario(), tmp_path / "b", "")
    assert document(tmp_path / "b")["calibration"] is None


def test_a_calibration_that_is_damaged_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as caught:
        Campaign(scenario(), tmp_path / "a", "", calibration={"checks": []})
    assert str(caught.value) == ("this machine's calibration: measured_unix is missing: run `rtbench calibrate` again")
    assert not (tmp_path / "a").exists()


def test_a_folder_with_a_campaign_is_refused_and_left_alone(tmp_path: Path) -> None:
    Campaign(scenario(), tmp_path, "first")
    with pytest.raises(
        ResultsError, match=r"holds a campaign already: choose another --out, or continue with --resume"
    ):
        Campaign(scenario(), tmp_path, "second")
    assert document(tmp_path)["command"] == "first"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write into .*file/out \(Not a directory\): choose another --out"):
        Campaign(scenario(), tmp_path / "file" / "out", "")


# Trials


def test_trials_run_in_order_and_are_recorded_one_by_one(tmp_path: Path, told: Told) -> None:
    recorded: list[int] = []
    done = told.done

    def look(spec: Spec, manifest: Manifest) -> None:
        recorded.append(len(document(tmp_path)["trials"]))
        done(spec, manifest)

    told.done = look  # type: ignore[method-assign]
    campaign = measure(tmp_path, told)
    expected = [
        (block * 3 + position, name, block + 1, position)
        for block, names in enumerate(order(campaign.scenario))
        for position, name in enumerate(names, start=1)
    ]
    assert told.of("run") == expected
    assert told.of("trial") == [(name, number, 6) for number, name, _, _ in expected]
    assert told.of("done") == [(number, "ok") for number, *_ in expected]
    assert recorded == [1, 2, 3, 4, 5, 6]
    assert document(tmp_path)["trials"] == [
        {
            "trial": number,
            "subject": name,
            "block": block,
            "position": position,
            "attempt": 1,
            "item": name,
            "cell": {},
            "status": "ok",
            "directory": f"trials/{number:03d}-{name}",
            "manifest_sha256": tables.sha256(tmp_path / f"trials/{number:03d}-{name}/manifest.json"),
        }
        for number, name, block, position in expected
    ]


def test_a_subject_is_verified_once_before_its_first_trial(tmp_path: Path, told: Told) -> None:
    measure(tmp_path, told)
    assert sorted(told.of("verify")) == [(name,) for name in sorted(NAMES)]
    for name in NAMES:
        first = next(n for n, event in enumerate(told.events) if event[0] == "run" and event[2] == name)
        verified = told.events.index(("verify", name))
        assert verified < first
        assert told.events[verified - 1] == ("stage", "verifying")


def test_a_subject_that_fails_verification_is_failed_never_fast(
    tmp_path: Path, told: Told, here: dict[str, Any]
) -> None:
    told.problems = {"websocket-aiohttp": ["bytes: one", "order: two", "end: three", "gap: four"]}
    campaign = measure(tmp_path, told)
    assert "websocket-aiohttp" not in {name for _, name, *_ in told.of("run")}
    assert told.of("verify").count(("websocket-aiohttp",)) == 1
    rows = [row for row in document(tmp_path)["trials"] if row["subject"] == "websocket-aiohttp"]
    assert [row["status"] for row in rows] == ["failed", "failed"]
    for row in rows:
        manifest = json.loads((tmp_path / row["directory"] / "manifest.json").read_text())
        assert row["manifest_sha256"] == tables.sha256(tmp_path / row["directory"] / "manifest.json")
        apart = ("directory", "attempt", "item", "manifest_sha256")
        assert manifest.items() >= {k: v for k, v in row.items() if k not in apart}.items()
        assert find("websocket-aiohttp").describe().items() <= manifest.items()
        assert (manifest["schema"], manifest["environment"]) == (tables.SCHEMA, here)
        assert manifest["scenario_hash"] == campaign.scenario.hash
        assert manifest["reasons"] == [
            {
                "kind": "verification",
                "message": "verification failed: bytes: one; order: two; end: three",
                "remedy": "run `rtbench verify websocket-aiohttp`",
                "metrics": ["*"],
            }
        ]
    assert campaign.verdict() == 3


@pytest.mark.parametrize("names", [["websocket-aiohttp"], ["websocket-aiohttp", "websocket-aiohttp@2"]])
def test_a_campaign_of_nothing_but_a_subject_that_fails_verification_is_refused(
    tmp_path: Path, told: Told, names: list[str]
) -> None:
    told.problems = {name: ["start: no port", "order: two"] for name in names}
    with pytest.raises(UserError) as caught:
        measure(tmp_path, told, subjects=names)
    failed = next(name for (name,) in told.of("verify"))
    assert str(caught.value) == (
        f"{failed} fails verification, so nothing is measured: start: no port (and 1 more): "
        f"run `rtbench verify {failed}`; logs are in {tmp_path / 'verification' / failed}"
    )
    assert told.of("run") == []
    told.problems = {}
    measure(tmp_path, told, subjects=names)  # the same command, once it is put right
    assert {row["status"] for row in document(tmp_path)["trials"]} == {"ok"}


def test_what_was_measured_stays_when_the_only_subject_fails_later(tmp_path: Path, told: Told) -> None:
    told.crash = {2: RuntimeError("a bug")}
    with pytest.raises(RuntimeError):
        measure(tmp_path, told, subjects=["sse-aiohttp"])
    told.problems = {"sse-aiohttp": ["start: no port"]}
    with pytest.raises(UserError, match="sse-aiohttp fails verification"):
        measure(tmp_path, told, resume=True, subjects=["sse-aiohttp"])
    assert [row["trial"] for row in document(tmp_path)["trials"]] == [1]


def test_a_crash_keeps_what_was_recorded(tmp_path: Path, told: Told) -> None:
    told.crash = {3: RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        measure(tmp_path, told)
    value = document(tmp_path)
    assert [row["trial"] for row in value["trials"]] == [1, 2]
    assert value["exit"] is None


# A block again; `tests/campaign/test_schedule.py` has the order by itself


def blocks_of(told: Told) -> list[tuple[int, int]]:
    return [(number, block) for number, _, block, _ in told.of("run")]


def test_an_invalid_trial_is_left_as_it_is_unless_the_scenario_says_otherwise(tmp_path: Path, told: Told) -> None:
    told.statuses = {2: "invalid"}
    measure(tmp_path, told)
    assert len(told.of("run")) == 6


def test_a_block_with_an_invalid_trial_is_run_again_whole(tmp_path: Path, told: Told) -> None:
    told.statuses = {2: "invalid", 8: "failed"}
    campaign = measure(tmp_path, told, validity={"reruns": 3})
    assert blocks_of(told) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2), (8, 2), (9, 2)]
    ran = told.of("run")
    assert [row[1:] for row in ran[3:6]] == [row[1:] for row in ran[:3]]  # the same order
    assert len({row["directory"] for row in document(tmp_path)["trials"]}) == 9  # both are kept
    assert [number for _, number, _ in told.of("trial")] == list(range(1, 10))
    assert [total for *_, total in told.of("trial")] == [6] * 3 + [9] * 6
    assert told.of("note") == [("block 1 has an invalid trial: it is run again, whole",)]
    valid = [row for row in campaign.trials if row.subject == campaign.trials[7].subject and row.status == "ok"]
    assert [(row.block, row.attempt) for row in valid] == [(1, 1), (1, 2)]
    assert campaign.verdict() == 0  # both attempts at block 1 count for the one that failed in block 2


def test_a_block_is_run_again_so_often_and_no_more(tmp_path: Path, told: Told) -> None:
    told.statuses = dict.fromkeys(range(1, 100), "invalid")
    measure(tmp_path, told, blocks=1, validity={"reruns": 2})
    assert blocks_of(told) == [(number, 1) for number in range(1, 10)]


def test_no_block_is_run_again_when_its_time_is_over(tmp_path: Path, told: Told) -> None:
    told.statuses = {2: "invalid"}
    measure(tmp_path, told, validity={"reruns": 3, "rerun_s": 0})
    assert len(told.of("run")) == 6


def test_blocks_that_are_run_again_share_their_time(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every trial takes 10 s here: there is time to run one of the two blocks again, not both."""
    told.statuses = {2: "invalid", 8: "invalid"}
    now = [0.0]
    run = told.run

    def slowly(*arguments: Any) -> Manifest:
        now[0] += 10
        return run(*arguments)

    monkeypatch.setattr(campaigns.trial, "run", slowly)
    monkeypatch.setattr(campaigns.time, "monotonic", lambda: now[0])
    measure(tmp_path, told, validity={"reruns": 1, "rerun_s": 59})
    assert [block for _, block in blocks_of(told)] == [1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_valid_trials_of_one_block_do_not_make_up_for_another(tmp_path: Path, told: Told) -> None:
    told.statuses = {1: "invalid", 7: "failed", 8: "failed", 9: "failed"}
    campaign = measure(tmp_path, told, validity={"reruns": 1})
    row = {subject: {r.block for r in campaign.trials if r.subject == subject} for subject in NAMES}
    assert set(map(frozenset, row.values())) == {frozenset({1, 2})}
    assert campaign.verdict() == 3


@pytest.mark.parametrize("crash", [4, 5, 6, 7])
def test_resume_finishes_a_block_that_was_being_run_again(tmp_path: Path, told: Told, crash: int) -> None:
    told.statuses, told.crash = {1: "invalid"}, {crash: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, told, validity={"reruns": 1})
    told.crash = {}
    measure(tmp_path, told, resume=True, validity={"reruns": 1})
    assert blocks_of(told) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2), (8, 2), (9, 2)]
    assert told.of("trial")[-1][1:] == (9, 9)
    assert [row["trial"] for row in document(tmp_path)["trials"]] == list(range(1, 10))


# Resume


def test_resume_runs_what_is_missing_and_keeps_what_there_is(tmp_path: Path, told: Told) -> None:
    told.crash = {5: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, told)
    before = document(tmp_path)
    told.events, told.crash = [], {}
    campaign = measure(tmp_path, told, resume=True)
    after = document(tmp_path)
    assert [number for number, *_ in told.of("run")] == [5, 6]
    assert after["trials"][:4] == before["trials"]
    assert [row["trial"] for row in after["trials"]] == [1, 2, 3, 4, 5, 6]
    assert after["started_unix"] == before["started_unix"]
    assert len(told.of("verify")) == len({name for _, name, *_ in told.of("run")})
    assert campaign.verdict() == 0


def test_resume_of_a_finished_campaign_runs_nothing(tmp_path: Path, told: Told) -> None:
    measure(tmp_path, told)
    told.events = []
    measure(tmp_path, told, resume=True)
    assert told.events == []


def test_resume_takes_more_blocks(tmp_path: Path, told: Told) -> None:
    measure(tmp_path, told)
    told.events = []
    measure(tmp_path, told, resume=True, blocks=3)
    assert [(number, block) for number, _, block, _ in told.of("run")] == [(7, 3), (8, 3), (9, 3)]


def test_resume_keeps_the_order_of_a_block_that_was_begun(tmp_path: Path, told: Told) -> None:
    told.crash = {2: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, told)
    value = document(tmp_path)
    drawn = value["order"]
    turned = [[names[0], names[2], names[1]] for names in drawn]  # as if another version had drawn it
    tables.write_json(tmp_path / "campaign.json", {**value, "order": turned})
    told.events, told.crash = [], {}
    measure(tmp_path, told, resume=True)
    assert [name for _, name, *_ in told.of("run")] == [*turned[0][1:], *drawn[1]]


def test_resume_refuses_another_scenario(tmp_path: Path) -> None:
    first = Campaign(scenario(), tmp_path, "")
    other = scenario(subscribers=11)
    with pytest.raises(
        ResultsError, match=f"is of scenario {first.scenario.hash}, this one is {other.hash}: continue with"
    ):
        Campaign(other, tmp_path, "", resume=True)


def test_resume_refuses_more_subjects_because_they_would_not_be_in_the_blocks_that_were_run(tmp_path: Path) -> None:
    Campaign(scenario(subjects=NAMES[:2]), tmp_path, "")
    with pytest.raises(
        ResultsError, match=r"is of scenario .*, this one is .*: continue with the same scenario and settings"
    ):
        Campaign(scenario(), tmp_path, "", resume=True)


def test_resume_numbers_attempts_that_are_not_recorded_and_keeps_free_keys(tmp_path: Path, told: Told) -> None:
    told.statuses, told.crash = {1: "invalid"}, {6: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, told, validity={"reruns": 1})
    value = document(tmp_path)
    rows = [{**{k: v for k, v in row.items() if k != "attempt"}, "mine": row["trial"]} for row in value["trials"]]
    tables.write_json(tmp_path / "campaign.json", {"mine": {"a": 1}, **value, "trials": rows})
    told.crash = {}
    measure(tmp_path, told, resume=True, validity={"reruns": 1})
    after = document(tmp_path)
    assert list(after) == ["mine", *value] and after["mine"] == {"a": 1}
    assert [row["attempt"] for row in after["trials"]] == [1, 1, 1, 2, 2, 2, 1, 1, 1]
    assert [{k: v for k, v in row.items() if k != "attempt"} for row in after["trials"][:5]] == rows


def test_the_inventory_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Campaign(scenario(), tmp_path, "rtbench run")
    monkeypatch.setattr(campaigns, "inventory", lambda: Reason("another"))
    Campaign(scenario(), tmp_path, "rtbench run", resume=True)
    assert json.loads((tmp_path / "environment.json").read_text())["kind"] == "inventory"


def test_an_unwritable_inventory_is_reported(tmp_path: Path) -> None:
    journal = Campaign(scenario(), tmp_path, "rtbench run").journal
    with pytest.raises(ResultsError, match="cannot write into"):
        journal.note("missing/environment.json", Reason())


def test_resume_refuses_another_environment_and_names_the_key(tmp_path: Path, here: dict[str, Any]) -> None:
    Campaign(scenario(), tmp_path, "")
    here["kernel"] = "7"
    with pytest.raises(ResultsError, match=r"was measured elsewhere: kernel: 6 and 7: measure again, whole"):
        Campaign(scenario(), tmp_path, "", resume=True)


@pytest.mark.parametrize("content", ["{", "{}", '{"schema": 1}', "[]"])
def test_resume_of_a_damaged_campaign_is_a_user_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "campaign.json").write_text(content)
    with pytest.raises(ResultsError, match=str(tmp_path)):
        Campaign(scenario(), tmp_path, "", resume=True)


def test_resume_of_another_schema_says_so(tmp_path: Path) -> None:
    Campaign(scenario(), tmp_path, "")
    tables.write_json(tmp_path / "campaign.json", {**document(tmp_path), "schema": 999})
    with pytest.raises(ResultsError, match="schema 999"):
        Campaign(scenario(), tmp_path, "", resume=True)


# A full disk


def full(path: Path, value: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(scenario(), tmp_path, "")
    monkeypatch.setattr(tables, "write_json", full)
    with pytest.raises(UserError) as caught:
        campaign.save(0)
    assert str(caught.value) == (
        f"cannot write into {tmp_path} (No space left on device): "
        "free the disk; finished trials are kept, continue with --resume"
    )


def test_a_full_disk_at_a_refused_subject(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(scenario(), tmp_path, "")
    told.problems = {name: ["bytes: wrong"] for name in NAMES}
    monkeypatch.setattr(tables, "write_json", full)
    with pytest.raises(UserError, match=r"No space left on device.*--resume"):
        campaign.run(PLACE, told, told.verify)


# One campaign at a time


def test_a_folder_is_of_one_campaign_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with alone(folder):
        (folder / "campaign.json").touch()
        with pytest.raises(ResultsError, match="another rtbench measures into it: wait for its end"), alone(folder):
            raise AssertionError
    with alone(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["campaign.json"]


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with alone(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with alone(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ResultsError, match=r"file/out \(Not a directory\): choose another --out"),
        alone(tmp_path / "file" / "out"),
    ):
        raise AssertionError


# Its end


@pytest.mark.parametrize(
    ("blocks", "statuses", "code"),
    [
        (2, {}, 0),
        (2, {1: "invalid"}, 3),
        (3, {1: "invalid", 5: "ok"}, 0),
        (3, {1: "failed", 2: "failed", 3: "failed", 4: "invalid"}, 3),
        (1, {}, 0),
        (1, {2: "failed"}, 3),
    ],
)
def test_verdict(tmp_path: Path, told: Told, blocks: int, statuses: dict[int, Status], code: int) -> None:
    told.statuses = statuses
    assert measure(tmp_path, told, blocks=blocks).verdict() == code


def test_exit_code_is_kept(tmp_path: Path, told: Told) -> None:
    campaign = measure(tmp_path, told)
    assert document(tmp_path)["exit"] is None
    campaign.save(130)
    assert document(tmp_path)["exit"] == 130


@pytest.mark.parametrize(
    ("place", "cores"),
    [(Place((0,), (2, 3), (1,)), [{1, 2, 3}]), (Place((0,), (1,), (1,)), [{1}]), (Place((0,), (0,), (0,)), [])],
)
def test_campaign_keeps_off_the_servers_core(
    monkeypatch: pytest.MonkeyPatch, place: Place, cores: list[set[int]]
) -> None:
    asked: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: asked.append(cores))
    stay_on(place)
    assert asked == cores


# Sweeps: cells inside every block


def test_a_block_has_every_subject_in_every_cell_once(tmp_path: Path, told: Told) -> None:
    table = {"subjects": NAMES[:2], "sweep": {"subscribers": [5, 10], "workload": {"rate_hz": [1, 2]}}}
    campaign = measure(tmp_path, told, **table)
    found = schedule.items(campaign.scenario)
    assert len(found) == 8
    assert next(iter(found)) == f"{NAMES[0]} [subscribers=5 workload.rate_hz=1]"
    for block in campaign.journal.order:
        assert sorted(block) == sorted(found)
    assert campaign.journal.order[0] != campaign.journal.order[1]
    rows = document(tmp_path)["trials"]
    assert [row["item"] for row in rows] == [name for block in campaign.journal.order for name in block]
    for row in rows:
        cell = row["cell"]
        assert row["item"] == f"{row['subject']} [{' '.join(f'{key}={value}' for key, value in cell.items())}]"
    assert document(tmp_path)["cells"] == [
        {"subscribers": subscribers, "workload.rate_hz": rate} for subscribers in (5, 10) for rate in (1, 2)
    ]
    # A subject is verified once, in whatever cell comes first.
    assert sorted(told.of("verify")) == sorted((name,) for name in NAMES[:2])
    assert estimate(campaign.scenario).trials == 16


def test_a_trial_is_given_its_cells_scenario_and_the_campaigns_hash(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Spec] = []

    def run(spec: Spec, folder: Path, *_: Any) -> Manifest:
        seen.append(spec)
        return told.run(spec, folder, PLACE, lambda stage: None)

    monkeypatch.setattr(campaigns.trial, "run", run)
    campaign = measure(tmp_path, told, subjects=NAMES[:1], sweep={"subscribers": [5, 10]}, blocks=1)
    assert sorted((spec.scenario.subscribers, spec.cell["subscribers"]) for spec in seen) == [(5, 5), (10, 10)]
    assert {spec.scenario_hash for spec in seen} == {campaign.scenario.hash}


def test_a_sweep_goes_on_where_it_was_interrupted(tmp_path: Path, told: Told) -> None:
    table = {"subjects": NAMES[:2], "sweep": {"subscribers": [5, 10]}, "blocks": 1}
    told.crash = {3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, told, **table)
    told.crash = {}
    campaign = measure(tmp_path, told, resume=True, **table)
    assert [row.item for row in campaign.trials] == campaign.journal.order[0]
    assert len(campaign.trials) == 4


def test_the_verdict_is_over_every_cell(tmp_path: Path, told: Told) -> None:
    told.statuses = {1: "invalid", 3: "invalid"}
    table = {"subjects": NAMES[:1], "sweep": {"subscribers": [5, 10]}, "blocks": 2}
    campaign = measure(tmp_path, told, **table)
    assert len(campaign.trials) == 4
    # Each cell is to have two valid trials; the subject as a whole has two, which is not enough.
    assert campaign.verdict() == 3
    told.statuses = {}
    assert measure(tmp_path / "again", told, **table).verdict() == 0


def test_every_cell_has_to_be_possible_here(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ports", lambda: (50_000, 50_008))
    with pytest.raises(UserError, match="10 subscribers need as many local ports, there are 8"):
        measure(tmp_path, told, subjects=NAMES[:1], sweep={"subscribers": [5, 10]})
    assert told.events == []


def test_a_cells_plan_counts_for_itself() -> None:
    small, large, both = (
        estimate(scenario(**table)) for table in ({"window_s": 10}, {"window_s": 20}, {"sweep": {"window_s": [10, 20]}})
    )
    assert both.trials == small.trials + large.trials
    assert both.seconds == pytest.approx(small.seconds + large.seconds - 15)


def test_subjects_stand_behind_the_scenarios_proxy(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(proxies(), "nginx-tuned", replace(proxies()["nginx-tuned"], requires=()))  # nothing is started
    measure(tmp_path, told, proxy="nginx-tuned", blocks=1)
    assert {row["proxy"] for row in document(tmp_path)["subjects"]} == {"nginx-tuned"}
