"""The harness's own error: `rtbench calibrate` and `rtbench aa`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from rtbench.analysis import calibration as truths
from rtbench.campaign import calibrate as calibration
from rtbench.campaign import campaign as campaigns
from rtbench.campaign import loopback as bench
from rtbench.campaign import schedule
from rtbench.campaign.progress import Display
from rtbench.cli import FINDING
from rtbench.cli._options import json_option, quiet_option, results, settings_option
from rtbench.cli.running import check_quickly
from rtbench.errors import SubjectError
from rtbench.machine.placement import Place
from rtbench.records.loopback import Loopback
from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario


@click.command(epilog="Example: rtbench calibrate")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-calibration).")
@quiet_option
@json_option
@click.pass_context
def calibrate(context: click.Context, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Measure the harness's own error on this machine: known delays, losses, stops and starvation, an A/A control.

    Also measures what a sender pays for its receiver on loopback. Takes some four minutes; exit 1 when a truth is not
    met. The result goes into every later campaign of this machine.
    """
    folder = out or results("calibration")
    context.exit(_known_truths(folder, calibration.scenarios(), quiet, as_json, aa=False))


@click.command(epilog="Example: rtbench aa")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-aa).")
@settings_option
@quiet_option
@json_option
@click.pass_context
def aa(context: click.Context, out: Path | None, settings: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """A/A control: 20 real pairs of a subject with itself, and the noise floor that they show (some 25 minutes)."""
    context.exit(_known_truths(out or results("aa"), [scenarios.load("aa", settings)], quiet, as_json, aa=True))


def _loopback(place: Place, folder: Path, display: Display) -> Loopback | None:
    """What a sender pays for its receiver here; None where the bench broke: known truths are judged without it."""
    try:
        return truths.loopback(*bench.measure(place, folder))
    except SubjectError as error:
        display.note(f"loopback: not measured: {error}")
        return None


def _known_truths(folder: Path, tables: list[Scenario], quiet: bool, as_json: bool, aa: bool) -> int:
    """Measure, judge, store and print; the exit code."""
    takes = [schedule.estimate(table) for table in tables]
    place = Place.here(tables[0].place)
    campaigns.stay_on(place)
    command = shlex.join(["rtbench", *sys.argv[1:]])
    each_s = sum(take.seconds for take in takes) / sum(take.trials for take in takes)
    with Display(each_s, quiet) as display:
        share = None if aa else _loopback(place, folder, display)
        calibration.measure(tables, folder, command, place, display, check_quickly)
    judged = folder / tables[0].name if aa else folder
    checks = truths.judge_aa(judged) if aa else truths.judge(judged)
    result = calibration.result([one.row() for one in checks], truths.noise_of(judged), aa, share)
    stored = calibration.store(result)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        click.echo("\n".join([*calibration.table(result["checks"]), *(bench.lines(share) if share else ())]))
        met = sum(row["met"] for row in result["checks"])
        click.echo(f"{met} of {len(result['checks'])} met; stored as {stored}, raw files in {folder}")
    return 0 if result["met"] else FINDING
