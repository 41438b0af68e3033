"""Every command with every kind of bad argument: exit 2, one line with a remedy, no traceback.

A table of what is known to be wrong, and, for each option and argument that click knows, values that no one means.
Nothing is measured or started here: what would begin is cut off.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from rtbench import cli
from rtbench.campaign import calibrate, campaign, loopback
from rtbench.cli import COMMANDS, serving
from rtbench.errors import UserError
from rtbench.machine import inner_loop

from .conftest import Call, refused

GOLDEN = str(Path(__file__).parents[1] / "golden/results")
BARE = {"schema": 2, "rtbench": "1", "command": "c", "seed": 1, "scenario": {"name": "bare"}, "trials": []}
"""campaign.json of a campaign in which nothing was measured."""
BEGAN = "cut off: it would begin now"

WRONG: dict[str, tuple[str, ...]] = {
    "list": ("", "nothing", "subjects more", "results --in gone", "results --in file", "results --in", "--nothing"),
    "ticks": (
        "", "nothing", "stocks more", "stocks --count -1", "stocks --count many", "stocks --channel -1",
        "stocks --channel 5", "fanout --set workload.channels=unicast --channel 1000", "stocks --seed -1",
        "stocks --seed x", "stocks --set x", "stocks --set =1",
        "stocks --set nothing=1", "stocks --set workload=1", "stocks --set workload.rate_hz=nan",
        "stocks --set workload.rate_hz=inf", "stocks --set epoch_s=1e999", "stocks --set seed=99999999999999999999",
        "replay", "replay --set workload.trace=gone", "replay --set workload.trace=file",
        "replay --set workload.trace=empty",
        "replay --set workload.trace=/dev/null", "metrics --set workload.real=true",
    ),
    "serve": ("", "nothing", "gone.py", "broken.py", "empty.py", "sse-aiohttp --port 70000", "sse-aiohttp --port x",
              "sse-aiohttp --seed -1", "sse-aiohttp --set x", "http://127.0.0.1:1/", "ftp://127.0.0.1/"),
    "demo": ("more", "--port -1", "--port x", "--seed x", "--set nothing=1"),
    "verify": ("", "nothing", "gone.py", "broken.py", "empty.py", "gone.toml", "broken.toml", "nobody.toml",
        "binary.toml",
               "ftp://127.0.0.1/", "http://", "http://[::1", "http://127.0.0.1:99999/"),
    "doctor": ("more", "--nothing"),
    "run": (
        "", "nothing", "gone.toml", "broken.toml", "binary.toml", "empty/", "smoke more", "smoke --seed x",
        "smoke --set x", "smoke --set subject=1", "smoke --set subject.name=1", "smoke --set sweep=1",
        "smoke --set sweep.nothing=[1]", "smoke --set 'sweep.poll.interval_s=[0]'", "smoke --set thresholds.x=1",
        "smoke --set 'thresholds.\"sse-aiohttp.nothing\"={max=1}'", "smoke --set faults.stop=1",
        "smoke --set subjects=[]",
        "smoke --set subjects=1", "smoke --set 'subjects=[1]'", "smoke --set stream=1", "smoke --set 'stream=[]'",
        "smoke --subjects nothing", "smoke --subjects gone.py", "smoke --subjects broken.py",
        "smoke --subjects ftp://x/",
        "smoke --subjects sse-aiohttp,sse-aiohttp", "smoke --resume", "smoke --resume --out gone",
        "smoke --resume --out damaged",
        "smoke --out damaged", "smoke --out file/out", "smoke --out file",
    ),
    "calibrate": ("more", "--out file/out", "--out file"),
    "aa": ("more", "--set x", "--set nothing=1", "--out file/out", "--out file"),
    "report": ("", "gone", "file", "empty", "damaged", "links", f"{GOLDEN} {GOLDEN}",
        f"{GOLDEN} --calibration gone",
               f"{GOLDEN} --calibration file", f"{GOLDEN} --calibration damaged/campaign.json",
        f"{GOLDEN} --out file/out",
               f"{GOLDEN} --out file"),
    "compare": ("", GOLDEN, f"{GOLDEN} {GOLDEN} {GOLDEN}", f"{GOLDEN} gone", f"gone {GOLDEN}", f"{GOLDEN} damaged",
                f"{GOLDEN} {GOLDEN} --format yaml", f"{GOLDEN} {GOLDEN} --tolerance -1",
        f"{GOLDEN} {GOLDEN} --tolerance nan",
                f"{GOLDEN} {GOLDEN} --tolerance x", f"{GOLDEN} --subjects a", f"{GOLDEN} --subjects a,b",
        f"{GOLDEN} --subjects ,",
                f"{GOLDEN} {GOLDEN} --calibration gone", f"{GOLDEN} {GOLDEN} --out file/out",
        f"{GOLDEN} {GOLDEN} --out empty"),
    "capacity": (
        "", "nightly", "gone.toml", "broken.toml", "smoke more", "smoke --by workers", "smoke --from 0",
        "smoke --from nan",
        "smoke --from 1e999", "smoke --from 5 --to 4", "smoke --to x", "smoke --width 0", "smoke --width 2",
        "smoke --minutes 0", "smoke --minutes nan", "smoke --set slo.latency_ms=0", "smoke --set slo.quantile=2",
        "smoke --subjects nothing", "smoke --out file", "smoke --resume", "smoke --seed -1", "memory", "sweep-rate",
    ),
    "check": (
        "", "nothing", "gone.toml", "broken.toml", "broken.py", "ftp://h/x", "http://", "http://h:x/",
        "sse-aiohttp more",
        "sse-aiohttp --seconds 0", "sse-aiohttp --seconds nan", "sse-aiohttp --silence -1",
        "sse-aiohttp --ignore nothing",
        "https://127.0.0.1:1/x --tls-ca gone", "http://127.0.0.1:1/x", "http://192.0.2.1/x",
    ),
    "advise": ("", "gone", "empty", "damaged", f"{GOLDEN} more", f"{GOLDEN} --subscribers 0",
        f"{GOLDEN} --subscribers x",
               f"{GOLDEN} --rate nan", f"{GOLDEN} --rate inf", f"{GOLDEN} --rate -1", f"{GOLDEN} --rate x",
               f"{GOLDEN} --freshness-ms 0", f"{GOLDEN} --payload-bytes nan", f"{GOLDEN} --stack nothing",
        f"{GOLDEN} --stack ''"),
    "forecast": ("", "gone --subscribers 5", GOLDEN, "empty --subscribers 5", "damaged --subscribers 5",
        f"{GOLDEN} more --subscribers 5", f"{GOLDEN} --subscribers 0", f"{GOLDEN} --subscribers x",
        f"{GOLDEN} --subscribers 5 --rate nan", f"{GOLDEN} --subscribers 5 --payload-bytes -1",
        f"{GOLDEN} --subscribers 5 --tls", f"{GOLDEN} --subscribers 5 --cores 0",
        f"{GOLDEN} --subscribers 5 --memory-gib inf", f"{GOLDEN} --subscribers 5 --gbit x",
        f"{GOLDEN} --subscribers 5 --busy 2"),
}  # fmt: skip
"""Command to the rest of wrong command lines."""

ODD = (
    "",
    " ",
    "-",
    "--",
    "\x1b[31m",
    "x" * 5000,
    "../../..",
    "/proc/self/none",
    "%s%n{}{0}$(x)`x`",
    "1e999",
    "\u202e",
    "ä" * 300,
)
"""Values that no one means."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with damaged files. What would start something is cut off."""
    inside = tmp_path / "a" / "b" / "c"  # so that ODD's "../../.." stays in this test's folder
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("broken.toml").write_text("subscribers = \n")
    Path("nobody.toml").write_text("subscribers = 5\n")
    Path("binary.toml").write_bytes(bytes(range(256)))
    Path("empty.py").write_text("X = 1\n")
    Path("broken.py").write_text("import nothing_of_that_name\n")
    Path("file").write_text("")
    Path("empty").mkdir()
    for name in ("damaged", "links"):
        Path(name).mkdir()
    Path("damaged/campaign.json").write_text('{"schema": ')
    Path("links/campaign.json").symlink_to(Path(GOLDEN, "campaign.json"))
    Path("bare").mkdir()
    Path("bare/campaign.json").write_text(json.dumps(BARE))

    def cut(*_: Any, **__: Any) -> NoReturn:
        raise UserError(BEGAN)

    monkeypatch.setattr(campaign.Campaign, "run", cut)
    monkeypatch.setattr(campaign.Campaign, "measure", cut)
    monkeypatch.setattr(campaign, "fingerprint", lambda: {"cores": 2})
    monkeypatch.setattr(campaign, "inventory", lambda: None)
    monkeypatch.setattr(campaign.Journal, "note", lambda *_: None)
    monkeypatch.setattr(loopback, "measure", cut)
    monkeypatch.setattr(calibrate, "measure", cut)
    monkeypatch.setattr(serving, "PublisherProcess", cut)
    return inside


