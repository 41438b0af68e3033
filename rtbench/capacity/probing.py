"""Runs the probes of a search: one of each open subject in turn, each a trial of a campaign (R7, R19).

Invariant: a round of probes is a block, every probe a recorded trial whose cell is the searched key, and capacity.json
is made of these trials alone, after each of them. A resumed folder is judged again and continues where its probes lead.
No probe is begun that would not end in time. Called by `rtbench capacity`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from rtbench.campaign.campaign import Campaign, Verify
from rtbench.campaign.campaign import Progress as CampaignProgress
from rtbench.campaign.schedule import Item, Turn, trial_cost
from rtbench.capacity.ceiling import SUBSCRIBERS, Ceiling
from rtbench.capacity.judging import Judged, judge
from rtbench.capacity.search import Bracket, Goal, Probe, Step, bracket, step
from rtbench.machine.placement import Place
from rtbench.records import capacity, tables
from rtbench.records.campaign import TrialRow
from rtbench.records.capacity import CapacityRecord, Level, ProbeRow, SubjectCapacity
from rtbench.records.record import plain
from rtbench.records.replacing import unwritable
from rtbench.scenario import loading
from rtbench.scenario.model import Cell, Scenario

LONGER = 3
"""A confirmation's window is so many times as long as the scenario's."""
_LONG = 1.5
"""From so many of the scenario's windows on, a window counts as long."""
REFUSED = "verification"


