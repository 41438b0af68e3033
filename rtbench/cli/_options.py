"""What several commands share: options, exit codes, and where results go. Every command imports it: only what they all
need is here.

Exit codes: 0 done; 1 a finding; 2 the user's input or environment, one line on stderr; 3 too few valid trials;
130 interrupted, what was measured is kept.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from rtbench.cli import FINDING, INTERRUPTED, TOO_FEW, USER

PRECEDENCE = (INTERRUPTED, USER, FINDING, TOO_FEW, 0)
"""Where several codes hold (interface.md)."""

settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lay a value over the scenario; dotted keys."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), help="What payloads, arrivals and the order of trials are drawn from."
)
calibration_option = click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge by this calibration (`rtbench calibrate` prints its path), not by what the campaign kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
quiet_option = click.option("--quiet", is_flag=True, help="Only what went wrong, and the result.")


def results(name: str) -> Path:
    """The folder of a campaign that begins now, unless its user names one."""
    return Path("results") / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{name}"
