"""What measures: `rtbench run`, and the harness's own error: `rtbench calibrate` and `rtbench aa`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from rtbench.analysis import calibration as truths
from rtbench.analysis import metrics
from rtbench.campaign import calibrate as calibration
from rtbench.campaign import campaign as campaigns
from rtbench.campaign import preflight, schedule
from rtbench.campaign.progress import Display
from rtbench.cli import FINDING, INTERRUPTED
from rtbench.cli._options import json_option, quiet_option, results, seed_option, settings_option
from rtbench.cli.reading import write_report
from rtbench.conformance.verify import quick_check
from rtbench.errors import UserError
from rtbench.machine.fingerprint import fingerprint
from rtbench.machine.placement import Place
from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject


@click.command(epilog="Example: rtbench run ci --set subscribers=200 --subjects sse-aiohttp,websocket-aiohttp")
@click.argument("scenario")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-SCENARIO).")
@click.option("--subjects", metavar="A,B", help="Instead of the scenario's.")
@settings_option
@seed_option
@click.option("--resume", is_flag=True, help="Go on with the campaign in --out.")
@click.option("--plan", "only_plan", is_flag=True, help="Only print the trials, minutes and disk it would take.")
@click.option("--netns", is_flag=True, help="Server and load in network namespaces: bytes on the wire (needs root).")
@click.option("--i-own-this-host", "owned", is_flag=True, help="A subject's URL that is not this machine is yours.")
@quiet_option
@json_option
@click.pass_context
def run(
    context: click.Context,
    scenario: str,
    out: Path | None,
    subjects: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    resume: bool,
    only_plan: bool,
    netns: bool,
    owned: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a campaign, then write its report. SCENARIO: a name (`rtbench list scenarios`) or the path of a TOML file."""
    overrides: dict[str, Any] = {}
    if subjects:
        overrides["subjects"] = [name.strip() for name in subjects.split(",") if name.strip()]
        overrides["optional"] = False  # who names them wants them
    if seed is not None:
        overrides["seed"] = seed
    if netns:
        overrides["netns"] = True
    if owned:
        overrides["i_own_this_host"] = True
    table = scenarios.load(scenario, settings, overrides)
    if resume and out is None:
        raise UserError("--resume needs to know which campaign", "name its folder with --out")
    if resume and not (out / "campaign.json").exists() if out else False:
        raise UserError(f"{out}: holds no campaign to go on with", "leave --resume out to begin one")
    _judgeable(table)
    table, warnings = preflight.available(table)
    for warning in warnings:
        click.echo(f"rtbench: {warning['message']}; {warning['remedy']}", err=True)
    preflight.prepare(table)
    table, place, shared = preflight.placed(table)
    take = schedule.estimate(table)
    if only_plan:
        if as_json:
            click.echo(json.dumps(take.as_dict()))
        else:
            click.echo(
                f"{table.name}: {take.trials} trials, about {take.seconds / 60:.1f} minutes, "
                f"about {take.disk_bytes / 1e6:.0f} MB"
            )
        return
    folder = out or results(table.name)
    command = shlex.join(["rtbench", *sys.argv[1:]])
    campaign = campaigns.Campaign(
        table, folder, command, resume, calibration.newest(fingerprint()["machine"]), [*warnings, *shared]
    )
    campaigns.stay_on(place)
    try:
        with Display(take.seconds / take.trials, quiet) as display:
            if not quiet:
                display.note(f"{table.name}: {take.trials} trials, about {take.seconds / 60:.0f} min, into {folder}")
            campaign.run(place, display, _quick_check)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        campaign.save(INTERRUPTED)
        kept = f"{len(campaign.trials)} of {take.trials} trials are kept in {folder}"
        click.echo(f"rtbench: interrupted; {kept}; go on with: {_resume(command, folder)}", err=True)
        context.exit(INTERRUPTED)
    code = campaign.verdict()
    campaign.save(code)
    code = write_report([folder], None, code)
    _step_summary(folder / "report" / "report.md")
    context.exit(code)


def _judgeable(table: Scenario) -> None:
    """Raises UserError for a threshold of a metric or a subject that there is not: before minutes of measuring."""
    if not table.thresholds:
        return
    known = {metric.name for metric in metrics.catalogue()}
    for key in table.thresholds:
        subject, _, metric = key.rpartition(".")
        if metric not in known:
            raise UserError(f"[thresholds] {key!r}: there is no metric {metric!r}", "`rtbench list metrics` shows them")
        if subject.partition(" [")[0] not in table.subjects:
            names = ", ".join(table.subjects)
            raise UserError(f"[thresholds] {key!r}: {subject!r} is no subject of this campaign", f"one of {names}")


def _step_summary(report: Path) -> None:
    """Show the report where GitHub Actions shows what a step came to. It is a courtesy: it never fails a run."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as summary:
            summary.write(report.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        click.echo(f"rtbench: warning: cannot write GITHUB_STEP_SUMMARY {target} ({error.strerror})", err=True)


def _resume(command: str, folder: Path) -> str:
    words = [word for word in shlex.split(command) if word != "--resume"]
    if "--out" not in words:
        words += ["--out", str(folder)]
    return shlex.join([*words, "--resume"])


def _quick_check(subject: Subject) -> list[str]:
    if subject.url or not subject.played:
        return []  # what it plays is not known: `rtbench verify URL` is for who keeps the contract
    return quick_check(subject)


@click.command(epilog="Example: rtbench calibrate")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-calibration).")
@quiet_option
@json_option
@click.pass_context
def calibrate(context: click.Context, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Measure the harness's own error on this machine: known delays, losses, stops and starvation, an A/A control.

    Takes some four minutes; exit 1 when a truth is not met. The result is quoted on every later report of this machine.
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


def _known_truths(folder: Path, tables: list[Scenario], quiet: bool, as_json: bool, aa: bool) -> int:
    """Measure, judge, store and print; the exit code."""
    takes = [schedule.estimate(table) for table in tables]
    place = Place.here(tables[0].place)
    campaigns.stay_on(place)
    command = shlex.join(["rtbench", *sys.argv[1:]])
    each_s = sum(take.seconds for take in takes) / sum(take.trials for take in takes)
    with Display(each_s, quiet) as display:
        calibration.measure(tables, folder, command, place, display, _quick_check)
    judged = folder / tables[0].name if aa else folder
    checks = truths.judge_aa(judged) if aa else truths.judge(judged)
    result = calibration.result([one.row() for one in checks], truths.noise_of(judged), aa)
    stored = calibration.store(result)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        click.echo("\n".join(calibration.table(result["checks"])))
        met = sum(row["met"] for row in result["checks"])
        click.echo(f"{met} of {len(result['checks'])} met; stored as {stored}, raw files in {folder}")
    return 0 if result["met"] else FINDING
