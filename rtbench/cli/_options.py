"""Options, the precedence of exit codes and the default results folder, shared by the commands.

Every command imports this module, so it holds only what several of them need. Exit codes: 0 done; 1 a finding; 2 the
user's input or environment, one line on stderr; 3 too few valid trials; 130 interrupted, measured data is kept.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click

from rtbench.cli import FINDING, INTERRUPTED, TOO_FEW, USER
from rtbench.errors import line

PRECEDENCE = (INTERRUPTED, USER, FINDING, TOO_FEW, 0)
"""If several codes apply, the first counts (interface.md)."""


class Range(click.FloatRange):
    """FloatRange lets NaN through, with which no limit would ever be reached."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return found


settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a value of the scenario; keys are dotted."
)
seed_option = click.option("--seed", type=click.IntRange(0), help="Seed of payloads, arrivals and the order of trials.")
calibration_option = click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use this calibration (`rtbench calibrate` prints its path) instead of the campaign's own.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
quiet_option = click.option("--quiet", is_flag=True, help="Print only problems and the result.")


def warn(text: str) -> None:
    """A line on stderr; the command goes on."""
    click.echo(f"rtbench: {line(text)}", err=True)


def results(name: str) -> Path:
    """The default results folder of a campaign that begins now. `name` comes from a file: it cannot lead elsewhere."""
    from rtbench.subjects.names import folder_of

    return Path("results") / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{folder_of(name)}"
