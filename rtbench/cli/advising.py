"""`rtbench advise`: recommend a transport from a campaign's measurements. It needs no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rtbench.analysis.advice import advice
from rtbench.analysis.advice.option import Needs
from rtbench.cli._options import json_option
from rtbench.errors import printable


@click.command(epilog="Example: rtbench advise results/20261124-031500-ci --subscribers 5000 --freshness-ms 200")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--subscribers", type=click.IntRange(1), help="Number of subscribers (default: as measured; so for all needs)."
)
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Messages per second for each subscriber.")
@click.option("--freshness-ms", type=float, metavar="M", help="Maximum age of the data (default: any age).")
@click.option("--payload-bytes", type=float, metavar="B", help="Size of a message.")
@click.option("--rtt-ms", type=float, metavar="M", help="Round trip between clients and server.")
@click.option("--loss", type=float, metavar="SHARE", help="Share of the packets that the network loses, as 0.01.")
@click.option("--tls", is_flag=True, help="Clients connect with TLS.")
@click.option("--http2", is_flag=True, help="Clients connect with HTTP/2.")
@click.option("--stack", metavar="NAME", help="Your stack: its measurements go first (default: any).")
@click.option("--bidirectional", is_flag=True, help="Clients also send.")
@click.option("--through-proxy", is_flag=True, help="A proxy is in front of the server.")
@click.option("--all", "every", is_flag=True, help="Show all subjects, not only the best of each transport.")
@json_option
def advise(folder: Path, every: bool, as_json: bool, **needs: Any) -> None:
    """Rank the transports for these needs by a campaign's measurements, with reasons and what would change the rank."""
    found = advice.of_folder(folder, Needs(**needs), every)
    click.echo(json.dumps(found.row(), indent=1, allow_nan=False) if as_json else printable(found.text()))
