"""`rtbench report`: build the report from results folders. It needs no network."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from rtbench.analysis.history import index
from rtbench.analysis.report.report import build
from rtbench.cli._options import PRECEDENCE, calibration_option
from rtbench.errors import line
from rtbench.records.campaign import load_calibration

claims_option = click.option(
    "--claims", is_flag=True, help="Show the article's claims (scenarios article and ci show them anyway)."
)


def write_report(
    folders: list[Path], out: Path | None, code: int, calibration: Path | None = None, claims: bool = False
) -> int:
    """Write the report of these folders. Returns the exit code.

    Prints the answer, the next step, the grave caveats, the command that opens the report, and its path.
    """
    made = build(folders, out, load_calibration(calibration) if calibration else None, claims)
    for text in (*made.headlines, made.next, *(f"caveat: {one}" for one in made.caveats)):
        click.echo(line(text))
    click.echo(f"open it: python3 -m webbrowser {shlex.quote(made.path.absolute().as_uri())}")
    click.echo(f"report: {made.path}")
    for holder in dict.fromkeys(folder.resolve().parent for folder in folders):
        try:
            index.rebuild(holder)
        except OSError as error:
            click.echo(f"rtbench: warning: {holder / 'index.html'} cannot be written ({error.strerror})", err=True)
    return min((code, int(made.exit_code)), key=PRECEDENCE.index)


@click.command(epilog="Example: rtbench report results/20261124-031500-ci")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), help="Report folder (default: report/ in the first folder).")
@calibration_option
@claims_option
@click.pass_context
def report(
    context: click.Context, folders: tuple[Path, ...], out: Path | None, calibration: Path | None, claims: bool
) -> None:
    """Rebuild the report from results folders. The same folders give the same report on any machine."""
    context.exit(write_report(list(folders), out, 0, calibration, claims))
