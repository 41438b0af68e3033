"""The schedule of a campaign: its estimate, the items of a block, their order, and the next trial (R7).

Invariant: pure functions, except `drawn_seed`. The same scenario gives the same order and seeds, whatever was measured;
the same rows and times give the same next trial. Called by the campaign and by `rtbench run`.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtbench.records.campaign import TrialRow, item_of
from rtbench.scenario.model import Cell, Scenario
from rtbench.scenario.tables import ValidityTable
from rtbench.scenario.warm_up import warm_up_s

START_S = 3.0
"""Time of a trial besides ramp, warm-up, window and grace, seen on two cores: starting 1.6 s, writing 0.5-1.5 s."""

RUNG_S = 0.6
"""Time of a rung of the ladder besides its idle and streaming parts: the server tidies up twice."""

_BYTES_A_DELIVERY = 6
_BYTES_A_POLL = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """The trials, time and disk of a campaign."""

    trials: int
    seconds: float
    disk_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {"trials": self.trials, "minutes": round(self.seconds / 60, 1), "disk_bytes": self.disk_bytes}


def estimate(scenario: Scenario) -> Estimate:
    """Estimate trials, time and disk space, before anything is started."""
    cells = scenario.cells()
    trials = scenario.blocks * len(scenario.subjects) * len(cells)
    parts = [trial_cost(cell.scenario) for cell in cells]
    each_s = sum(seconds for seconds, _ in parts) / len(parts)
    size = sum(size for _, size in parts) / len(parts)
    return Estimate(trials, trials * each_s + 15, int(trials * size))


def trial_cost(scenario: Scenario) -> tuple[float, float]:
    """Seconds and bytes of one trial."""
    each_s = (
        scenario.subscribers / scenario.ramp_hz + warm_up_s(scenario) + scenario.window_s + scenario.grace_s + START_S
    )
    ladder = scenario.memory
    each_s += len(ladder.ladder) * (ladder.idle_s + ladder.stream_s + RUNG_S)
    rate_hz = scenario.workload.rate_hz if scenario.stream == ("fanout",) else 5.0
    deliveries = scenario.subscribers * rate_hz * each_s
    polls = scenario.subscribers * each_s / scenario.poll.interval_s
    return each_s, deliveries * _BYTES_A_DELIVERY + polls * _BYTES_A_POLL


@dataclass(frozen=True, slots=True)
class Item:
    """A subject in a cell of the sweep. Each block has every item once."""

    subject: str
    cell: Cell

    @property
    def name(self) -> str:
        """The subject's name, with its cell when there is a sweep."""
        return f"{self.subject} [{self.cell.name}]" if self.cell.name else self.subject


def items(scenario: Scenario) -> dict[str, Item]:
    """All items of a block, by name."""
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


def drawn_seed() -> int:
    """A seed for a campaign that names none: a whole number from 1 to 999,999."""
    return 1 + secrets.randbelow(999_999)


def block_seed(seed: int, block: int) -> int:
    """The seed of a block's workload, from 0 to 2³² - 1: payloads, arrivals, senders' messages and reconnect waits.

    The first four bytes, big-endian, of the SHA-256 of `rtbench/SEED/block/BLOCK`, where SEED is the campaign's and
    BLOCK counts from 1. It is the same for every subject of the block, and when the block is run again.
    """
    return int.from_bytes(hashlib.sha256(f"rtbench/{seed}/block/{block}".encode()).digest()[:4], "big")


@dataclass(frozen=True, slots=True)
class Turn:
    """A trial to run: its item, its place in its block, and the number of trials planned by now.

    `attempt`: 1, or more for a trial of a block that is run again.
    """

    item: str
    block: int
    position: int
    attempt: int
    number: int
    total: int


def next_turn(
    order: Sequence[Sequence[str]],
    rows: Sequence[TrialRow],
    limits: ValidityTable,
    spent_s: Mapping[tuple[int, int], float],
) -> Turn | None:
    """The trial to run next; None when the campaign is over.

    `order`: the items of each block; `rows`: the recorded trials, with attempts (from `numbered`); `spent_s`: the time
    of each (block, attempt) since the campaign was begun or resumed. A block with an invalid trial is run again, whole,
    as often as `limits` allow (R13). A begun attempt is finished. A new one must fit into the rest of `rerun_s`: it
    takes as long as the attempt before it.
    """
    left_s = limits.rerun_s - sum(seconds for (_, attempt), seconds in spent_s.items() if attempt > 1)
    for block, names in enumerate(order, start=1):
        for attempt in range(1, 2 + limits.reruns):
            done = {item_of(row) for row in rows if _place(row) == (block, attempt)}
            if attempt > 1:
                before = [row for row in rows if _place(row) == (block, attempt - 1)]
                spoiled = any(row.status == "invalid" for row in before)
                fits = spent_s.get((block, attempt - 1), 0.0) <= left_s
                if not spoiled or not (done or fits):
                    break
            missing = [name for name in names if name not in done]
            if missing:
                begun = {(block, attempt), *map(_place, rows)}
                again = [order[one - 1] for one, times in begun if times > 1 and one <= len(order)]
                total = sum(map(len, (*order, *again)))
                return Turn(missing[0], block, names.index(missing[0]) + 1, attempt, len(rows) + 1, total)
    return None


def _place(row: TrialRow) -> tuple[int, int]:
    return row.block or 0, row.attempt or 1
