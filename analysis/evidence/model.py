"""The evidence as values: trials measured, subjects, summaries, comparisons, noise floor, calibration.

Invariant: nothing here is computed from raw files; look-ups only. Made by `gathering`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from rtbench.analysis.campaigns.load import Campaign
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.samples.series import Series
from rtbench.analysis.samples.stalls import Stall
from rtbench.analysis.statistics.across_stacks import AcrossStacks
from rtbench.analysis.statistics.compare import Estimate, Summary, Values
from rtbench.analysis.statistics.judgement import Comparison, Family, judge
from rtbench.analysis.statistics.noise import Noise
from rtbench.analysis.statistics.power import Floor
from rtbench.analysis.statistics.random_effects import Combined, compare_all
from rtbench.scenario.tables import EquivalenceTable

USABLE_NEEDED = 2
"""Trials that a subject needs before anything is concluded: fewer have no interval. Below it: exit 3."""

ARMS = ("controlled", "idiomatic")


class NoiseFloor(TypedDict):
    """The noise floor as report.json has it: for the number of blocks that the campaign has (R9)."""

    source: str
    """"campaign": its own A/A pairs; "calibration": this machine's."""
    pairs: list[list[str]]
    blocks: int
    metrics: dict[str, float]
    """A ratio ≥ 1: nothing smaller is called a difference."""


class CheckRow(TypedDict):
    """One known truth as calibration.json has it (R16); `deviation` is measured less expected, in `unit`."""

    name: str
    expected: float
    measured: float
    unit: str
    allowed: str
    met: bool
    deviation: float


class NoiseRow(TypedDict):
    """Standard deviation of the log-ratio of two labels in one block, and from how many blocks."""

    sd: float
    blocks: int


class NoiseTable(TypedDict, total=False):
    """Where the noise of a calibration comes from ("calibrate", "aa"), and that of every metric."""

    source: str
    metrics: dict[str, NoiseRow]


class Calibration(TypedDict, total=False):
    """The keys of a calibration.json that are read; other keys are kept as they are."""

    file: str
    """Its name, when it was named by `--calibration`; missing for what the campaign kept."""
    environment: dict[str, Any]
    measured_unix: float
    checks: list[CheckRow]
    noise: NoiseTable
    loopback: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """One trial, measured. `metrics` is empty and `series` None for a failed one."""

    trial: Trial
    metrics: Mapping[str, float | None]
    series: Series | None
    framed_bytes_per_message: float | None = None
    """The TCP stream bytes of the window's ticks by the specifications; None where they depend on more."""

    @property
    def stall(self) -> Stall | None:
        """The trial's stall, if it has one."""
        return None if self.series is None else self.series.stall

    def usable(self, metric: str) -> float | None:
        """The metric's value if it counts."""
        return None if self.trial.spoils(metric) else self.metrics.get(metric)


