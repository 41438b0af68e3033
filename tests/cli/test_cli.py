"""The command line through its entry point: results on stdout, one line on stderr, the contract's exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import click
import pytest

import rtbench
from rtbench import cli
from rtbench import streams as stream_catalogue
from rtbench.analysis import calibration as truths
from rtbench.analysis import metrics
from rtbench.analysis.calibration import Check
from rtbench.campaign import calibrate, schedule
from rtbench.campaign import campaign as campaigns
from rtbench.cli import _options, checking, measuring, reading, serving
from rtbench.conformance.verify import CaseResult, Verification
from rtbench.errors import SubjectError, UserError
from rtbench.machine import probes
from rtbench.machine.doctor import Condition
from rtbench.scenario.loading import build, load, names
from rtbench.scenario.model import Scenario
from rtbench.subjects import registry as subject_catalogue
from rtbench.trial import Place

PATIENCE_S = 60


class Ran(NamedTuple):
    """What a command came to."""

    code: Any
    out: str
    err: str


Call = Callable[..., Ran]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """`call("list", "streams")` is `rtbench list streams`; what a command does to this process is taken back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    cores, limits = os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(cli, "_interrupted", [])

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["rtbench", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(caught.value.code, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.sched_setaffinity(0, cores)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def refused(ran: Ran) -> str:
    """The one line of an error of the user's."""
    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("rtbench: ")
    return line.removeprefix("rtbench: ")


# Help and errors of the command line itself

COMMANDS = sorted(cli.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(call: Call, command: str) -> None:
    ran = call(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"Example: rtbench {command}" in " ".join(ran.out.split())


def test_version(call: Call) -> None:
    assert call("--version").out == f"rtbench, version {cli.rtbench.__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("race",), "No such command 'race'"),
        (("list",), "Missing argument"),
        (("list", "metrics", "--xml"), "No such option"),
        (("ticks", "fanout", "--count", "-1"), "--count"),
        (("serve", "sse-aiohttp", "--port", "70000"), "--port"),
    ],
)
def test_wrong_usage_is_one_line(call: Call, words: tuple[str, ...], says: str) -> None:
    assert says in refused(call(*words))


def test_without_a_command_it_says_what_there_is(call: Call) -> None:
    ran = call()
    assert ran.code == 2
    assert all(f"  {command} " in ran.err for command in COMMANDS)


def stub(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every command raise this."""

    def main(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", main)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), cli.click.exceptions.Abort()])
def test_an_interruption_is_130(call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    stub(monkeypatch, error)
    assert call().code == 130


def test_an_import_that_was_interrupted_is_an_interruption(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, ImportError("numpy: interrupted"))
    cli._interrupted.append(signal.SIGINT)
    assert call().code == 130


def test_an_import_that_failed_is_our_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, ImportError("numpy: broken"))
    with pytest.raises(ImportError, match="broken"):
        cli.main()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt(call: Call, number: signal.Signals) -> None:
    call("list", "streams")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert cli._interrupted == [number]


# list


def rows(call: Call, what: str) -> list[dict[str, Any]]:
    """The rows as JSON; every one is in the table too, in that order."""
    ran = call("list", what, "--json")
    assert (ran.code, ran.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(ran.out)
    lines = call("list", what).out.splitlines()
    key = what.removesuffix("s")
    assert [line.split()[0] for line in lines] == [row[key] for row in found]
    for line, row in zip(lines, found, strict=True):
        assert row["description"] in line
    return found


def test_list_subjects(call: Call) -> None:
    found = rows(call, "subjects")
    assert {row["subject"] for row in found} == set(subject_catalogue.catalogue())
    for row in found:
        assert row.items() >= subject_catalogue.find(row["subject"]).describe().items()
    ours = [row for row in found if row["stack"] in ("aiohttp", "websockets", "asyncio")]
    assert len(ours) >= 8
    for row in ours:
        assert (row["available"], row["missing"], row["remedy"], row["here"]) == (True, "", "", "yes")


def test_list_subjects_says_what_cannot_run_here_and_what_would_change_that(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rtbench.programs.SBIN", ())
    found = {row["subject"]: row for row in rows(call, "subjects")}
    row = found["sse-nchan"]
    assert (row["available"], row["missing"]) == (False, "the program nginx")
    assert row["remedy"] == "apt-get install nginx libnginx-mod-nchan"
    lines = {line.split()[0]: line for line in call("list", "subjects").out.splitlines()}
    assert lines["sse-nchan"].endswith("no: apt-get install nginx libnginx-mod-nchan")
    assert lines["sse-aiohttp"].endswith("yes")


def test_list_streams(call: Call) -> None:
    assert rows(call, "streams") == [
        {"stream": stream.name, "finite": stream.finite, "description": stream.description}
        for stream in stream_catalogue.catalogue().values()
    ]


def test_list_scenarios(call: Call) -> None:
    found = {row["scenario"]: row for row in rows(call, "scenarios")}
    assert list(found) == names()
    ci = load("ci")
    assert found["ci"] == {
        "scenario": "ci",
        "subjects": list(ci.subjects),
        "subscribers": 1000,
        "blocks": ci.blocks,
        "description": ci.description,
    }


def test_list_metrics(call: Call) -> None:
    found = rows(call, "metrics")
    assert [row["metric"] for row in found] == [metric.name for metric in metrics.catalogue()]
    assert found[0].keys() == {"metric", "unit", "better", "description"}


# ticks


def ticks(call: Call, *words: str) -> list[dict[str, Any]]:
    ran = call("ticks", *words)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.out.splitlines()]


def test_ticks_are_one_json_object_a_line(call: Call) -> None:
    ran = call("ticks", "fanout", "--count", "2", "--set", "workload.payload_bytes=2")
    assert ran.out == (
        '{"channel": 0, "seq": 1, "due_ns": 0, "payload": "\\"\\""}\n'
        '{"channel": 0, "seq": 2, "due_ns": 200000000, "payload": "\\"\\""}\n'
    )


def test_ticks_are_the_workloads(call: Call) -> None:
    workload = build({"stream": ["stocks"], "seed": 7, "epoch_s": 5}, "here").make_workload()
    expected = [
        {"channel": 0, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        for tick in islice(workload.ticks_of(workload.channel(0)), 20)
    ]
    assert ticks(call, "stocks", "--seed", "7", "--set", "epoch_s=5") == expected
    assert ticks(call, "stocks", "--set", "seed=7", "--set", "epoch_s=5", "--count", "3") == expected[:3]
    assert ticks(call, "stocks", "--seed", "8", "--set", "epoch_s=5") != expected
    assert ticks(call, "stocks", "--count", "0") == []


def test_ticks_of_a_channel(call: Call) -> None:
    settings = ["--set", "workload.channels=unicast", "--set", "subscribers=4", "--set", "workload.rate_hz=1"]
    workload = build(
        {"stream": ["fanout"], "subscribers": 4, "workload": {"channels": "unicast", "rate_hz": 1}}, "here"
    ).make_workload()
    found = ticks(call, "fanout", "--channel", "2", "--count", "1", *settings)
    tick = next(workload.ticks_of(workload.channel(2)))
    assert found == [{"channel": 2, "seq": 1, "due_ns": 500_000_000, "payload": tick.payload.decode()}]


def test_ticks_are_messages_alone(call: Call) -> None:
    lines = [json.loads(line) for line in call("ticks", "resilient", "--count", "100").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 101))
    assert all(line["payload"].startswith('{"value":') for line in lines)
    assert lines[-1]["due_ns"] > 99 * 500_000_000  # some of them failed


def test_ticks_that_nobody_can_foresee(call: Call) -> None:
    assert "known when it is due" in refused(call("ticks", "metrics", "--set", "workload.real=true"))


def test_ticks_of_an_unknown_stream(call: Call) -> None:
    assert refused(call("ticks", "weather")).startswith("stream: there is no stream 'weather': one of chat, ")


def test_ticks_with_a_wrong_setting(call: Call) -> None:
    assert refused(call("ticks", "fanout", "--set", "rate=5")).startswith("the command line: unknown key rate")


def test_a_closed_pipe_is_no_finding(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(sys, "stderr", sys.stderr)  # click puts others in their places
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(click, "echo", closed)
    assert call("ticks", "fanout").code == 0


@pytest.mark.slow
def test_who_has_heard_enough_is_no_finding() -> None:
    command = [sys.executable, "-m", "rtbench.cli", "ticks", "fanout", "--count", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_S) == 0


# run: what is refused before anything starts


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
        (("nightly",), r"there is no scenario 'nightly': one of aa, article"),
        (("smoke", "--set", "polling=5"), r"unknown key polling: allowed are name"),
        (("smoke", "--set", "subscribers"), r"--set subscribers: is no KEY=VALUE"),
        (("smoke", "--subjects", "sse-node"), r"there is no subject 'sse-node': one of"),
        (("smoke", "--subjects", ","), r"subjects"),
        (("smoke", "--seed", "-1"), r"--seed"),
        (("smoke", "--resume"), r"--resume needs to know which campaign: name its folder with --out"),
        (("smoke", "--resume", "--out", "empty"), r"empty: holds no campaign to go on with"),
        (("smoke", "--netns", "--set", "netns=false", "--set", "server.host=me"), r'server.host = "me" cannot be'),
        (("smoke", "--out", "file/out"), r"cannot write into file/out \(Not a directory\): take another --out"),
        (("smoke", "--out", "taken"), r"taken: holds a campaign already: take another --out, or go on with --resume"),
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


# run: with a campaign that only pretends


class Pretended:
    """What the campaign's trials and the report come to."""

    def __init__(self) -> None:
        self.statuses = ["ok"] * 10
        self.error: BaseException | None = None
        self.report_code = 0
        self.places: list[Place] = []
        self.built: list[tuple[list[Path], Path | None]] = []
        self.quoted: list[Any] = []
        """The calibration that each report was given."""

    def run(self, campaign: campaigns.Campaign, place: Place, progress: Any, verify: Any) -> None:
        self.places.append(place)
        names = campaign.scenario.subjects
        for number, status in enumerate(self.statuses, start=len(campaign.trials)):
            block, position = divmod(number, len(names))
            campaign.trials.append({"subject": names[position], "block": block + 1, "status": status})
        progress.note("a note")
        if self.error is not None:
            raise self.error

    def build(self, folders: list[Path], out: Path | None, calibration: Any) -> Any:
        self.built.append((folders, out))
        self.quoted.append(calibration)
        return SimpleNamespace(
            headlines=("first", "second", "third"),
            caveats=("no control",),
            path=folders[0] / "report" / "report.html",
            exit_code=self.report_code,
        )


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pretended:
    pretended = Pretended()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaigns.Campaign, "run", lambda *arguments: pretended.run(*arguments))
    monkeypatch.setattr(campaigns, "fingerprint", lambda: {"cores": 2})
    monkeypatch.setattr(measuring, "fingerprint", lambda: {"cores": 2, "machine": "abc"})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(reading, "fingerprint", lambda: {"cores": 2, "machine": "abc"})
    monkeypatch.setattr(reading, "build", pretended.build)
    return pretended


def document(folder: Path) -> dict[str, Any]:
    value = json.loads((folder / "campaign.json").read_text())
    assert isinstance(value, dict)
    return value


def test_run_measures_reports_and_keeps_its_exit_code(call: Call, pretended: Pretended) -> None:
    ran = call("run", "smoke", "--out", "there", "--seed", "9")
    folder = Path("there")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "first",
        "second",
        "third",
        "caveat: no control",
        "report: there/report/report.html",
    ]
    assert re.fullmatch(r"smoke: 10 trials, about \d+ min, into there\na note\n", ran.err)
    assert pretended.built == [([folder], None)]
    value = document(folder)
    assert (value["exit"], value["seed"]) == (0, 9)
    assert value["command"] == "rtbench run smoke --out there --seed 9"


def test_the_machines_calibration_goes_into_the_campaign_and_its_report(
    call: Call, pretended: Pretended, tmp_path: Path
) -> None:
    call("run", "smoke", "--out", "before")
    assert (document(Path("before"))["calibration"], pretended.quoted) == (None, [None])
    known = {"environment": {"machine": "abc"}, "noise": {"source": "calibrate"}, "checks": []}
    calibrate.store(known)
    call("run", "smoke", "--out", "there")
    assert document(Path("there"))["calibration"] == known
    call("report", "before")
    assert pretended.quoted == [None, known, known]


def test_netns_goes_over_the_scenario(call: Call, pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bool] = []
    monkeypatch.setattr("rtbench.processes.namespaces.check", lambda: checked.append(True))
    assert call("run", "smoke", "--out", "there", "--netns", "--set", "netns=false").code == 0
    assert document(Path("there"))["scenario"]["netns"] is True
    assert checked
    assert call("run", "smoke", "--out", "here").code == 0
    assert document(Path("here"))["scenario"]["netns"] is False


def test_netns_without_root_is_the_users_to_mend(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refused(call("run", "smoke", "--netns")).startswith("--netns makes network namespaces, which takes root")
    assert list(tmp_path.iterdir()) == []


def test_quiet_leaves_the_result(call: Call, pretended: Pretended) -> None:
    assert call("run", "smoke", "--out", "there", "--quiet").err == "a note\n"


def test_results_go_into_a_folder_of_their_own(call: Call, pretended: Pretended, tmp_path: Path) -> None:
    assert call("run", "smoke").code == 0
    (folder,) = (tmp_path / "results").iterdir()
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
    call: Call, pretended: Pretended, statuses: list[str], report_code: int, code: int
) -> None:
    pretended.statuses, pretended.report_code = statuses, report_code
    assert call("run", "smoke", "--out", "there").code == code
    assert document(Path("there"))["exit"] == (3 if "failed" in statuses else 0)


@pytest.mark.parametrize(
    ("codes", "first"), [((0, 3, 1, 2, 130), 130), ((0, 3, 1, 2), 2), ((0, 3, 1), 1), ((0, 3), 3), ((0,), 0)]
)
def test_precedence_of_exit_codes(codes: tuple[int, ...], first: int) -> None:
    assert min(codes, key=_options.PRECEDENCE.index) == first


def test_interrupted_run_keeps_what_there_is_and_says_how_to_go_on(call: Call, pretended: Pretended) -> None:
    pretended.statuses, pretended.error = ["ok"] * 4, KeyboardInterrupt()
    ran = call("run", "smoke", "--out", "my results", "--set", "blocks=2")
    assert (ran.code, ran.out) == (130, "")
    last = ran.err.splitlines()[-1]
    assert last == (
        "rtbench: interrupted; 4 of 10 trials are kept in my results; "
        "go on with: rtbench run smoke --out 'my results' --set blocks=2 --resume"
    )
    assert pretended.built == []
    assert (document(Path("my results"))["exit"], len(document(Path("my results"))["trials"])) == (130, 4)
    # And so it does.
    pretended.statuses, pretended.error = ["ok"] * 6, None
    again = shlex.split(last.partition("go on with: ")[2])
    assert call(*again[1:]).code == 0
    assert (document(Path("my results"))["exit"], len(document(Path("my results"))["trials"])) == (0, 10)


def test_hint_names_the_folder_that_was_chosen_for_the_user(call: Call, pretended: Pretended, tmp_path: Path) -> None:
    pretended.error = KeyboardInterrupt()
    ran = call("run", "smoke")
    (folder,) = (tmp_path / "results").iterdir()
    assert ran.err.rstrip().endswith(f"go on with: rtbench run smoke --out results/{folder.name} --resume")


def test_run_that_finds_the_disk_full_is_the_users_to_mend(call: Call, pretended: Pretended) -> None:
    pretended.error = UserError("cannot write into there (No space left on device)", "free the disk")
    ran = call("run", "smoke", "--out", "there", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == "rtbench: cannot write into there (No space left on device): free the disk"
    assert "Traceback" not in ran.err


# run and report: for real

MINE = """
description = "as small as it gets"
subjects = ["sse-aiohttp"]
subscribers = 5
blocks = 2
ramp_hz = 200
warmup_s = 0.1
window_s = 0.5
grace_s = 0.3

[workload]
rate_hz = 50

[validity]
client_cpu_share = 1.0
run_delay_share = 1.0
hub_lag_s = 60
server_run_delay_share = 1.0
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
    assert again.out.splitlines()[:-1] == ran.out.splitlines()[:-1]
    assert {name: (tmp_path / "again" / name).read_bytes() for name in made} == made


def test_report_of_a_folder_that_is_not_there(call: Call, tmp_path: Path) -> None:
    assert str(tmp_path / "nothing") in refused(call("report", str(tmp_path / "nothing")))


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
        ("sse-aiohttp.latency_p50", "there is no metric 'latency_p50': `rtbench list metrics`"),
        ("sse-other.lost", "'sse-other' is no subject of this campaign: one of sse-aiohttp"),
    ],
)
def test_a_threshold_of_nothing_is_refused_before_anything_is_measured(
    call: Call, pretended: Pretended, tmp_path: Path, key: str, says: str
) -> None:
    (tmp_path / "x.toml").write_text(f'subjects = ["sse-aiohttp"]\n[thresholds]\n"{key}" = {{max = 1}}\n')
    assert says in refused(call("run", "x.toml"))
    (tmp_path / "x.toml").write_text('subjects = ["sse-aiohttp"]\n[thresholds]\n"sse-aiohttp.lost" = {max = 1}\n')
    assert call("run", "x.toml", "--plan").code == 0


# compare


@pytest.fixture
def differing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """`rtbench compare` finds one regression, whatever it is given; what that was."""
    from rtbench.analysis.regression import baseline
    from rtbench.analysis.regression.changes import Change, Difference

    worse = Change("sse-aiohttp", "lost", "messages", 0.0, 2.0, None, None, None, "worse", True)
    asked: list[tuple[Any, ...]] = []

    def answer(*words: Any) -> Difference:
        asked.append(words)
        return Difference("before", "now", (worse,), ("a note",))

    monkeypatch.setattr(baseline, "against", answer)
    monkeypatch.setattr(baseline, "within", answer)
    return asked


@pytest.mark.parametrize("kind", ["text", "markdown", "json", "junit"])
def test_compare_finds_a_regression(call: Call, differing: list[tuple[Any, ...]], kind: str) -> None:
    ran = call("compare", "a", "b", "--format", kind, "--tolerance", "20")
    assert (ran.code, ran.err) == (1, "") and "sse-aiohttp" in ran.out
    assert differing[0][:3] == (Path("a"), Path("b"), 1.2)


def test_compare_two_subjects_of_one_folder(call: Call, differing: list[tuple[Any, ...]]) -> None:
    assert call("compare", "a", "--subjects", "base, head").code == 1
    assert differing[0][:4] == (Path("a"), "base", "head", 1.05)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("a",), "compare needs two folders"),
        (("a", "b", "c"), "compare needs two folders"),
        (("a", "b", "--subjects", "x,y"), "two subjects of one folder"),
        (("a", "--subjects", "x"), "two subjects of one folder"),
        (("nowhere", "nowhere"), "campaign.json: is missing"),
        (("nowhere", "--subjects", "x,y"), "campaign.json: is missing"),
    ],
)
def test_compare_what_cannot_be(call: Call, words: tuple[str, ...], says: str) -> None:
    assert says in refused(call("compare", *words))


GOLDEN = Path(__file__).parents[1] / "golden/results"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "code", "says"),
    [
        ({"sse-aiohttp.lost": {"max": 2}, "sse-aiohttp.latency_kernel_p50_ns": {"max": 1e9}}, 0, None),
        ({"sse-aiohttp.latency_kernel_p50_ns": {"max": 1e6}}, 1, "above the limit of 1e+06"),
        ({"sse-aiohttp.delivered_hz": {"min": 1e9}}, 1, "below the limit of 1e+09"),
        ({"sse-aiohttp.no_such_metric": {"max": 1}}, 1, "has a limit but no value"),
        ({"who.lost": {"max": 1}}, 1, "has a limit but no value"),
    ],
)
def test_a_threshold_from_its_scenario_to_the_exit_code(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], code: int, says: str | None
) -> None:
    """What `[thresholds]` of a scenario file says is judged, named on the terminal and in every report."""
    from rtbench.analysis import figures

    monkeypatch.setattr(figures, "catalogue", lambda: ())
    rows = "\n".join(f'"{key}" = {{{side} = {value}}}' for key, row in limits.items() for side, value in row.items())
    (tmp_path / "gate.toml").write_text(f'name = "gate"\n[thresholds]\n{rows}\n')
    table = load(str(tmp_path / "gate.toml")).as_dict()["thresholds"]
    assert table == limits
    folder = tmp_path / "results"
    shutil.copytree(GOLDEN, folder)
    value = document(folder)
    value["scenario"]["thresholds"] = table
    (folder / "campaign.json").write_text(json.dumps(value))
    ran = call("report", str(folder))
    assert ran.code == code and ran.err == ""
    key = next(iter(limits))
    for text in (ran.out, *((folder / "report" / name).read_text() for name in ("report.md", "report.html"))):
        assert (says is None) or (key in text and says in text)
    found = [w for w in json.loads((folder / "report/report.json").read_text())["warnings"] if w["kind"] == "threshold"]
    assert bool(found) == (says is not None)


@pytest.mark.slow
def test_compare_a_folder_with_itself_and_with_what_lacks_trials(call: Call, tmp_path: Path) -> None:
    ran = call("compare", str(GOLDEN), str(GOLDEN))
    assert ran.code == 0 and "0 regressions" in ran.out
    shutil.copytree(GOLDEN, tmp_path / "b")
    for folder in sorted((tmp_path / "b/trials").glob("*-sse-aiohttp"))[1:]:
        shutil.rmtree(folder)
    ran = call("compare", str(GOLDEN), str(tmp_path / "b"))
    assert ran.code == 3 and "too few trials: sse-aiohttp has 1 valid trial now" in ran.out


def test_report_of_several_folders(call: Call, pretended: Pretended) -> None:
    pretended.report_code = 1
    assert call("report", "a", "b", "--out", "c").code == 1
    assert pretended.built == [([Path("a"), Path("b")], Path("c"))]


# calibrate and aa, with campaigns that only pretend


class Calibrating:
    """What a calibration measures, judges and stores."""

    def __init__(self) -> None:
        self.met = True
        self.measured: list[tuple[list[str], Path, str, Place]] = []
        self.judged: list[tuple[Path, bool]] = []
        self.stored: list[dict[str, Any]] = []
        self.cores: set[int] = set()

    def measure(
        self, tables: list[Scenario], folder: Path, command: str, place: Place, progress: Any, verify: Any
    ) -> None:
        assert verify is measuring._quick_check
        self.cores = os.sched_getaffinity(0)
        self.measured.append(([table.name for table in tables], folder, command, place))
        progress.note("a note")

    def checks(self, folder: Path, aa: bool) -> list[Check]:
        self.judged.append((folder, aa))
        return [Check(name, 5, 5, "ms", "exact", met) for name, met in (("one", True), ("two", self.met))]

    def store(self, result: dict[str, Any]) -> Path:
        self.stored.append(result)
        return Path("/state/abc.json")


@pytest.fixture
def calibrating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calibrating:
    calibrating = Calibrating()
    monkeypatch.chdir(tmp_path)
    for name in ("measure", "store"):
        monkeypatch.setattr(calibrate, name, getattr(calibrating, name))
    monkeypatch.setattr(truths, "judge", lambda folder: calibrating.checks(folder, False))
    monkeypatch.setattr(truths, "judge_aa", lambda folder: calibrating.checks(folder, True))
    monkeypatch.setattr(truths, "noise_of", lambda folder: {"latency": {"floor": 1.1}})
    return calibrating


def test_calibrate_measures_judges_stores_and_shows(call: Call, calibrating: Calibrating) -> None:
    here = Place.here()
    ran = call("calibrate", "--out", "there")
    assert (ran.code, ran.err) == (0, "a note\n")
    names = [table.name for table in calibrate.scenarios()]
    assert calibrating.measured == [(names, Path("there"), "rtbench calibrate --out there", here)]
    assert calibrating.judged == [(Path("there"), False)]
    (stored,) = calibrating.stored
    assert (stored["met"], [row["name"] for row in stored["checks"]]) == (True, ["one", "two"])
    assert stored["noise"] == {"source": "calibrate", "metrics": {"latency": {"floor": 1.1}}}
    head, one, two, last = ran.out.splitlines()
    assert head.split() == ["check", "expected", "measured", "deviation", "allowed"]
    assert (one.split()[:2], two.split()[:2]) == (["ok", "one"], ["ok", "two"])
    assert last == "2 of 2 met; stored as /state/abc.json, raw files in there"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is nothing to keep off")
def test_calibrate_keeps_off_the_servers_core_and_knows_it(call: Call, calibrating: Calibrating) -> None:
    """Chosen before the command left the server's core: afterwards that core would be nobody's."""
    here = Place.here()
    call("calibrate")
    assert calibrating.measured[0][3] == here
    assert calibrating.cores == set(here.load) | set(here.publisher)
    assert not calibrating.cores & set(here.server)


def test_a_truth_that_is_not_met_is_a_finding(call: Call, calibrating: Calibrating) -> None:
    calibrating.met = False
    ran = call("calibrate", "--out", "there", "--quiet")
    assert ran.code == 1
    assert "NOT MET" in ran.out
    assert ran.out.splitlines()[-1].startswith("1 of 2 met")
    assert len(calibrating.stored) == 1  # it is what this machine is


def test_calibrate_as_json(call: Call, calibrating: Calibrating) -> None:
    ran = call("calibrate", "--json")
    assert json.loads(ran.out) == calibrating.stored[0]
    assert re.fullmatch(r"results/\d{8}-\d{6}-calibration", str(calibrating.judged[0][0]))


def test_aa_is_one_campaign_that_can_be_set(call: Call, calibrating: Calibrating) -> None:
    ran = call("aa", "--set", "blocks=3", "--set", "subscribers=20")
    assert ran.code == 0
    ((names, folder, _, _),) = calibrating.measured
    assert names == ["aa"]
    assert re.fullmatch(r"results/\d{8}-\d{6}-aa", str(folder))
    assert calibrating.judged == [(folder / "aa", True)]
    assert "unknown key rounds: allowed are name, description, subjects" in refused(call("aa", "--set", "rounds=3"))


@pytest.mark.parametrize("command", ["calibrate", "aa"])
def test_an_interrupted_calibration_stores_nothing(
    call: Call, calibrating: Calibrating, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def measure(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrate, "measure", measure)
    assert call(command).code == 130
    assert calibrating.stored == []


# verify


def verified(*cases: CaseResult) -> Verification:
    return Verification("sse-aiohttp", cases)


GOOD = verified(CaseResult("bytes", "passed", (), 0.1), CaseResult("end", "skipped", ("no finite stream",), 0.0))
BAD = verified(CaseResult("bytes", "failed", ("id 1: wrong", "id 2: wrong"), 0.1))


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        (GOOD, 0, "sse-aiohttp: passes\n  passed  bytes\n  skipped end\n          no finite stream\n"),
        (BAD, 1, "sse-aiohttp: FAILS\n  failed  bytes\n          id 1: wrong\n          id 2: wrong\n"),
    ],
    ids=["passes", "fails"],
)
def test_verify_lists_every_problem(
    call: Call, monkeypatch: pytest.MonkeyPatch, found: Verification, code: int, says: str
) -> None:
    asked: list[Any] = []

    def verify(target: Any) -> Verification:
        asked.append(target if isinstance(target, str) else target.name)
        return found

    monkeypatch.setattr(checking, "verify_one", verify)
    assert call("verify", "sse-aiohttp", "http://127.0.0.1:1") == (code, says * 2, "")
    ran = call("verify", "sse-nchan", "--json")
    assert (ran.code, json.loads(ran.out)) == (code, json.loads(json.dumps([found.as_dict()])))
    assert asked == ["sse-aiohttp", "http://127.0.0.1:1", "sse-nchan"]


def test_one_failure_of_many_is_a_finding(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "verify_one", lambda target: BAD if target.name == "tcp-floor" else GOOD)
    assert call("verify", "sse-aiohttp", "tcp-floor", "sse-nchan").code == 1


@pytest.mark.slow
def test_verify_a_subject(call: Call) -> None:
    ran = call("verify", "sse-aiohttp", "--json")
    assert (ran.code, ran.err) == (0, "")
    (found,) = json.loads(ran.out)
    assert found["ok"] is True
    assert {case["status"] for case in found["cases"]} <= {"passed", "skipped"}


@pytest.mark.parametrize(
    ("target", "says"),
    [("sse-node", "there is no subject 'sse-node'"), ("http://192.0.2.1:80", "192.0.2.1 is not this machine")],
)
def test_verify_what_cannot_be(call: Call, target: str, says: str) -> None:
    assert refused(call("verify", target)).startswith(says)


def test_quick_check_is_of_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "quick_check", lambda subject: [f"{subject.name}: wrong"])
    assert measuring._quick_check(subject_catalogue.find("sse-aiohttp")) == ["sse-aiohttp: wrong"]


# doctor


@pytest.mark.parametrize(
    ("statuses", "code"), [(["ok"], 0), (["ok", "warn"], 0), (["ok", "fail", "warn"], 2)], ids=["ok", "warn", "fail"]
)
def test_doctor(call: Call, monkeypatch: pytest.MonkeyPatch, statuses: list[str], code: int) -> None:
    findings = [Condition("cores", status, "2", "" if status == "ok" else "buy more") for status in statuses]
    monkeypatch.setattr(checking, "examine", lambda: findings)
    ran = call("doctor")
    assert (ran.code, ran.err) == (code, "")
    lines = {"ok": "ok    cores: 2", "warn": "warn  cores: 2; buy more", "fail": "fail  cores: 2; buy more"}
    assert ran.out.splitlines() == [lines[status] for status in statuses]
    ran = call("doctor", "--json")
    assert (ran.code, json.loads(ran.out)) == (code, [finding.as_dict() for finding in findings])


# serve


class FakeProcess:
    """A publisher or a server that is there at once."""

    started: list[FakeProcess]
    code: int | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named
        self.socket_path = Path("publisher.sock")
        self.played: tuple[str, ...] = ()
        self.posted: Any = None
        self.stopped = False
        type(self).started.append(self)

    def ready(self) -> str:
        return "http://127.0.0.1:8000"

    def play(self, streams: tuple[str, ...]) -> None:
        self.played = streams

    def post_to(self, url: str, post: Any) -> None:
        self.posted = (url, post)

    def exited(self) -> int | None:
        return self.code

    def died(self) -> SubjectError:
        return SubjectError("the server ended early (SIGKILL)", "it said: oh")

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[FakeProcess]:
    """Fake processes for `serve`, and a Ctrl-C as soon as it waits."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    FakeProcess.started = []
    monkeypatch.setattr(serving, "PublisherProcess", FakeProcess)
    monkeypatch.setattr(serving, "server_of", FakeProcess)
    monkeypatch.setattr(serving, "time", SimpleNamespace(time=lambda: 1234.5, sleep=sleep))
    return FakeProcess.started


@pytest.mark.parametrize(("words", "epoch_s"), [((), 1234), (("--set", "epoch_s=99"), 99)])
def test_serve_plays_every_stream_from_now(
    call: Call, fakes: list[FakeProcess], words: tuple[str, ...], epoch_s: int
) -> None:
    ran = call("serve", "sse-aiohttp", "--port", "8000", "--host", "::1", "--seed", "5", *words)
    assert ran == (0, "listening on http://127.0.0.1:8000\n", "")
    publisher, server = fakes
    assert publisher.played == tuple(name for name in stream_catalogue.catalogue() if name != "replay")
    scenario = publisher.arguments[1]
    assert isinstance(scenario, Scenario)
    assert (scenario.seed, scenario.epoch_s) == (5, epoch_s)
    assert (server.arguments[0], server.named) == (subject_catalogue.find("sse-aiohttp"), {"host": "::1", "port": 8000})
    assert server.arguments[2] == publisher.socket_path
    assert publisher.posted is None
    assert publisher.stopped
    assert server.stopped


def test_serve_plays_a_trace_and_real_figures_when_asked(call: Call, fakes: list[FakeProcess], tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"offset_ns": 0, "payload": "x"}')
    assert call("serve", "sse-aiohttp", "--real", "--set", f"workload.trace={path}").code == 0
    publisher, _ = fakes
    assert publisher.played == tuple(stream_catalogue.catalogue())
    pace = publisher.arguments[0].pace
    assert (pace.real, pace.trace) == (True, str(path))


def test_serve_posts_into_a_program(call: Call, fakes: list[FakeProcess]) -> None:
    assert call("serve", "sse-nchan").code == 0
    publisher, server = fakes
    assert publisher.posted == (server.ready(), subject_catalogue.find("sse-nchan").publish)
    assert "stocks" in publisher.played


def test_serve_a_file_of_the_users_own(call: Call, fakes: list[FakeProcess], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from rtbench.subjects import Subject\n"
        "async def serve(server): ...\n"
        "SUBJECT = Subject('sse-mine', 'sse', 'mine', serve=serve)\n"
    )
    assert call("serve", str(path)).code == 0
    served = fakes[1].arguments[0]
    assert (served.name, served.module) == ("sse-mine", str(path))
    path.write_text("SUBJECT = 1\n")
    assert "defines no SUBJECT" in refused(call("serve", str(path)))


def test_serve_that_is_told_to_end_while_it_starts(
    call: Call, fakes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready(_: FakeProcess) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeProcess, "ready", ready)
    assert call("serve", "sse-aiohttp") == (0, "", "")
    assert all(process.stopped for process in fakes)


def test_serve_ends_when_a_process_does(call: Call, fakes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProcess, "code", -9)
    ran = call("serve", "sse-aiohttp")
    assert (ran.code, ran.out) == (2, "listening on http://127.0.0.1:8000\n")
    assert ran.err == "rtbench: the server ended early (SIGKILL): it said: oh\n"
    assert all(process.stopped for process in fakes)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("sse-node",), "there is no subject 'sse-node'"), (("sse-aiohttp", "--set", "port=5"), "unknown key port")],
)
def test_serve_what_cannot_be(call: Call, words: tuple[str, ...], says: str) -> None:
    assert says in refused(call("serve", *words))


