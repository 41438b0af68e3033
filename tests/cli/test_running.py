"""`rtbench run`."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
import tomllib
from pathlib import Path

import pytest

from rtbench.campaign import calibrate, schedule
from rtbench.cli import running
from rtbench.errors import UserError
from rtbench.machine import probes
from rtbench.records.record import Status
from rtbench.scenario.loading import FOLDER, load
from rtbench.subjects import registry as subject_catalogue

from .conftest import Call, Pretended, document, refused


def test_plan_says_what_it_would_take_and_does_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    take = schedule.estimate(load("smoke"))
    ran = call("run", "smoke", "--plan")
    assert ran == (
        0,
        f"smoke: 10 trials, about {take.seconds / 60:.1f} minutes, about {take.disk_bytes / 1e6:.0f} MB\n",
        "",
    )
    assert json.loads(call("run", "smoke", "--plan", "--json").out) == take.as_dict()
    ran = call("run", "smoke", "--plan", "--json", "--subjects", "sse-aiohttp, ,websocket-aiohttp", "--set", "blocks=3")
    assert json.loads(ran.out)["trials"] == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nightly",), r"unknown scenario 'nightly': choose one of aa, article"),
        (("smok",), r"unknown scenario 'smok': did you mean 'smoke'\? choose one of aa, article"),
        (("smoke", "--set", "polling=5"), r"unknown key polling: did you mean 'poll'\? choose one of name"),
        (("smoke", "--set", "subscribers"), r"--set subscribers: expected KEY=VALUE"),
        (("smoke", "--subjects", "sse-somebodys"), r"unknown subject 'sse-somebodys': .*one of"),
        (
            ("smoke", "--subjects", "sse-aiohtp"),
            r"unknown subject 'sse-aiohtp': did you mean 'sse-aiohttp'\? choose one of",
        ),
        (("smoke", "--set", 'stream="stock"'), r"unknown stream 'stock': did you mean 'stocks'\? choose one of"),
        (("smoke", "--set", "proxy=ngin"), r"unknown proxy 'ngin': did you mean 'nginx'\? choose one of"),
        (("smoke", "--set", "window=5"), r"unknown key window: did you mean 'window_s'\? choose one of"),
        (("smoke", "--set", "interval_s=5"), r"unknown key interval_s: did you mean 'poll.interval_s'\? choose one of"),
        (("smoke", "--subjects", ","), r"subjects"),
        (("smoke", "--seed", "-1"), r"--seed"),
        (("smoke", "--resume"), r"--resume needs the folder of a campaign: name it with --out"),
        (("smoke", "--resume", "--out", "empty"), r"empty: holds no campaign to resume"),
        (
            ("smoke", "--netns", "--set", "netns=false", "--set", "server.host=me"),
            r'server.host = "me": expected one of',
        ),
        (("smoke", "--out", "file/out"), r"cannot write into file/out \(Not a directory\): choose another --out"),
        (
            ("smoke", "--out", "taken"),
            r"taken: holds a campaign already: choose another --out, or continue with --resume",
        ),
    ],
)
def test_run_refuses_in_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "campaign.json").write_text("{}")
    assert re.search(says, refused(call("run", *words)))


def test_run_measures_reports_and_keeps_its_exit_code(call: Call, pretended: Pretended) -> None:
    ran = call("run", "smoke", "--out", "there", "--seed", "9")
    folder = Path("there")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "first",
        "second",
        "third",
        "next",
        "caveat: no control",
        f"open it: python3 -m webbrowser file://{Path.cwd()}/there/report/report.html",
        "report: there/report/report.html",
    ]
    plan, subjects, stop, note = ran.err.splitlines()
    assert re.fullmatch(r"smoke: 10 trials, about \d+ min, seed 9, into there", plan) and note == "a note"
    names = ", ".join(load("smoke").subjects)
    assert subjects == f"It measures {names}."
    assert stop == "Ctrl-C stops it and keeps the finished trials; --resume continues."
    assert pretended.built == [([folder], None)]
    value = document(folder)
    assert (value["exit"], value["seed"]) == (0, 9)
    assert value["command"] == "rtbench run smoke --out there --seed 9"


def test_a_seed_that_nothing_names_is_drawn_printed_recorded_and_in_the_command(
    call: Call, pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = call("run", "ci", "--out", "there")
    seed = document(Path("there"))["seed"]
    assert 1 <= seed < 1_000_000 and f"seed {seed}, into there" in ran.err
    command = document(Path("there"))["command"]
    assert command == f"rtbench run ci --out there --seed {seed}"
    monkeypatch.setattr(schedule, "drawn_seed", lambda: 77)
    call("run", "ci", "--out", "again")
    assert (document(Path("again"))["seed"], seed != 77) == (77, True)
    # What goes on keeps its seed; the command that repeats it does not say --resume.
    pretended.statuses = []
    call("run", "ci", "--out", "there", "--resume")
    assert (document(Path("there"))["seed"], document(Path("there"))["command"]) == (seed, command)
    line = refused(call("run", "ci", "--out", "there", "--resume", "--seed", "5"))
    assert line == f"there: has seed {seed}, this one is 5: continue with --seed {seed}"
    # A scenario that names one keeps it, and so does a setting.
    pretended.statuses = ["ok"] * 10
    (tmp_path / "mine.toml").write_text('subjects = ["sse-aiohttp"]\nseed = 8\n')
    call("run", "mine.toml", "--out", "mine")
    mine = document(Path("mine"))
    assert (mine["seed"], mine["command"]) == (8, "rtbench run mine.toml --out mine")
    call("run", "ci", "--out", "set", "--set", "seed=0")
    assert document(Path("set"))["seed"] == 0


def test_no_bundled_scenario_names_a_seed() -> None:
    assert not [path.name for path in FOLDER.glob("*.toml") if "seed" in tomllib.loads(path.read_text())]


def test_the_machines_calibration_goes_into_the_campaign_and_a_report_takes_no_other(
    call: Call, pretended: Pretended, tmp_path: Path
) -> None:
    call("run", "smoke", "--out", "before")
    assert (document(Path("before"))["calibration"], pretended.quoted) == (None, [None])
    known = {"environment": {"machine": "abc"}, "noise": {"source": "calibrate"}, "checks": [], "measured_unix": 5}
    calibrate.store(known)
    call("run", "smoke", "--out", "there")
    assert document(Path("there"))["calibration"] == known
    call("report", "before")
    assert pretended.quoted == [None, None, None]
    stored = calibrate.store(known)
    assert call("report", "before", "--calibration", str(stored)).code == 0
    assert pretended.quoted[-1] == known | {"file": "abc.json"}
    # A newer one changes nothing of a campaign that goes on.
    calibrate.store(known | {"measured_unix": 6})
    pretended.statuses = []
    call("run", "smoke", "--out", "there", "--resume")
    assert document(Path("there"))["calibration"] == known


def test_netns_goes_over_the_scenario(call: Call, pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bool] = []
    monkeypatch.setattr("rtbench.processes.namespaces.check", checked.append)
    assert call("run", "smoke", "--out", "there", "--netns", "--set", "netns=false").code == 0
    assert document(Path("there"))["scenario"]["netns"] is True
    assert checked == [False]  # no network of [network] between them
    assert call("run", "smoke", "--out", "here").code == 0
    assert document(Path("here"))["scenario"]["netns"] is False


def test_netns_without_root_is_a_user_error(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refused(call("run", "smoke", "--netns")).startswith("--netns needs root, for network namespaces")
    assert list(tmp_path.iterdir()) == []


def test_quiet_leaves_the_result(call: Call, pretended: Pretended) -> None:
    assert call("run", "smoke", "--out", "there", "--quiet").err == "a note\n"


def test_results_go_into_a_folder_of_their_own(call: Call, pretended: Pretended, tmp_path: Path) -> None:
    assert call("run", "smoke").code == 0
    folder, page = sorted((tmp_path / "results").iterdir())
    assert page.name == "index.html"
    assert re.fullmatch(r"\d{8}-\d{6}-smoke", folder.name)


@pytest.mark.parametrize(
    ("statuses", "report_code", "code"),
    [
        (["ok"] * 10, 0, 0),
        (["ok"] * 10, 1, 1),
        (["ok"] * 10, 3, 3),
        (["failed"] * 10, 0, 3),
        (["failed"] * 10, 1, 1),
        (["failed"] * 10, 3, 3),
    ],
)
def test_a_finding_goes_before_too_few_trials(
    call: Call, pretended: Pretended, statuses: list[Status], report_code: int, code: int
) -> None:
    pretended.statuses, pretended.report_code = statuses, report_code
    assert call("run", "smoke", "--out", "there").code == code
    assert document(Path("there"))["exit"] == (3 if "failed" in statuses else 0)


def test_interrupted_run_keeps_what_there_is_and_says_how_to_go_on(call: Call, pretended: Pretended) -> None:
    pretended.statuses, pretended.error = ["ok"] * 4, KeyboardInterrupt()
    ran = call("run", "smoke", "--out", "my results", "--set", "blocks=2")
    assert (ran.code, ran.out) == (130, "")
    last, seed = ran.err.splitlines()[-1], document(Path("my results"))["seed"]
    assert last == (
        "rtbench: interrupted; 4 of 10 trials are kept in my results; "
        f"continue with: rtbench run smoke --out 'my results' --set blocks=2 --seed {seed} --resume"
    )
    assert pretended.built == []
    assert (document(Path("my results"))["exit"], len(document(Path("my results"))["trials"])) == (130, 4)
    # And so it does.
    pretended.statuses, pretended.error = ["ok"] * 6, None
    again = shlex.split(last.partition("continue with: ")[2])
    assert call(*again[1:]).code == 0
    assert (document(Path("my results"))["exit"], len(document(Path("my results"))["trials"])) == (0, 10)


def test_hint_names_the_folder_that_was_chosen_for_the_user(call: Call, pretended: Pretended, tmp_path: Path) -> None:
    pretended.error = KeyboardInterrupt()
    ran = call("run", "smoke")
    (folder,) = (tmp_path / "results").iterdir()
    seed = document(folder)["seed"]
    assert ran.err.rstrip().endswith(
        f"continue with: rtbench run smoke --seed {seed} --out results/{folder.name} --resume"
    )


def test_a_full_disk_during_a_run_is_a_user_error(call: Call, pretended: Pretended) -> None:
    pretended.error = UserError("cannot write into there (No space left on device)", "free the disk")
    ran = call("run", "smoke", "--out", "there", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == "rtbench: cannot write into there (No space left on device): free the disk"
    assert "Traceback" not in ran.err


MINE = """
description = "as small as it gets"
subjects = ["sse-aiohttp"]
subscribers = 5
blocks = 2
ramp_hz = 200
warmup_s = 0.1
warmup_messages = 5
window_s = 0.5
grace_s = 0.3