@dataclass(frozen=True, slots=True)
class ComparedSubject:
    """A subject with its identity and how many of its trials are usable."""

    name: str
    transport: str
    stack: str
    arm: str
    technique: str
    trials: int
    usable: int
    row: Mapping[str, Any]
    base: str
    """Its name without the cell; the same as `name` without a sweep."""
    cell: Mapping[str, Any]
    """The sweep's settings for it, dotted key to value."""
    twin: int = 0
    """The number, from 1, of a subject that has the transport, stack and proxy of an earlier one (base and head, an A/A
    pair): figures draw it apart. 0: it is the first."""
    hollow: bool = False
    """It stands beside the controlled arm and is not of it, where arms say something (`naming.apart`): figures draw it
    hollow (R10)."""

    @property
    def proxy(self) -> str:
        """The proxy that it was measured behind; empty: none."""
        return str(self.row.get("proxy") or "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The whole evidence, in the order of the scenario."""

    campaign: Campaign
    results: tuple[Result, ...]
    subjects: tuple[ComparedSubject, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    combined: tuple[Combined, ...]
    """Of several campaigns: each one's estimates, and how far they agree; empty for one."""
    values: Mapping[str, Values]
    """Metric to subject to attempt at a block (`Trial.attempt_key`) to the value that counts."""
    noise_floor: NoiseFloor | None
    """None without an A/A control (R9)."""
    warnings: tuple[dict[str, Any], ...]
    """The warnings of campaign and trials, and of files that could not be read."""
    calibration: Calibration | None
    noises: Mapping[str, Noise]
    """Metric to the noise behind its floor; empty without an A/A control."""
    headline: tuple[str, ...]
    """The metrics of the comparison matrices."""
    families: tuple[Family, ...]
    """The families of `comparisons`: how many each has, and how many of its verdicts stand together."""
    matrix: tuple[AcrossStacks, ...] = ()
    """Transports beside SSE over the stacks (`stacks`); empty where no transport is on two."""

    @property
    def latency(self) -> str:
        """The headline latency: the kernel's where one is known (R2), else the application's."""
        return self.headline[0]

    @property
    def swept(self) -> bool:
        """Whether this campaign is a sweep."""
        return any(s.cell for s in self.subjects)

    def summary(self, subject: str, metric: str) -> Summary | None:
        found = (s for s in self.summaries if s.subject == subject and s.metric == metric)
        return next(found, None)

    def comparison(self, metric: str, a: str, b: str) -> Comparison | None:
        """`a` against `b`, whichever way round it was compared; None where no block has both."""
        sides = {(c.a, c.b): c for c in self.comparisons if c.metric == metric and {c.a, c.b} == {a, b}}
        if (a, b) in sides:
            return sides[a, b]
        return sides[b, a].inverse() if sides else None

    def known(self, metric: str) -> bool:
        """Whether some subject has a value of it."""
        return any(s.metric == metric and s.median is not None for s in self.summaries)

    @property
    def margin(self) -> float:
        """The declared margin of equivalence, as a share."""
        return margin_of(self.campaign)

    def floor_of(self, metric: str) -> Floor | None:
        """The noise floor of a metric by number of blocks; None where it is not known."""
        found = self.noises.get(metric)
        return None if found is None else found.floor

    def estimate(self, metric: str, values: Values, a: str, b: str) -> Estimate | None:
        """A pair that is not among the comparisons, as of two cells of a sweep; None where no block has both."""
        found, _ = compare_all(metric, values, campaign_of_attempt(self.results), [(a, b)])
        return found[0] if found else None

    def judge(self, estimates: Sequence[Estimate], family: str) -> tuple[Comparison, ...]:
        """More comparisons, as a family of their own, judged as those of the report are."""
        return judge(estimates, family, self.margin, self.floor_of)[0]

    def of(self, subject: str) -> list[Result]:
        return [r for r in self.results if r.trial.item == subject]

    @property
    def names(self) -> list[str]:
        """The subjects' names."""
        return [s.name for s in self.subjects]

    @property
    def arms(self) -> list[tuple[str, list[ComparedSubject]]]:
        """The arms that there are, controlled first, each with its subjects (R10)."""
        names = sorted({s.arm for s in self.subjects}, key=lambda a: (ARMS.index(a) if a in ARMS else len(ARMS), a))
        return [(arm, [s for s in self.subjects if s.arm == arm]) for arm in names]

    @property
    def too_few(self) -> list[ComparedSubject]:
        return [s for s in self.subjects if s.usable < USABLE_NEEDED]


def total(results: Iterable[Result], kind: str) -> int:
    """An exact count (`lost`, …) over trials; one that was not measured adds nothing."""
    return sum(int(r.metrics.get(kind) or 0) for r in results)


def margin_of(campaign: Campaign) -> float:
    """The margin of equivalence that a campaign's scenario declares, else the default."""
    table = (campaign.document.get("scenario") or {}).get("equivalence") or {}
    return float(table.get("margin") or EquivalenceTable().margin)


def campaign_of_attempt(results: Sequence[Result]) -> dict[int, int]:
    """Attempt at a block (`Trial.attempt_key`, unique over all folders) to the folder that it is of, from 0."""
    folders = list(dict.fromkeys(r.trial.directory.parent.parent for r in results))
    return {r.trial.attempt_key: folders.index(r.trial.directory.parent.parent) for r in results}


def alone(evidence: Evidence, cell: Mapping[str, Any]) -> Evidence:
    """One cell of a sweep as a campaign of its own, its subjects under their own names. No number is made anew:
    intervals, verdicts and what they were controlled for stay those of the whole."""
    mine = {s.name: s.base for s in evidence.subjects if s.cell == cell}
    return replace(
        evidence,
        results=tuple(replace(r, trial=replace(r.trial, cell={})) for r in evidence.results if r.trial.cell == cell),
        subjects=tuple(
            replace(s, name=s.base, cell={}, row={**s.row, "subject": s.base, "cell": {}})
            for s in evidence.subjects
            if s.name in mine
        ),
        summaries=tuple(replace(s, subject=mine[s.subject]) for s in evidence.summaries if s.subject in mine),
        comparisons=tuple(
            replace(c, a=mine[c.a], b=mine[c.b], cell={}) for c in evidence.comparisons if c.cell == cell
        ),
        combined=tuple(
            replace(c, together=replace(c.together, a=mine[c.together.a], b=mine[c.together.b], cell={}))
            for c in evidence.combined
            if c.together.cell == cell
        ),
        values={metric: {base: rows[name] for name, base in mine.items()} for metric, rows in evidence.values.items()},
        matrix=tuple(replace(row, stacks=_bare(row, mine), cell={}) for row in evidence.matrix if row.cell == cell),
    )


def _bare(row: AcrossStacks, names: Mapping[str, str]) -> tuple[tuple[str, Comparison], ...]:
    """Its comparisons between subjects under their own names."""
    return tuple((stack, replace(c, a=names[c.a], b=names[c.b], cell={})) for stack, c in row.stacks)
