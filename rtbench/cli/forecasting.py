"""`rtbench forecast`: machines for a number of subscribers, from a campaign's measurements. It needs no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rtbench.analysis.forecast import forecast as forecasts
from rtbench.analysis.forecast import words
from rtbench.analysis.forecast.amounts import Wanted
from rtbench.cli._options import json_option
from rtbench.errors import printable


@click.command(epilog="Example: rtbench forecast results/20261124-031500-ci --subscribers 1000000 --rate 2")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--subscribers", type=click.IntRange(1), required=True, help="Number of subscribers.")
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Messages per second for each (default: measured).")
@click.option("--payload-bytes", type=float, metavar="B", help="Size of a message (default: measured).")
@click.option("--tls", is_flag=True, help="From what was measured with TLS.")
@click.option("--cores", type=float, default=8.0, help="Cores of a machine (default 8).")
@click.option("--memory-gib", type=float, default=32.0, help="Its memory (default 32).")
@click.option("--gbit", type=float, default=10.0, help="Its network, in Gbit/s (default 10).")
@click.option("--busy", type=float, default=0.7, help="Share of a core that is used at most (default 0.7).")
@json_option
def forecast(folder: Path, as_json: bool, **wanted: Any) -> None:
    """Forecast machines, cores, memory, bandwidth, ports and load hosts for a number of subscribers.

    Each number is a measured slope times the need, with the measurement's interval. It says which resource decides the
    number of machines, and how far it goes beyond what was measured.
    """
    found = forecasts.of_folder(folder, Wanted(**wanted))
    click.echo(json.dumps(found.row(), indent=1, allow_nan=False) if as_json else printable(words.text(found)))
