"""The schedule of a campaign: what it would take, what a block has once, and in which order (R7).

Invariant: pure: the same scenario gives the same order, whatever was measured. Called by the campaign and by `--plan`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtbench.scenario.model import Cell, Scenario

START_S = 3.0
"""What a trial takes besides ramp, warm-up, window and grace, seen on two cores: starting 1.6 s, writing 0.5-1.5 s."""

RUNG_S = 0.6
"""What a rung of the ladder takes besides being idle and streaming: the server tidies up twice."""

_BYTES_A_DELIVERY = 6
_BYTES_A_POLL = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a campaign would take."""

    trials: int
    seconds: float
    disk_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {"trials": self.trials, "minutes": round(self.seconds / 60, 1), "disk_bytes": self.disk_bytes}


def estimate(scenario: Scenario) -> Estimate:
    """Trials, time and disk, before anything is started."""
    cells = scenario.cells()
    trials = scenario.blocks * len(scenario.subjects) * len(cells)
    parts = [_trial(cell.scenario) for cell in cells]
    each_s = sum(seconds for seconds, _ in parts) / len(parts)
    size = sum(size for _, size in parts) / len(parts)
    return Estimate(trials, trials * each_s + 15, int(trials * size))


def _trial(scenario: Scenario) -> tuple[float, float]:
    """Seconds and bytes of one trial."""
    each_s = (
        scenario.subscribers / scenario.ramp_hz + scenario.warmup_s + scenario.window_s + scenario.grace_s + START_S
    )
    ladder = scenario.memory
    each_s += len(ladder.ladder) * (ladder.idle_s + ladder.stream_s + RUNG_S)
    rate_hz = scenario.workload.rate_hz if scenario.stream == ("fanout",) else 5.0
    deliveries = scenario.subscribers * rate_hz * each_s
    polls = scenario.subscribers * each_s / scenario.poll.interval_s
    return each_s, deliveries * _BYTES_A_DELIVERY + polls * _BYTES_A_POLL


@dataclass(frozen=True, slots=True)
class Item:
    """What a block has once: a subject in a cell of the sweep."""

    subject: str
    cell: Cell

    @property
    def name(self) -> str:
        """The subject's name, with its cell when there is a sweep."""
        return f"{self.subject} [{self.cell.name}]" if self.cell.name else self.subject


def items(scenario: Scenario) -> dict[str, Item]:
    """Everything that a block has, by name."""
    found = [Item(name, cell) for cell in scenario.cells() for name in scenario.subjects]
    return {item.name: item for item in found}


def order(scenario: Scenario) -> list[list[str]]:
    """The order of items in every block: randomised complete blocks, from the seed alone."""
    draw = random.Random(f"rtbench/{scenario.seed}/order")
    names = list(items(scenario))
    blocks = []
    for _ in range(scenario.blocks):
        block = list(names)
        draw.shuffle(block)
        blocks.append(block)
    return blocks


def item_of(row: Mapping[str, Any]) -> str:
    """The item that a recorded trial is of; folders of before the sweeps have subjects only."""
    name: str = row.get("item") or row["subject"]
    return name
