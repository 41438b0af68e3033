"""`rtbench capacity`: search the largest load at which a service level holds."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from rtbench.analysis.report import capacity as words
from rtbench.analysis.report import next_step
from rtbench.analysis.report.report import build
from rtbench.campaign import calibrate as calibration
from rtbench.campaign import campaign as campaigns
from rtbench.campaign import preflight
from rtbench.campaign.journal import alone
from rtbench.capacity import ceiling as ceilings
from rtbench.capacity import progress
from rtbench.capacity.ceiling import RATE, SUBSCRIBERS
from rtbench.capacity.probing import Asked, Capacity
from rtbench.capacity.search import Goal
from rtbench.cli import INTERRUPTED, TOO_FEW
from rtbench.cli._options import Range, json_option, quiet_option, results, seed_option, settings_option, warn
from rtbench.cli.running import check_quickly, resumed_seed, resuming
from rtbench.errors import ResultsError
from rtbench.machine.fingerprint import machine
from rtbench.records import capacity as records
from rtbench.records.record import plain
from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario

MINUTES = 30.0


@click.command(epilog="Example: rtbench capacity ci --from 500 --minutes 20 --set slo.latency_ms=50")
@click.argument("scenario")
@click.option("--by", type=click.Choice(ceilings.KEYS), default=SUBSCRIBERS, help="The key to search over.")
@click.option("--from", "first", type=float, metavar="N", help="The value to try first (default: the scenario's).")
@click.option("--to", type=float, metavar="N", help="The largest value to try (default: what this machine can do).")
@click.option("--width", type=Range(0.005, 0.9), default=0.1, help="Stop when (high - low) / high is at most this.")
@click.option("--minutes", type=Range(0.1, 100_000), default=MINUTES, help="Stop after this time.")
@click.option("--subjects", metavar="A,B", help="Subjects to search instead of the scenario's.")
@settings_option
@seed_option
@click.option("--out", type=click.Path(path_type=Path), help="Results folder (default: results/TIME-SCENARIO).")
@click.option("--resume", is_flag=True, help="Continue the search in --out.")
@quiet_option
@json_option
@click.pass_context
def capacity(
    context: click.Context,
    scenario: str,
    by: str,
    first: float | None,
    to: float | None,
    width: float,
    minutes: float,
    subjects: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    resume: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Find the bracket in which the service level [slo] of a scenario stops to hold, for each of its subjects.

    Each probe is a trial at another number of subscribers (or rate), one of each subject in turn. The lower end of a
    bracket is confirmed over a longer window, the upper end fails twice. Where the load generator is the limit, the
    result is "N or more". SCENARIO: a name (`rtbench list scenarios`) or the path of a TOML file.
    """
    table = _scenario(scenario, settings, subjects, seed, resume, out)
    table, warnings = preflight.available(table)
    for warning in warnings:
        warn(f"{warning.message}; {warning.remedy}")
    most = ceilings.ceiling(table, by, to)
    undecided = table = ceilings.roomy(table, by, most)
    table, place, shared = preflight.placed(table)
    own = table.workload.rate_hz if by == RATE else table.subscribers
    start = float(first if first is not None else min(own, most.value))
    ceilings.check(table, by, start, most)
    whole = by == SUBSCRIBERS
    goal = Goal(start, 1.0 if whole else min(0.01, start), float(most.value), width, whole)
    preflight.prepare(table)
    folder = out or results(f"{table.name}-capacity")
    if resume:
        _same(folder, by)
    typed = ["rtbench", *(word for word in sys.argv[1:] if word != "--resume")]
    if seed is None:
        typed += ["--seed", str(table.seed)]
    command = shlex.join(typed)
    context.with_resource(alone(folder))
    known = calibration.newest(machine())
    campaign = campaigns.Campaign(table, folder, command, resume, known, [*warnings, *shared])
    campaigns.stay_on(place)
    search = Capacity(campaign, Asked(undecided, by, goal, most, len(place.load)))
    code = 0
    try:
        with progress.Lines(by, quiet) as display:
            if not quiet:
                display.note(
                    f"{table.name}: capacity by {by}, at most {minutes:g} min, seed {table.seed}, into {folder}"
                )
                display.note(f"It measures {', '.join(table.subjects)}: {words.level(search.record.slo)}.")
                display.note("Ctrl-C stops it and keeps the finished probes; --resume continues.")
            search.run(place, display, check_quickly, 60 * minutes)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = INTERRUPTED
    found = search.record
    if not code:
        code = 0 if all(one.closed for one in found.subjects) else TOO_FEW
    campaign.save(code)
    search.save()
    again = resuming(command, folder)
    if code == INTERRUPTED:
        kept = f"{len(campaign.trials)} probes are kept in {folder}"
        click.echo(f"rtbench: interrupted; {kept}; continue with: {again}", err=True)
    reported = bool(campaign.trials) and code != INTERRUPTED
    if reported:
        build([folder])
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
    else:
        click.echo("\n".join([*words.lines(found), words.next_step(found, next_step.again(typed), str(folder))]))
        if reported:
            click.echo(f"report: {folder / 'report' / 'report.html'}")
    context.exit(code)


def _scenario(
    name: str, settings: tuple[str, ...], subjects: str | None, seed: int | None, resume: bool, out: Path | None
) -> Scenario:
    overrides: dict[str, Any] = {}
    if subjects:
        overrides["subjects"] = [word.strip() for word in subjects.split(",") if word.strip()]
        overrides["optional"] = False  # subjects on the command line are required
    if seed is not None:
        overrides["seed"] = seed
    return scenarios.load(name, settings, overrides, {"seed": resumed_seed(resume, out)}, warn)


def _same(folder: Path, by: str) -> None:
    """Raises ResultsError unless the folder holds a search over this key."""
    before = records.load(folder)
    if before is None:
        raise ResultsError(
            f"{folder}: holds no capacity.json", "leave out --resume to begin a search in another folder"
        )
    if before.by != by:
        raise ResultsError(f"{folder}: was searched by {before.by}, not {by}", f"continue with --by {before.by}")
