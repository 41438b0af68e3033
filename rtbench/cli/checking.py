"""`rtbench verify` checks subjects, `rtbench doctor` checks the machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click

from rtbench.cli import FINDING, USER
from rtbench.cli._options import json_option, settings_option, warn
from rtbench.cli._scenario import build
from rtbench.conformance.verify import FAILED, PASSED, SKIPPED, Verification
from rtbench.conformance.verify import verify as verify_one
from rtbench.errors import UserError
from rtbench.machine.doctor import examine
from rtbench.scenario import loading as scenarios
from rtbench.scenario import strangers
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.names import folder_of
from rtbench.subjects.registry import Registry, secured
from rtbench.subjects.tls import version_of


@click.command(epilog="Example: rtbench verify sse-aiohttp http://127.0.0.1:8000")
@click.argument("targets", nargs=-1, required=True, metavar="SUBJECT|FILE.py|FILE.toml|URL...")
@settings_option
@click.option("--verbose", is_flag=True, help="Also list the skipped cases, with the reason.")
@json_option
@click.pass_context
def verify(
    context: click.Context, targets: tuple[str, ...], settings: tuple[str, ...], verbose: bool, as_json: bool
) -> None:
    """Check a subject against the contract: right bytes, right order, resume, heartbeat, clean end (R12).

    A URL without a path is checked against the whole contract, a URL with a path against the rules for all subjects of
    its transport. `--set tls=true` verifies a subject with TLS.
    """
    scenario = build({}, None, settings)
    found = [_logged(one, scenario) for target in targets for one in named(target)]
    if as_json:
        click.echo(json.dumps([one.as_dict() | ({"logs": str(logs)} if logs else {}) for one, logs in found], indent=1))
    else:
        for one, logs in found:
            click.echo("\n".join(_shown(one, verbose)))
            if logs is not None:
                click.echo(f"  logs    {logs}")
    context.exit(0 if all(one.ok for one, _ in found) else FINDING)


def _logged(target: Subject | str, scenario: Scenario) -> tuple[Verification, Path | None]:
    """Verify a target. Also returns the folder with its processes' logs, if it failed."""
    if isinstance(target, str):
        return verify_one(target), None
    logs = Path(tempfile.mkdtemp(prefix=f"rtbench-verify-{folder_of(target.name)}-"))
    found = None
    try:
        wanted = secured(target, version_of(scenario.tls)) if scenario.tls else target
        found = verify_one(wanted, scenario, logs=logs)
    finally:
        if found is None or found.ok:
            shutil.rmtree(logs, ignore_errors=True)
    return found, None if found.ok else logs


def _shown(found: Verification, verbose: bool) -> list[str]:
    """A line for each passed or failed case, its problems, and the number of skipped cases (`verbose`: each one)."""
    lines = [f"{found.target}: {'passes' if found.ok else 'FAILS'}"]
    statuses = (PASSED, FAILED, SKIPPED) if verbose else (PASSED, FAILED)
    for case in (case for status in statuses for case in found.cases if case.status == status):
        lines += [f"  {case.status:<8}{case.name}", *(f"          {problem}" for problem in case.problems)]
    skipped = sum(case.status == SKIPPED for case in found.cases)
    if skipped and not verbose:
        lines.append(f"  skipped {skipped} case{'s' * (skipped > 1)} (--verbose lists them with the reason)")
    return lines


def named(word: str) -> list[Subject | str]:
    """The targets that a word names: a subject, the subjects of a scenario file, or a URL. Raises UserError."""
    if "://" in word:
        return [word]
    if not word.endswith(".toml"):
        for text in strangers.of_module(word):
            warn(text)
        registry, name = Registry().reading(word)
        try:
            return [registry.find(name)]
        except UserError as error:
            raise UserError(error.message, f"{error.remedy}; for a [[subject]] give its file, FILE.toml") from error
    scenario = scenarios.load(word, warn=warn)
    if not scenario.subject:
        raise UserError(f"{word}: defines no subject", "add a [[subject]] table; see README, Your own server")
    return [scenario.registry.find(row.name) for row in scenario.subject]


@click.command(epilog="Example: rtbench doctor --json")
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check whether this machine can measure: cores, clocks, descriptors, ports, backlog, programs, with remedies."""
    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.status:<5} {finding.check}: {finding.seen}{remedy}")
    context.exit(USER if any(finding.status == "fail" for finding in findings) else 0)
