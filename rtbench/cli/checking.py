"""Can it be measured? `rtbench verify` for subjects, `rtbench doctor` for the machine."""

from __future__ import annotations

import json

import click

from rtbench.cli import FINDING, USER
from rtbench.cli._options import json_option
from rtbench.conformance.verify import verify as verify_one
from rtbench.errors import UserError
from rtbench.machine.doctor import examine
from rtbench.scenario import loading as scenarios
from rtbench.subjects import Subject
from rtbench.subjects.registry import Registry


@click.command(epilog="Example: rtbench verify sse-aiohttp http://127.0.0.1:8000")
@click.argument("targets", nargs=-1, required=True, metavar="SUBJECT|FILE.py|FILE.toml|URL...")
@json_option
@click.pass_context
def verify(context: click.Context, targets: tuple[str, ...], as_json: bool) -> None:
    """Check a subject against the contract: right bytes, right order, resume, heartbeat, clean end (R12)."""
    found = [verify_one(one) for target in targets for one in _all_known(target)]
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=1))
    else:
        for one in found:
            click.echo(f"{one.target}: {'passes' if one.ok else 'FAILS'}")
            for case in one.cases:
                click.echo(f"  {case.status:<8}{case.name}")
                for problem in case.problems:
                    click.echo(f"          {problem}")
    context.exit(0 if all(one.ok for one in found) else FINDING)


def _all_known(word: str) -> list[Subject | str]:
    """The subjects that a word names: one, those of a scenario's file, a URL. Raises UserError where there is none."""
    if "://" in word:
        return [word]
    if not word.endswith(".toml"):
        registry, name = Registry().reading(word)
        return [registry.find(name)]
    scenario = scenarios.load(word)
    if not scenario.subject:
        raise UserError(f"{word} defines no subject", "write a table [[subject]]; see README, Add a subject")
    return [scenario.registry.find(row.name) for row in scenario.subject]


@click.command(epilog="Example: rtbench doctor --json")
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Can this machine measure? Cores, clocks, descriptors, ports, backlog, programs; each with its remedy."""
    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.status:<5} {finding.check}: {finding.seen}{remedy}")
    context.exit(USER if any(finding.status == "fail" for finding in findings) else 0)
