"""`rtbench check`: what is wrong with a stream."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from rtbench.cli import FINDING
from rtbench.cli._options import Range, json_option
from rtbench.cli.checking import named
from rtbench.diagnosis import catalogue
from rtbench.diagnosis._evidence import Limits
from rtbench.diagnosis.diagnose import Diagnosis
from rtbench.diagnosis.diagnose import diagnose as diagnose_one
from rtbench.errors import UserError, line, one_of

_MOST_S = 600


@click.command(epilog="Example: rtbench check http://127.0.0.1:8000/events")
@click.argument("target", metavar="SUBJECT|FILE.py|FILE.toml|URL")
@click.option(
    "--seconds",
    type=Range(1, _MOST_S),
    default=Limits().seconds,
    show_default=True,
    help="The longest that it listens; a stream that shows enough takes 10 s.",
)
@click.option(
    "--silence",
    type=Range(0.5, _MOST_S),
    default=Limits().silence_s,
    show_default=True,
    metavar="SECONDS",
    help="The longest silence that your load balancers and proxies bear.",
)
@click.option("--ignore", multiple=True, metavar="KIND", help="A kind of finding to leave out.")
@click.option(
    "--i-own-this-host", "owned", is_flag=True, help="The URL is on another machine, and that machine is yours."
)
@click.option(
    "--tls-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Certificates to trust for https:// and wss:// (PEM), instead of the machine's.",
)
@json_option
@click.pass_context
def check(
    context: click.Context,
    target: str,
    seconds: float,
    silence: float,
    ignore: tuple[str, ...],
    owned: bool,
    tls_ca: Path | None,
    as_json: bool,
) -> None:
    """Find what is wrong with a stream: SSE, WebSocket or polling, of any format.

    It reads the stream with a few connections and reports what would hurt subscribers: events that are held back,
    silent connections that are cut, reconnections that lose events. `rtbench verify` checks rtbench's own contract.
    """
    for kind in ignore:
        if kind not in catalogue():
            raise UserError(f"unknown kind {kind!r}", one_of(kind, catalogue()))
    limits = Limits(seconds=seconds, least_s=min(Limits().least_s, seconds), silence_s=silence)
    known = named(target)
    if len(known) > 1:
        names = ", ".join(one if isinstance(one, str) else one.name for one in known)
        raise UserError(f"{target} has several subjects ({names})", "keep one [[subject]] in the file")
    found = diagnose_one(known[0], limits, ignore=ignore, owned=owned, tls_ca=str(tls_ca or ""))
    click.echo(json.dumps(found.as_dict(), indent=1) if as_json else "\n".join(shown(found)))
    context.exit(0 if found.sound else FINDING)


def shown(found: Diagnosis) -> list[str]:
    """The diagnosis as lines: each finding with its evidence and remedy, worst first, then what is fine."""
    count = sum(finding.severity != "info" for finding in found.findings)
    verdict = f"{count} finding{'s' * (count > 1)}" if count else "nothing wrong"
    lines = [f"{line(found.target)} ({found.transport}): {verdict}, {'; '.join(found.notes)}"]
    for finding in found.findings:
        lines.append(f"  {finding.severity:<8}{finding.kind}: {line(finding.message)}")
        lines += [f"          seen: {line(one)}" for one in finding.evidence]
        lines.append(f"          fix:  {line(finding.remedy)}")
    if found.fine:
        lines.append(f"  fine    {', '.join(found.fine)}")
    lines += [f"  open    {kind}: {line(reason)}" for kind, reason in found.undecided.items()]
    if found.ignored:
        lines.append(f"  ignored {', '.join(found.ignored)}")
    lines.append(f"  next    {_next(found)}")
    return lines


def _next(found: Diagnosis) -> str:
    if not found.sound:
        return "correct the first finding, then check again"
    if "://" in found.target:
        return f"rtbench run ci --subjects {shlex.quote(line(found.target))} measures it"
    return f"rtbench verify {line(found.target)} holds it to the contract"
