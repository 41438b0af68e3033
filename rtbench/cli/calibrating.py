"""`rtbench calibrate` and `rtbench aa`: measure the harness's own error."""

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
from rtbench.errors import ResultsError, SubjectError
from rtbench.machine.placement import Place
from rtbench.records.loopback import Loopback
from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario


@click.command(epilog="Example: rtbench calibrate")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder (default: results/TIME-calibration).")
@quiet_option
@json_option
@click.pass_context
def calibrate(context: click.Context, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Measure the harness's own error on this machine: known delays, losses, stops and starvation, an A/A control.

    As root also known networks: delay, jitter, loss, rate. Also measures the share of the receiver's TCP work that the
    sender pays on loopback. Takes some four minutes, as root six. Exits with 1 if a known truth is not met. Every later
    campaign on this machine keeps a copy of the result.
    """
    folder = out or results("calibration")
    tables, why_not = calibration.possible(calibration.scenarios())
    context.exit(_known_truths(folder, tables, quiet, as_json, False, why_not))


@click.command(epilog="Example: rtbench aa")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder (default: results/TIME-aa).")
@settings_option
@quiet_option
@json_option
@click.pass_context
def aa(context: click.Context, out: Path | None, settings: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Measure the noise floor by an A/A control: 20 pairs of a subject with itself (some 25 minutes)."""
    context.exit(_known_truths(out or results("aa"), [scenarios.load("aa", settings)], quiet, as_json, True))


def _loopback(place: Place, folder: Path, display: Display) -> Loopback | None:
    """The sender's share of its receiver's TCP work; None if the bench failed: calibration continues without it."""
    try:
        return truths.loopback(*bench.measure(place, folder))
    except SubjectError as error:
        display.note(f"loopback: not measured: {error}")
        return None


def _known_truths(folder: Path, tables: list[Scenario], quiet: bool, as_json: bool, aa: bool, why_not: str = "") -> int:
    """Measure, judge, store and print; `why_not`: why networks are left out. Returns the exit code."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot write into {folder} ({error.strerror})", "choose another --out") from error
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
        if why_not:
            click.echo(f"networks were not calibrated: {why_not}")
        met = sum(row["met"] for row in result["checks"])
        click.echo(f"{met} of {len(result['checks'])} met; stored as {stored}, raw files in {folder}")
    return 0 if result["met"] else FINDING
