"""All that a report is rendered from: every trial's metrics, what they say together, and what speaks against
believing them.

Invariant: computed from the raw files alone and in their order, so the same folder gives the same evidence. Trials
are read one at a time; one that turns out damaged is put aside with a warning. A metric of a trial counts only when
no reason of the trial spoils it (R13). In a sweep each subject is there once a cell, under the name `SUBJECT [CELL]`,
and only those of one cell are compared. Called by the report and the baseline comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, cast

import numpy as np

from rtbench.analysis.campaigns.load import Campaign, changed, damaged
from rtbench.analysis.campaigns.trials import Trial, item_name
from rtbench.analysis.metrics import catalogue, measure
from rtbench.analysis.samples.framing import FRAMED
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.samples.series import Series, reduce
from rtbench.analysis.samples.stalls import Stall
from rtbench.analysis.statistics.compare import Comparison, Summary, Values, compare, summarise
from rtbench.analysis.statistics.multiplicity import Family, control
from rtbench.analysis.statistics.noise import Noise, noise, pairs
from rtbench.errors import ResultsError

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
    """What is read of a calibration.json; other keys are kept as they are."""

    environment: dict[str, Any]
    measured_unix: float
    checks: list[CheckRow]
    noise: NoiseTable


@dataclass(frozen=True, slots=True)
class Result:
    """One trial, measured. `metrics` is empty and `series` None for a failed one."""

    trial: Trial
    metrics: Mapping[str, float | None]
    series: Series | None
    framed_bytes_per_message: float | None = None
    """What the specifications make of the window's ticks on the TCP stream; None where that depends on more."""

    @property
    def stall(self) -> Stall | None:
        """What stood still in it, if something did."""
        return None if self.series is None else self.series.stall

    def usable(self, metric: str) -> float | None:
        """The metric's value if it may be believed."""
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
    """Its name without the cell; the same as `name` when there is no sweep."""
    cell: Mapping[str, Any]
    """What the sweep sets for it, dotted key to value."""

    @property
    def proxy(self) -> str:
        """The proxy that it was measured behind; empty: none."""
        return str(self.row.get("proxy") or "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The whole of it, in the order of the scenario."""

    campaign: Campaign
    results: tuple[Result, ...]
    subjects: tuple[ComparedSubject, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    values: Mapping[str, Values]
    """Metric to subject to block to the value that counts."""
    noise_floor: NoiseFloor | None
    """None without an A/A control (R9)."""
    warnings: tuple[dict[str, Any], ...]
    """What campaign and trials warned of, and what could not be read."""
    calibration: Calibration | None
    noises: Mapping[str, Noise]
    """Metric to what the floor is made of; empty without an A/A control."""
    headline: tuple[str, ...]
    """The metrics of the comparison matrices."""
    families: tuple[Family, ...]
    """How many comparisons were made, and how many of their verdicts stand together."""

    @property
    def latency(self) -> str:
        """The latency that is headlined: the kernel's where one is known (R2), else the application's."""
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

    def floor(self, metric: str) -> float | None:
        """The noise floor of a metric, a ratio ≥ 1; None where it is not known."""
        return self.noise_floor["metrics"].get(metric) if self.noise_floor else None

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


def gather(campaign: Campaign, calibration: Mapping[str, Any] | None = None) -> Evidence:
    """Measure every trial of a campaign and draw the comparisons.

    `calibration`: this machine's newest one, for a campaign of this machine that was measured before there was any.
    """
    known = cast("Calibration | None", campaign.document.get("calibration") or _of_machine(campaign, calibration))
    results: list[Result] = []
    warnings = list(campaign.warnings)
    shown: set[str] = set()
    for trial in campaign:
        result, warning = _measure(trial, timeline=trial.item not in shown)
        results.append(result)
        warnings += [warning] if warning else []
        if result.series is not None:
            shown.add(trial.item)
    subjects = tuple(_subject(row, cell, results) for cell in campaign.cells for row in campaign.subjects)
    names = [s.name for s in subjects]
    summaries, comparisons = [], []
    values_of = {
        metric.name: {name: values_by_block(results, name, metric.name) for name in names} for metric in catalogue()
    }
    for metric in catalogue():
        logarithmic = metric.unit not in ("share", "messages", "connections")
        for subject in subjects:
            values = list(values_of[metric.name][subject.name].values())
            summaries.append(summarise(subject.name, metric.name, metric.unit, values, logarithmic=logarithmic))
    noises, source = _noise(names, values_of, known)
    for metric in catalogue():
        for cell in campaign.cells if metric.compared else ():
            here = {s.name: values_of[metric.name][s.name] for s in subjects if s.cell == cell}
            comparisons += compare(metric.name, here, cell=cell)
    headline = headline_metrics(summaries)
    judged, families = control(comparisons, headline, lambda metric: noises[metric].floor if metric in noises else None)
    return Evidence(
        campaign=campaign,
        results=tuple(results),
        subjects=subjects,
        summaries=tuple(summaries),
        comparisons=judged,
        values=values_of,
        noise_floor=_noise_floor(names, values_of, noises, source),
        warnings=tuple(warnings),
        calibration=known,
        noises=noises,
        headline=headline,
        families=families,
    )


def _of_machine(campaign: Campaign, calibration: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The calibration if it is of the machine that the campaign was measured on."""
    mine = ((calibration or {}).get("environment") or {}).get("machine")
    here = (campaign.document.get("environment") or {}).get("machine")
    return calibration if mine is not None and mine == here else None


def headline_metrics(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """What the matrices and the curves of a sweep show, where it was measured: the latency that is headlined (the
    kernel's where one is known, R2, else the application's), its tails over subscribers and in time, costs, memory and
    recovery. The first family of the multiplicity control."""
    kernel = any(s.metric == "latency_kernel_p50_ns" and s.median is not None for s in summaries)
    latency = "latency_kernel" if kernel else "latency_app"
    return (
        f"{latency}_p50_ns", f"{latency}_within_tick_p99_ns", f"{latency}_p99_ns", "server_cpu_ns_per_message",
        "machine_busy_ns_per_message", "tcp_down_bytes_per_message", "server_memory_bytes_per_connection",
        "recovery_p50_ns",
    )  # fmt: skip


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
        values={metric: {base: rows[name] for name, base in mine.items()} for metric, rows in evidence.values.items()},
    )


def _measure(trial: Trial, timeline: bool) -> tuple[Result, dict[str, Any] | None]:
    if not trial.measured:
        return Result(trial, {}, None), None
    try:
        differs = trial.verify()
        samples = Samples(trial)
        metrics = measure(samples)
        result = Result(trial, metrics, reduce(samples, timeline), _framed(samples))
    except ResultsError as error:
        aside, warning = damaged(trial, error)
        return Result(aside, {}, None), warning
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if trial.sealed:
            raise  # these are the files that were measured: the fault is ours
        what = f"{trial.directory}: cannot be made sense of ({type(error).__name__}: {error})"
        aside, warning = damaged(trial, ResultsError(what, "the files are damaged; measure again"))
        return Result(aside, {}, None), warning
    return result, changed(differs) if differs else None


def _framed(samples: Samples) -> float | None:
    """Bytes per message by arithmetic, over the ticks of the window as their subscribers see them."""
    size = FRAMED.get(samples.trial.transport)
    ticks, inside = samples.ticks, samples.inside
    weights = samples.audience[inside]
    if size is None or not weights.sum():
        return None
    sizes = [
        size(seq, payload) for seq, payload in zip(ticks["seq"][inside], ticks["payload_bytes"][inside], strict=True)
    ]
    return float(np.average(sizes, weights=weights))


def _subject(row: Mapping[str, Any], cell: Mapping[str, Any], results: Sequence[Result]) -> ComparedSubject:
    name = item_name(row["subject"], cell)
    mine = [r.trial for r in results if r.trial.item == name]
    return ComparedSubject(
        name=name,
        transport=row.get("transport", "unknown"),
        stack=row.get("stack", "unknown"),
        arm=row.get("arm", "controlled"),
        technique=row.get("technique", "unknown"),
        trials=len(mine),
        usable=len({t.block for t in mine if t.status == "ok"}),
        row={**row, "subject": name, "base": row["subject"], "cell": dict(cell)},
        base=row["subject"],
        cell=cell,
    )


def values_by_block(results: Sequence[Result], subject: str, metric: str) -> dict[int, float | None]:
    """A subject's metric by block. Where a block was run again, its last usable trial counts."""
    found: dict[int, float | None] = {}
    for result in results:
        if result.trial.item == subject:
            value = result.usable(metric)
            if value is not None or result.trial.block not in found:
                found[result.trial.block] = value
    return found


def _noise(
    names: Sequence[str], values_of: Mapping[str, Values], calibration: Calibration | None
) -> tuple[dict[str, Noise], str]:
    """Every metric's noise: from the campaign's own A/A pairs, else from the machine's calibration; and which."""
    found = noise(values_of, names)
    if found or not calibration:
        return found, "campaign"
    table = calibration.get("noise") or NoiseTable()
    rows = table.get("metrics") or {}
    return {metric: Noise(row["sd"], row["blocks"]) for metric, row in rows.items()}, "calibration"


def _noise_floor(
    names: Sequence[str], values_of: Mapping[str, Values], noises: Mapping[str, Noise], source: str
) -> NoiseFloor | None:
    """For the number of blocks that the campaign has: a comparison with fewer blocks is held to the wider floor of its
    own number."""
    if not noises:
        return None
    counts = (len({b for b, v in row.items() if v is not None}) for c in values_of.values() for row in c.values())
    blocks = max(counts, default=0)
    return {
        "source": source,
        "pairs": [list(pair) for pair in pairs(names)],
        "blocks": blocks,
        "metrics": {metric: one.floor(blocks) for metric, one in noises.items()},
    }