def test_demo_says_what_to_open(call: Call, fakes: list[FakeProcess]) -> None:
    ran = call("demo", "--port", "8000", "--seed", "5")
    first, *rest = ran.out.splitlines()
    assert (ran.code, first, ran.err) == (0, "listening on http://127.0.0.1:8000", "")
    assert any("open http://127.0.0.1:8000/pages/race.html" in line for line in rest)
    publisher, server = fakes
    assert publisher.played == tuple(name for name in stream_catalogue.catalogue() if name != "replay")
    served = server.arguments[0]
    assert (served.module, served.serve is not None) == (serving.DEMO, True)
    assert server.named == {"host": "127.0.0.1", "port": 8000}
    assert server.stopped


def test_demo_sends_to_pages_that_there_are() -> None:
    folder = Path(rtbench.__file__).parent / "servers" / "pages"
    assert [path for path, _ in serving.DEMO_PAGES if path != "/" and not (folder / Path(path).name).is_file()] == []


def serve_process(*words: str, what: tuple[str, ...] = ("serve", "sse-aiohttp")) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rtbench.cli", *what, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_ends_cleanly(number: signal.Signals) -> None:
    with serve_process("--seed", "3") as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found
        with urllib.request.urlopen(f"{found[1]}/plan/stocks?since=0", timeout=PATIENCE_S) as answer:
            assert json.load(answer)["seed"] == 3
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
        assert process.wait(PATIENCE_S) == 0
    assert len(children) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_answers_and_ends_cleanly(number: signal.Signals) -> None:
    with serve_process(what=("demo",)) as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found
        with (
            urllib.request.urlopen(f"{found[1]}/", timeout=PATIENCE_S) as page,
            urllib.request.urlopen(f"{found[1]}/sse/fanout", timeout=PATIENCE_S) as stream,
        ):
            assert b"/pages/race.html" in page.read()
            assert stream.readline().startswith(b"id: ")
            process.send_signal(number)
            assert process.stderr.read() == ""
            assert process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_serve_at_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve_process("--port", str(port)) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("rtbench: ")
    assert str(port) in line


@pytest.mark.slow
def test_serve_takes_messages_where_chat_has_senders() -> None:
    """As the README has it: curl posts a line, everyone hears it."""
    command = [sys.executable, "-m", "rtbench.cli", "serve", "sse-aiohttp", "--set", "chat.senders=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"{url}/sse/chat", timeout=60) as heard:
                said = b'{"type":"chat","user":"User1","message":"hello"}'
                with urllib.request.urlopen(f"{url}/send/chat", said, timeout=60) as answer:
                    assert answer.status == 202
                lines = iter(heard.readline, b"")
                assert next(line for line in lines if line.startswith(b"id:")) == b"id: 1\n"
                assert next(lines) == b"data: " + said + b"\n"
        finally:
            process.terminate()
