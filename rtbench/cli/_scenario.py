"""The scenario of the commands without a scenario file: `rtbench ticks`, `serve` and `demo`."""

from __future__ import annotations

from typing import Any

from rtbench.scenario import loading as scenarios
from rtbench.scenario.model import Scenario


def build(table: dict[str, Any], seed: int | None, settings: tuple[str, ...]) -> Scenario:
    """The scenario from `table`, overridden by `--seed` and `--set`. Raises UserError."""
    overrides = {} if seed is None else {"seed": seed}
    return scenarios.build(table, "the command line", settings, overrides)
