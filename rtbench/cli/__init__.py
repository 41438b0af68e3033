"""The command line, thin: it parses, calls, prints, and turns errors into the contract's exit codes (interface.md).

One file a group of commands: `catalogue` (what there is), `serving` (one server, for people), `measuring` (campaigns),
`reading` (what was measured), `checking` (subjects, the machine). Exit codes are in `_options`. Invariant: results go
to stdout, everything else to stderr.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import click

import rtbench
from rtbench.cli._options import INTERRUPTED, USER
from rtbench.cli.catalogue import list_, ticks
from rtbench.cli.checking import doctor, verify
from rtbench.cli.measuring import aa, calibrate, run
from rtbench.cli.reading import advise, compare, report
from rtbench.cli.serving import demo, serve
from rtbench.errors import RtbenchError

_interrupted: list[int] = []


def _interrupt(number: int, _frame: object) -> None:
    _interrupted.append(number)
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The console script."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored; a polite end is an interruption
        signal.signal(number, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        text = error.format_message()
        # Without any word the message is the whole help; every other is one line (interface.md).
        click.echo(text if text.startswith("Usage:") else f"rtbench: {' '.join(text.split())}", err=True)
        code = USER
    except RtbenchError as error:
        click.echo(f"rtbench: {error}", err=True)
        code = USER
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ImportError:
        # An extension module that is being imported makes its own error of an interruption.
        if not _interrupted:
            raise
        code = INTERRUPTED
    except SystemExit:
        # `rtbench ticks stocks | head`: who listened has heard enough; click would make a finding (1) of it.
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rtbench.__version__, prog_name="rtbench")
def cli() -> None:
    """Benchmark and compare real-time transports: Server-Sent Events, WebSocket, short and long polling.

    Begin with `rtbench run smoke` (seconds) or `rtbench run ci` (some six minutes, what `make bench` runs).
    """


for command in (list_, ticks, serve, demo, verify, doctor, run, calibrate, aa, report, compare, advise):
    cli.add_command(command)