class Progress(CampaignProgress, Protocol):
    """The receiver of a search's progress."""

    def judged(self, subject: str, row: ProbeRow, found: Bracket) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is searched: the scenario before its load processes are counted, the key, the goal, the ceiling, and the
    number of cores of the load."""

    scenario: Scenario
    by: str
    goal: Goal
    ceiling: Ceiling
    load_cores: int


class Capacity:
    """A search in one results folder."""

    def __init__(self, campaign: Campaign, asked: Asked) -> None:
        """Take up what the campaign has recorded. Raises ResultsError if the folder holds something else."""
        self._campaign, self._asked = campaign, asked
        self._judged: dict[str, list[Judged]] = {name: [] for name in campaign.scenario.subjects}
        self._blocks: list[list[str]] = []
        self._cells: list[Cell] = []
        for row in campaign.trials:
            self._take(row)
        self._out_of_time: set[str] = set()
        self._spent_s, self._planned_s = 0.0, 0.0
        campaign.journal.plan(self._blocks, [cell.settings for cell in self._cells])

    def run(
        self,
        place: Place,
        progress: Progress,
        verify: Verify,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Probe until every bracket is closed or cannot be, or the next probe would end after `seconds`."""
        deadline = clock() + seconds
        self.save()
        number = len(self._blocks) if self._unfinished() else len(self._blocks) + 1
        while any(self._next(name, deadline - clock()) for name in self._judged):
            for name in self._order(number):
                if self._done(name, number) or (asked := self._next(name, deadline - clock())) is None:
                    continue
                began, planned_s = clock(), trial_cost(self._cell(asked).scenario)[0]
                self._probe(name, asked, number, place, progress, verify)
                self._spent_s += clock() - began
                self._planned_s += planned_s
            number += 1

    # The rounds

    def _order(self, number: int) -> list[str]:
        """The subjects in the order of a round, from the seed alone."""
        names = list(self._judged)
        random.Random(f"rtbench/{self._campaign.scenario.seed}/capacity/{number}").shuffle(names)
        return names

    def _done(self, name: str, number: int) -> bool:
        return any(row.subject == name and row.block == number for row in self._campaign.trials)

    def _unfinished(self) -> bool:
        """Whether a resumed folder ends within a round."""
        number = len(self._blocks)
        return bool(number) and any(not self._done(name, number) and self._step(name) for name in self._judged)

    def _step(self, name: str, closing: bool = False) -> Step | None:
        if self._refused(name):
            return None
        return step(self._asked.goal, self._probes(name), closing)

    def _next(self, name: str, left_s: float) -> Step | None:
        """The next probe of a subject that ends within the time; near its end what is known gets confirmed."""
        wanted = self._step(name)
        if wanted is None:
            self._out_of_time.discard(name)
            return None
        open_ = sum(self._step(other) is not None for other in self._judged)
        if left_s < open_ * (self._seconds(wanted) + self._seconds(replace(wanted, long=True))):
            closing = self._step(name, closing=True)
            wanted = closing if closing is not None else wanted
        if self._seconds(wanted) > left_s:
            self._out_of_time.add(name)
            return None
        return wanted

    def _seconds(self, asked: Step) -> float:
        """The time that a probe will take: as planned, or longer where earlier ones took longer."""
        slower = max(1.0, self._spent_s / self._planned_s) if self._planned_s else 1.0
        return slower * trial_cost(self._cell(asked).scenario)[0]

    def _cell(self, asked: Step) -> Cell:
        """The cell of a probe: the searched key alone. A long window is the trial's, not the cell's."""
        by, table = self._asked.by, self._asked.scenario
        value = int(asked.value) if by == SUBSCRIBERS else asked.value
        cell = loading.cell(table, {by: value}, f"{table.name} --by {by}")
        scenario = cell.scenario.with_load_cores(self._asked.load_cores)
        if asked.long:
            scenario = replace(scenario, window_s=LONGER * scenario.window_s)
        return replace(cell, scenario=scenario)

    def _probe(self, name: str, asked: Step, number: int, place: Place, progress: Progress, verify: Verify) -> None:
        campaign, cell = self._campaign, self._cell(asked)
        item = Item(name, cell)
        here = self._blocks[number - 1] if number <= len(self._blocks) else []
        blocks = [*self._blocks[: number - 1], [*here, item.name]]
        campaign.journal.plan(blocks, _distinct([*self._cells, cell]))
        trials = len(campaign.trials) + 1
        campaign.measure(Turn(item.name, number, len(here) + 1, 1, trials, trials), item, place, progress, verify)
        self._take(campaign.trials[-1])
        self.save()
        progress.judged(name, self._judged[name][-1].row, self.bracket(name))

    def _take(self, row: TrialRow) -> None:
        """Judge a recorded trial."""
        settings = plain(row.cell) if row.cell else {}
        value = float(settings[self._asked.by])
        cell = self._cell(Step(value))
        number = row.block or 1
        self._blocks += [[] for _ in range(number - len(self._blocks))]
        self._blocks[number - 1].append(Item(row.subject, cell).name)
        self._cells = [*self._cells, *([] if any(c.settings == cell.settings for c in self._cells) else [cell])]
        directory = self._campaign.folder / row.directory
        self._judged[row.subject].append(judge(directory, row.trial, value, cell.scenario))

    # What was found

    def _probes(self, name: str) -> list[Probe]:
        long_s = _LONG * self._campaign.scenario.window_s
        return [
            Probe(one.row.value, one.row.verdict, one.row.window_s >= long_s, one.busy) for one in self._judged[name]
        ]

    def _refused(self, name: str) -> bool:
        return any(one.row.limited_by == REFUSED for one in self._judged[name])

    def bracket(self, name: str) -> Bracket:
        """A subject's bracket so far."""
        return bracket(self._asked.goal, self._probes(name))

    def _subject(self, name: str) -> SubjectCapacity:
        found, rows = self.bracket(name), [one.row for one in self._judged[name]]
        why, harness = "", False
        if self._refused(name):
            why = REFUSED
        elif found.barred is not None:
            why, harness = _at(rows, found.barred, "unclear"), True
        elif found.high is not None:
            why = _at(rows, found.high, "fails")
        elif found.low is not None and found.low >= self._asked.goal.most:
            why, harness = self._asked.ceiling.why, self._asked.ceiling.harness
        return SubjectCapacity(
            subject=name,
            low=None if self._refused(name) else found.low,
            high=None if self._refused(name) else found.high,
            closed=found.closed,
            out_of_time=name in self._out_of_time,
            held=found.held,
            limited_by=why,
            harness_limited=harness,
            probes=rows,
        )

    @property
    def record(self) -> CapacityRecord:
        """capacity.json as it is now."""
        asked, slo = self._asked, self._campaign.scenario.slo
        return CapacityRecord(
            schema=tables.SCHEMA,
            by=asked.by,
            first=asked.goal.first,
            most=asked.goal.most,
            width=asked.goal.width,
            slo=Level(latency_ms=slo.latency_ms, quantile=slo.quantile, lost=slo.lost, set_up_s=slo.set_up_s),
            subjects=[self._subject(name) for name in self._judged],
        )

    def save(self) -> None:
        """Write capacity.json. Raises ResultsError."""
        folder = self._campaign.folder
        try:
            tables.write_json(folder / capacity.FILE, plain(self.record))
        except OSError as error:
            raise unwritable(folder, error) from error


def _at(rows: list[ProbeRow], value: float, verdict: str) -> str:
    """What limited the last probe of a value with that verdict."""
    return next((row.limited_by for row in reversed(rows) if row.value == value and row.verdict == verdict), "")


def _distinct(cells: list[Cell]) -> list[dict[str, object]]:
    kept: list[dict[str, object]] = []
    for cell in cells:
        if dict(cell.settings) not in kept:
            kept.append(dict(cell.settings))
    return kept
