"""The command line itself: help, wrong usage, interruptions, exit codes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import click
import pytest

from rtbench import cli
from rtbench.cli import _options

from .conftest import Call, refused

PATIENCE_S = 60


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


def test_the_help_is_one_screen_by_task(call: Call) -> None:
    lines = call("--help").out.splitlines()
    assert len(lines) <= 36 and max(map(len, lines)) <= 80
    assert sorted(name for names in cli.TASKS.values() for name in names) == COMMANDS
    assert [line[:-1] for line in lines if line.endswith(":") and line[:-1] in cli.TASKS] == list(cli.TASKS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(call: Call, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)  # click asks bash for its version
    monkeypatch.setenv("_RTBENCH_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "rtbench ver")
    monkeypatch.setenv("COMP_CWORD", "ver" if shell == "fish" else "1")
    assert "verify" in call().out


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


@pytest.mark.parametrize(
    ("codes", "first"), [((0, 3, 1, 2, 130), 130), ((0, 3, 1, 2), 2), ((0, 3, 1), 1), ((0, 3), 3), ((0,), 0)]
)
def test_precedence_of_exit_codes(codes: tuple[int, ...], first: int) -> None:
    assert min(codes, key=_options.PRECEDENCE.index) == first


def test_a_closed_pipe_is_not_a_finding(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(sys, "stderr", sys.stderr)  # click puts others in their places
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(click, "echo", closed)
    assert call("ticks", "fanout").code == 0


@pytest.mark.slow
def test_a_pipe_closed_by_its_reader_is_not_a_finding() -> None:
    command = [sys.executable, "-m", "rtbench.cli", "ticks", "fanout", "--count", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_S) == 0
