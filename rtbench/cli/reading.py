"""What was measured: `rtbench report`, `rtbench compare`, `rtbench advise`. Nothing here needs a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rtbench.analysis.advice import advice
from rtbench.analysis.advice.options import Needs
from rtbench.analysis.regression import baseline, formats
from rtbench.analysis.report.report import build
from rtbench.campaign.calibrate import newest
from rtbench.cli._options import PRECEDENCE, json_option
from rtbench.errors import UserError
from rtbench.machine.fingerprint import fingerprint


def write_report(folders: list[Path], out: Path | None, code: int) -> int:
    """Write the report of these folders, print its headlines; the exit code."""
    made = build(folders, out, newest(fingerprint()["machine"]))
    for line in made.headlines:
        click.echo(line)
    for line in made.caveats:
        click.echo(f"caveat: {line.partition(' (spoils ')[0]}")  # which metrics: in the report
    click.echo(f"report: {made.path}")
    return min((code, int(made.exit_code)), key=PRECEDENCE.index)


@click.command(epilog="Example: rtbench report results/20261124-031500-ci")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), help="Where to (default: report/ in the first folder).")
@click.pass_context
def report(context: click.Context, folders: tuple[Path, ...], out: Path | None) -> None:
    """Build the report again, from the raw files alone."""
    context.exit(write_report(list(folders), out, 0))


@click.command(epilog="Example: rtbench compare results/baseline results/20261124-031500-ci --format markdown")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BASELINE DIR")
@click.option(
    "--format", "kind", type=click.Choice(["text", "markdown", "json", "junit"]), default="text", show_default=True
)
@click.option("--subjects", metavar="BASE,HEAD", help="Two subjects of one folder instead, paired by its blocks.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1000),
    default=5.0,
    show_default=True,
    help="Percent that is no regression.",
)
@click.pass_context
def compare(
    context: click.Context, folders: tuple[Path, ...], kind: str, subjects: str | None, tolerance: float
) -> None:
    """Has anything become worse? Two campaigns, or two subjects of one; exit 1 on a regression.

    A difference is said only outside the noise, with false discoveries held to 5 %. On another machine, kernel or
    Python times and costs are not compared, counts and bytes are.
    """
    calibration, limit = newest(fingerprint()["machine"]), 1 + tolerance / 100
    if subjects is not None:
        names = [name.strip() for name in subjects.split(",")]
        if len(names) != 2 or len(folders) != 1:
            raise UserError(
                "--subjects compares two subjects of one folder", "rtbench compare DIR --subjects BASE,HEAD"
            )
        base, head = names
        found = baseline.within(folders[0], base, head, limit, calibration)
    elif len(folders) != 2:
        raise UserError("compare needs two folders", "rtbench compare BASELINE DIR, or DIR --subjects BASE,HEAD")
    else:
        found = baseline.against(*folders, limit, calibration)
    click.echo(formats.render(found, kind), nl=False)
    context.exit(found.exit_code)


@click.command(epilog="Example: rtbench advise results/20261124-031500-ci --subscribers 5000 --freshness-ms 200")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--subscribers", type=click.IntRange(1), help="How many (default: as measured, like all below).")
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Messages a second that each subscriber gets.")
@click.option("--freshness-ms", type=float, metavar="M", help="How old data may be (default: any age will do).")
@click.option("--payload-bytes", type=float, metavar="B", help="The size of a message.")
@click.option("--bidirectional", is_flag=True, help="Clients send, too.")
@click.option("--through-proxy", is_flag=True, help="A proxy stands before the server.")
@click.option("--all", "every", is_flag=True, help="All subjects, not the best of each transport.")
@json_option
def advise(folder: Path, every: bool, as_json: bool, **needs: Any) -> None:
    """Which transport for these needs, by a campaign's measurements: ranked, with reasons and what would change it."""
    found = advice.of_folder(folder, Needs(**needs), every, newest(fingerprint()["machine"]))
    click.echo(json.dumps(found.row(), indent=1, allow_nan=False) if as_json else found.text())
