"""`rtbench run`: run a campaign."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import click

from rtbench.analysis import metrics
from rtbench.campaign import calibrate as calibration
from rtbench.campaign import campaign as campaigns
from rtbench.campaign import preflight, schedule
from rtbench.campaign.journal import alone
from rtbench.campaign.progress import Display
from rtbench.cli import INTERRUPTED
from rtbench.cli._options import json_option, quiet_option, results, seed_option, settings_option, warn
from rtbench.cli.reporting import claims_option, write_report
from rtbench.conformance.verify import quick_check
from rtbench.errors import UserError, meant, one_of
from rtbench.machine.fingerprint import machine
from rtbench.records import campaign as records
from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.transports.coding import NONE
from rtbench.workload import compressibility


@click.command(epilog="Example: rtbench run ci --set subscribers=200 --subjects sse-aiohttp,websocket-aiohttp")
@click.argument("scenario")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder (default: results/TIME-SCENARIO).")
@click.option("--subjects", metavar="A,B", help="Subjects to measure instead of the scenario's.")
@settings_option
@seed_option
@click.option("--resume", is_flag=True, help="Continue the campaign in --out.")
@click.option("--plan", "only_plan", is_flag=True, help="Print trials, minutes and disk space; measure nothing.")
@click.option("--netns", is_flag=True, help="Use network namespaces and count bytes on the wire (needs root).")
@claims_option
@click.option(
    "--i-own-this-host", "owned", is_flag=True, help="Confirm that you own the other host in a subject's URL."
)
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
    claims: bool,
    owned: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a campaign, then write its report. SCENARIO: a name (`rtbench list scenarios`) or the path of a TOML file."""
    overrides: dict[str, Any] = {}
    if subjects:
        overrides["subjects"] = [name.strip() for name in subjects.split(",") if name.strip()]
        overrides["optional"] = False  # subjects on the command line are required
    if seed is not None:
        overrides["seed"] = seed
    if netns:
        overrides["netns"] = True
    if owned:
        overrides["i_own_this_host"] = True
    table = scenarios.load(scenario, settings, overrides, unnamed := {"seed": resumed_seed(resume, out)}, warn)
    _judgeable(table)
    table, warnings = preflight.available(table)
    for warning in warnings:
        warn(f"{warning.message}; {warning.remedy}")
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
            if any(cell.scenario.compression != NONE for cell in table.cells()):
                click.echo(compressibility(table.make_workload()))
        return
    folder = out or results(table.name)
    words = ["rtbench", *(word for word in sys.argv[1:] if word != "--resume")]
    if seed is None and table.seed == unnamed["seed"]:
        words += ["--seed", str(table.seed)]
    command = shlex.join(words)
    context.with_resource(alone(folder))
    campaign = campaigns.Campaign(table, folder, command, resume, calibration.newest(machine()), [*warnings, *shared])
    campaigns.stay_on(place)
    try:
        with Display(take.seconds / take.trials, quiet) as display:
            if not quiet:
                length = f"{take.trials} trials, about {max(1, round(take.seconds / 60))} min"
                display.note(f"{table.name}: {length}, seed {table.seed}, into {folder}")
                display.note(f"It measures {', '.join(table.subjects)}.")
                display.note("Ctrl-C stops it and keeps the finished trials; --resume continues.")
            codings = {cell.scenario.compression for cell in table.cells()}
            campaign.run(place, display, partial(check_quickly, codings=codings))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        campaign.save(INTERRUPTED)
        kept = f"{len(campaign.trials)} of {take.trials} trials are kept in {folder}"
        click.echo(f"rtbench: interrupted; {kept}; continue with: {resuming(command, folder)}", err=True)
        context.exit(INTERRUPTED)
    code = campaign.verdict()
    campaign.save(code)
    try:
        code = write_report([folder], None, code, claims=claims)
    except KeyboardInterrupt:
        write = shlex.join(["rtbench", "report", str(folder)])
        click.echo(f"rtbench: interrupted; all trials are kept in {folder}; write the report with: {write}", err=True)
        context.exit(INTERRUPTED)
    _step_summary(folder / "report" / "report.md")
    context.exit(code)


def resumed_seed(resume: bool, out: Path | None) -> int:
    """The seed if neither scenario nor command names one: the resumed campaign's, or a drawn one.

    Raises UserError without a campaign to resume.
    """
    if not resume:
        return schedule.drawn_seed()
    if out is None:
        raise UserError("--resume needs the folder of a campaign", "name it with --out")
    if not os.path.lexists(out / "campaign.json"):
        raise UserError(f"{out}: holds no campaign to resume", "leave out --resume to begin one")
    recorded = records.load(out).seed
    return recorded if isinstance(recorded, int) else schedule.drawn_seed()


def _judgeable(table: Scenario) -> None:
    """Raises UserError for a threshold with an unknown metric or subject, before anything is measured."""
    if not table.thresholds:
        return
    known = {metric.name for metric in metrics.catalogue()}
    for key in table.thresholds:
        subject, _, metric = key.rpartition(".")
        if metric not in known:
            remedy = f"{meant(metric, known)}`rtbench list metrics` shows them"
            raise UserError(f"[thresholds] {key!r}: unknown metric {metric!r}", remedy)
        if subject.partition(" [")[0] not in table.subjects:
            text = f"[thresholds] {key!r}: the campaign does not measure {subject!r}"
            raise UserError(text, one_of(subject, table.subjects))


def _step_summary(report: Path) -> None:
    """Append the report to the step summary of GitHub Actions. A write error is a warning: it never fails a run."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as summary:
            summary.write(report.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        click.echo(f"rtbench: warning: cannot write GITHUB_STEP_SUMMARY {target} ({error.strerror})", err=True)


def resuming(command: str, folder: Path) -> str:
    """The command that continues the campaign of `command` in `folder`."""
    words = shlex.split(command)
    if "--out" not in words:
        words += ["--out", str(folder)]
    return shlex.join([*words, "--resume"])


def check_quickly(subject: Subject, logs: Path, codings: Collection[str] = ()) -> list[str]:
    """The quick verification before a subject's first trial: its problems. `logs`: the folder for its logs.

    `codings`: what the campaign compresses with.
    """
    if subject.url or not subject.played:
        return []  # its messages are not known; `rtbench verify URL` checks servers that keep the contract
    return quick_check(subject, logs=logs, codings=codings)