[workload]
rate_hz = 50

[validity]
client_cpu_share = 1.0
run_delay_share = 1.0
hub_lag_s = 60
server_run_delay_share = 1.0
moved_share = 1000
steal_share = 1.0
throttle_events = 1000000
publisher_late_s = 60
clock_step_s = 1.0
stamped_share = 0.0
listen_overflows = 1000000
retransmit_share = 1.0
buffer_overruns = 1000000
edge_share = 1.0
drift_share = 100
"""


@pytest.mark.slow
def test_a_campaign_from_its_file_to_its_report(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel counts the machine's CPU by 10 ms: half a second of so little work can be none at all.
    monkeypatch.setattr(probes, "machine_ns", lambda: (time.monotonic_ns(), 0))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # not calibrated
    (tmp_path / "mine.toml").write_text(MINE)
    folder = tmp_path / "out"
    ran = call("run", str(tmp_path / "mine.toml"), "--out", str(folder))
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == f"report: {folder}/report/report.html"
    assert len(re.findall(r"^\[\d/2\] sse-aiohttp, block \d: ok, 125 of 125 delivered", ran.err, re.MULTILINE)) == 2
    value = document(folder)
    assert (value["scenario"]["name"], value["exit"]) == ("mine", 0)
    assert [(row["trial"], row["status"]) for row in value["trials"]] == [(1, "ok"), (2, "ok")]
    for row in value["trials"]:
        manifest = json.loads((folder / row["directory"] / "manifest.json").read_text())
        assert manifest["counts"]["delivered"] == 125
        assert manifest["environment"] == value["environment"]
    made = {path.name: path.read_bytes() for path in (folder / "report").iterdir() if path.is_file()}
    assert made.keys() >= {"report.html", "report.md", "report.json", "metrics.csv"}
    # Again, from the raw files alone; and somewhere else.
    again = call("report", str(folder), "--out", str(tmp_path / "again"))
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines()[:-2] == ran.out.splitlines()[:-2]
    assert {name: (tmp_path / "again" / name).read_bytes() for name in made} == made


# What a CI shows of a run


def summarised(pretended: Pretended, folder: Path) -> None:
    (folder / "report").mkdir(parents=True)
    (folder / "report/report.md").write_text("## what it came to\n")


def test_the_report_goes_into_the_step_summary(
    call: Call, pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    summarised(pretended, Path("there"))
    pretended.report_code = 1
    assert call("run", "smoke", "--out", "there").code == 1
    assert summary.read_text() == "before\n## what it came to\n\n"


@pytest.mark.parametrize("target", ["nowhere/summary.md", "."])
def test_a_step_summary_that_cannot_be_written_is_a_warning(
    call: Call, pretended: Pretended, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", target)
    summarised(pretended, Path("there"))
    ran = call("run", "smoke", "--out", "there", "--quiet")
    assert ran.code == 0
    note, line = ran.err.splitlines()
    assert note == "a note"
    assert line.startswith(f"rtbench: warning: cannot write GITHUB_STEP_SUMMARY {target} (")


def test_without_a_step_summary_nothing_is_written(
    call: Call, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert call("run", "smoke", "--out", "there", "--quiet").err == "a note\n"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (
            "sse-aiohttp.latency_p50",
            "unknown metric 'latency_p50': did you mean 'latency_app_p50_ns'? `rtbench list",
        ),
        (
            "sse-other.lost",
            "the campaign does not measure 'sse-other': did you mean 'sse-aiohttp'? choose one of sse-aiohttp",
        ),
    ],
)
def test_a_threshold_of_nothing_is_refused_before_anything_is_measured(
    call: Call, pretended: Pretended, tmp_path: Path, key: str, says: str
) -> None:
    (tmp_path / "x.toml").write_text(f'subjects = ["sse-aiohttp"]\n[thresholds]\n"{key}" = {{max = 1}}\n')
    assert says in refused(call("run", "x.toml"))
    (tmp_path / "x.toml").write_text('subjects = ["sse-aiohttp"]\n[thresholds]\n"sse-aiohttp.lost" = {max = 1}\n')
    assert call("run", "x.toml", "--plan").code == 0


def test_quick_check_is_of_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "quick_check", lambda subject, logs, codings: [f"{subject.name}: {codings}, {logs}"])
    logs = Path("there")
    assert running.check_quickly(subject_catalogue.find("sse-aiohttp"), logs, {"gzip"}) == [
        "sse-aiohttp: {'gzip'}, there"
    ]
