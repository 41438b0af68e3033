"""The command line: it parses, calls, prints, and turns errors into the contract's exit codes (interface.md).

Each file holds one command or a few similar ones (COMMANDS). Invariant: results go to stdout, everything else to
stderr. A module imports only what its commands need, and it is imported when one of them is called.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import rtbench
from rtbench.errors import RtbenchError, UserError, line

FINDING, USER, TOO_FEW, INTERRUPTED = 1, 2, 3, 130
"""Exit codes (interface.md); 0 is done."""

EXITS = {
    0: "done",
    FINDING: "a finding",
    USER: "wrong input, or a missing program or right: one line on stderr with the remedy",
    TOO_FEW: "measured, but a subject has too few valid trials for a conclusion, or its capacity was not found",
    INTERRUPTED: "interrupted; everything measured so far is kept",
}
"""The meaning of each exit code, for all commands."""

COMMANDS = {
    "list": ("listing", "list_", "List subjects, streams, scenarios, metrics or past results."),
    "ticks": ("ticks", "ticks", "Print the workload, one JSON object per line."),
    "serve": ("serving", "serve", "Run one server and play every stream into it."),
    "demo": ("serving", "demo", "Show four transports side by side, live, in a browser."),
    "verify": ("checking", "verify", "Check a subject or a URL against the contract."),
    "check": ("diagnosing", "check", "Find what is wrong with a stream, yours or ours."),
    "doctor": ("checking", "doctor", "Check whether this machine can measure."),
    "run": ("running", "run", "Run a campaign, then write its report."),
    "capacity": ("capacity", "capacity", "Find how many subscribers a server holds at a service level."),
    "calibrate": ("calibrating", "calibrate", "Measure the harness's own error on this machine."),
    "aa": ("calibrating", "aa", "Measure this machine's noise floor (A/A control)."),
    "report": ("reporting", "report", "Rebuild a report from the raw files."),
    "compare": ("comparing", "compare", "Find regressions between two campaigns, or two subjects."),
    "advise": ("advising", "advise", "Recommend a transport for given needs."),
    "forecast": ("forecasting", "forecast", "Work out machines for a number of subscribers."),
}
"""Every command: its module, its function there, and its line in the help. Modules are imported on demand: pandas and
matplotlib take a second, and `rtbench --help` must be fast.
"""

FINDINGS = {
    "run": "a threshold is crossed",
    "report": "a threshold is crossed",
    "compare": "a regression",
    "verify": "a case failed",
    "check": "an error or a warning",
    "calibrate": "a known truth is not met",
    "aa": "too few intervals contain 1",
}
"""The commands that can exit with FINDING, and the finding."""
UNSETTLED = ("run", "capacity", "report", "compare")
"""The commands that can exit with TOO_FEW."""

TASKS = {
    "Measure": ("doctor", "run", "capacity", "verify", "check"),
    "Read and decide": ("report", "compare", "advise", "forecast"),
    "See it live": ("serve", "demo", "ticks", "list"),
    "Know the harness's own error": ("calibrate", "aa"),
}
"""The commands by task, as the help shows them."""

_interrupted: list[int] = []


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called (click's documentation, Lazily Loading Subcommands)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"rtbench.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for task, names in TASKS.items():
            with formatter.section(task):
                formatter.write_dl([(name, COMMANDS[name][2]) for name in names])


def _interrupt(number: int, _frame: object) -> None:
    _interrupted.append(number)
    raise KeyboardInterrupt


def _texts(words: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8 (PEP 383): JSON cannot hold it, so a results folder could not either."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"the argument {word!a} is not UTF-8", "write it in UTF-8") from error


def main() -> NoReturn:
    """The console script."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored; a polite end is an interruption
        signal.signal(number, _interrupt)
    try:
        _texts(sys.argv[1:])
        code = cli.main(standalone_mode=False, prog_name="rtbench")
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        text = error.format_message()
        # Without arguments the message is the whole help; every other message is one line (interface.md).
        click.echo(text if text.startswith("Usage:") else f"rtbench: {line(text)}", err=True)
        code = USER
    except RtbenchError as error:
        click.echo(f"rtbench: {line(error)}", err=True)
        code = USER
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ImportError:
        # An extension module that is being imported makes its own error of an interruption.
        if not _interrupted:
            raise
        code = INTERRUPTED
    except SystemExit:
        # `rtbench ticks stocks | head` closes the pipe early: click would exit with 1, a finding.
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rtbench.__version__, prog_name="rtbench")
def cli() -> None:
    """Benchmark and compare real-time transports: Server-Sent Events, WebSocket, short and long polling.

    Begin with `rtbench run smoke` (seconds) or `rtbench run ci` (7 to 9 minutes; `make bench` runs it).
    """