@pytest.mark.slow
@pytest.mark.parametrize("command", WRONG)
def test_wrong_arguments_are_one_line(call: Call, folder: Path, command: str) -> None:
    for rest in WRONG[command]:
        line = refused(call(command, *shlex.split(rest)))
        assert BEGAN not in line, rest
        assert line.isprintable(), rest


def test_every_command_is_in_the_table() -> None:
    assert WRONG.keys() == COMMANDS.keys()


NEEDED = {
    "list": ["subjects"],
    "ticks": ["stocks"],
    "serve": ["sse-aiohttp"],
    "run": ["smoke"],
    "capacity": ["smoke"],
    "report": ["bare"],
    "compare": ["bare", "bare"],
    "advise": ["bare"],
    "forecast": ["bare", "--subscribers", "5"],
}
"""The arguments without which a command does nothing."""


def odd(command: str) -> Iterator[list[str]]:
    """Each option and each argument of a command, with each odd value."""
    found = cli.cli.get_command(click.Context(cli.cli), command)
    assert found is not None
    for one in found.params:
        if isinstance(one, click.Argument):
            yield from ([value] for value in ODD)
        elif not getattr(one, "is_flag", False):
            for value in ODD:
                yield [*NEEDED.get(command, []), f"{one.opts[-1]}={value}"]


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "verify"])
def test_odd_values_make_no_traceback(call: Call, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rtbench.analysis.report import page, report

    monkeypatch.setattr(page, "render", lambda *_: None)
    monkeypatch.setattr(report.page, "render", lambda *_: None)
    for words in odd(command):
        ran = call(command, *words)
        assert ran.code in (0, 1, 2, 3), words
        assert "Traceback" not in ran.err, words
        assert ran.code != 2 or ran.err.splitlines()[-1].startswith("rtbench: "), words
        assert "\x1b" not in ran.err and "\u202e" not in ran.err, words


def test_an_argument_that_is_no_text_is_refused(call: Call) -> None:
    assert refused(call("report", "\udcff")) == "the argument '\\udcff' is not UTF-8: write it in UTF-8"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.net"])
def test_a_server_for_other_machines_warns(call: Call, folder: Path, host: str) -> None:
    warning, began = call("serve", "sse-aiohttp", "--host", host).err.splitlines()
    assert warning.startswith(f"rtbench: --host {host}: every machine that reaches this one can use this server")
    assert BEGAN in began


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_a_server_for_this_machine_does_not(call: Call, folder: Path, host: str) -> None:
    assert BEGAN in refused(call("serve", "sse-aiohttp", "--host", host))


def test_environment_variables(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_loop, "library", inner_loop.library.__wrapped__)
    monkeypatch.setenv("RTBENCH_INNER_LOOP", "perl")
    assert "RTBENCH_INNER_LOOP=perl: unknown value" in refused(call("doctor"))
    monkeypatch.setenv("RTBENCH_INNER_LOOP", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    if inner_loop.library() is not None:  # there is a compiler
        (folder / "rtbench").chmod(0o777)
        line = refused(call("doctor"))
        assert "lies in a folder that every user can write to: remove it, or set XDG_CACHE_HOME" in line
    for value in ("[]", "{", "[" * 100_000, "\0"):
        file = calibrate.home() / "a.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
        assert calibrate.newest("a") is None


def test_a_device_is_not_replaced_by_a_file(call: Call, folder: Path) -> None:
    os.mkfifo("pipe")
    line = refused(call("compare", GOLDEN, GOLDEN, "--out", "pipe"))
    assert line == "pipe: cannot be written ([Errno 17] exists and is not a file: 'pipe'): choose another --out"
    assert Path("pipe").is_fifo()
