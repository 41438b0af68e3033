"""`rtbench compare`: find regressions. It needs no network."""

from __future__ import annotations

from pathlib import Path

import click

from rtbench.analysis.regression import baseline, formats
from rtbench.cli._options import Range, calibration_option
from rtbench.errors import UserError
from rtbench.records.campaign import load_calibration
from rtbench.records.replacing import write


@click.command(epilog="Example: rtbench compare results/baseline results/20261124-031500-ci --format markdown")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BASELINE DIR")
@click.option("--format", "kind", type=click.Choice(formats.FORMATS), default="text", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Output file (default: stdout).")
@click.option("--subjects", metavar="BASE,HEAD", help="Compare two subjects of one folder, paired by block.")
@click.option(
    "--tolerance",
    type=Range(0, 1000),
    default=5.0,
    show_default=True,
    help="Allowed change in percent.",
)
@calibration_option
@click.pass_context
def compare(
    context: click.Context,
    folders: tuple[Path, ...],
    kind: str,
    out: Path | None,
    subjects: str | None,
    tolerance: float,
    calibration: Path | None,
) -> None:
    """Find regressions between two campaigns, or between two subjects of one. Exits with 1 on a regression.

    A difference is reported only outside the noise, with false discoveries held to 5 %. If the machine, the kernel or
    Python differs, only counts and bytes are compared, not times and costs. `--format html` writes one page with both
    campaigns: verdict, changes, notes, and the machine, command and trials of each.
    """
    other, limit = load_calibration(calibration) if calibration else None, 1 + tolerance / 100
    if subjects is not None:
        names = [name.strip() for name in subjects.split(",")]
        if len(names) != 2 or len(folders) != 1:
            raise UserError(
                "--subjects compares two subjects of one folder", "rtbench compare DIR --subjects BASE,HEAD"
            )
        base, head = names
        found = baseline.within(folders[0], base, head, limit, other)
    elif len(folders) != 2:
        raise UserError("compare needs two folders", "rtbench compare BASELINE DIR, or DIR --subjects BASE,HEAD")
    else:
        found = baseline.against(*folders, limit, other)
    text = formats.render(found, kind)
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            write(out, text)
        except OSError as error:
            raise UserError(f"{out}: cannot be written ({error})", "choose another --out") from error
    context.exit(found.exit_code)
