"""Which transport: `rtbench advise`. Nothing here needs a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rtbench.analysis.advice import advice
from rtbench.analysis.advice.option import Needs
from rtbench.cli._options import json_option


@click.command(epilog="Example: rtbench advise results/20261124-031500-ci --subscribers 5000 --freshness-ms 200")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--subscribers", type=click.IntRange(1), help="How many (default: as measured, like all below).")
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Messages a second that each subscriber gets.")
@click.option("--freshness-ms", type=float, metavar="M", help="How old data may be (default: any age will do).")
@click.option("--payload-bytes", type=float, metavar="B", help="The size of a message.")
@click.option("--stack", metavar="NAME", help="Your stack: what was measured on it goes first (default: any).")
@click.option("--bidirectional", is_flag=True, help="Clients send, too.")
@click.option("--through-proxy", is_flag=True, help="A proxy stands before the server.")
@click.option("--all", "every", is_flag=True, help="All subjects, not the best of each transport.")
@json_option
def advise(folder: Path, every: bool, as_json: bool, **needs: Any) -> None:
    """Which transport for these needs, by a campaign's measurements: ranked, with reasons and what would change it."""
    found = advice.of_folder(folder, Needs(**needs), every)
    click.echo(json.dumps(found.row(), indent=1, allow_nan=False) if as_json else found.text())
