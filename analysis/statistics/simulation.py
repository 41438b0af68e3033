"""Tests the intervals and verdicts of a report on simulated campaigns whose truth is known (R8).

Invariant: the simulations run the code of reports (`compare`, `judgement`, `random_effects`, `across_stacks`, `power`,
`line`); only the logarithms are drawn, from a seed. Residuals are scaled to one standard deviation and centred, so that
the true ratio of two subjects is 1 whatever their shapes. Called by `benchmarks/coverage.py`, which prints the
tables of docs/explanation/statistics-tables.md, and by the tests that guard them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import line, student
from rtbench.analysis.statistics.across_stacks import StacksVerdict, across
from rtbench.analysis.statistics.compare import CONFIDENCE, Estimate, compare, pair, residual_of
from rtbench.analysis.statistics.judgement import DIFFERENT, Comparison, Verdict, judge
from rtbench.analysis.statistics.power import blocks_needed
from rtbench.analysis.statistics.random_effects import combine, errors

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SD = 0.05
"""Residual standard deviation of a log: 5 %, what trials of `ci` show. Coverage does not depend on it."""

BLOCK_SD = 0.5
"""Of what a block has in common, ten times as large: it has to drop out."""


def _normal(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return rng.standard_normal(size)


def _log_normal(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    """exp of a standard normal: skewness 6.2, excess kurtosis 111; on logs, much worse than latencies are."""
    spread = math.sqrt((math.e - 1) * math.e)
    return (np.exp(rng.standard_normal(size)) - math.exp(0.5)) / spread


SLOW_SHARE, SLOW_SDS = 0.1, 6.0


def _slow(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    """One trial in ten is slow by six standard deviations (a neighbour on the host, a burst of interrupts)."""
    hit = rng.random(size) < SLOW_SHARE
    values = rng.standard_normal(size) + SLOW_SDS * hit - SLOW_SDS * SLOW_SHARE
    return values / math.sqrt(1 + SLOW_SDS**2 * SLOW_SHARE * (1 - SLOW_SHARE))


SHAPES: Mapping[str, Draw] = {"normal": _normal, "log-normal": _log_normal, "slow trials": _slow}


@dataclass(frozen=True, slots=True)
class SimulatedCase:
    """How the residuals of a pair are drawn; all other subjects are like the second one."""

    name: str
    first: str = "normal"
    others: str = "normal"
    noisier: float = 1.0
    """The first subject's standard deviation, in those of the others."""

    def table(self, rng: np.random.Generator, subjects: int, blocks: int) -> Floats:
        """Logarithms, subjects × blocks, without any true difference."""
        left = SHAPES[self.others](rng, (subjects, blocks))
        left[0] = self.noisier * SHAPES[self.first](rng, (blocks,))
        return SD * left + BLOCK_SD * rng.standard_normal(blocks)


CASES = (
    SimulatedCase("normal"),
    SimulatedCase("normal, one of the pair 3× as noisy", noisier=3.0),
    SimulatedCase("log-normal, all alike", "log-normal", "log-normal"),
    SimulatedCase("slow trials, all alike", "slow trials", "slow trials"),
    SimulatedCase("log-normal, only one of the pair", "log-normal", "normal"),
    SimulatedCase("slow trials, only one of the pair", "slow trials", "normal"),
)


def coverage(case: SimulatedCase, blocks: int, subjects: int, campaigns: int = 2000, seed: int = 1) -> float:
    """Share of campaigns whose interval of subject 0 against 1 holds the truth."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(campaigns):
        table = case.table(rng, subjects, blocks)
        shared = residual_of(table) if subjects > 2 else None
        found = pair("simulated", "0", "1", table[0] - table[1], shared, confidence=0.95)
        held += found.low is not None and found.high is not None and found.low <= 1 <= found.high
    return held / campaigns


KEYS = (100.0, 250.0, 700.0, 2000.0, 5000.0)


@dataclass(frozen=True, slots=True)
class Lines:
    """Of simulated sweeps: shares of campaigns."""

    exponent: float
    """Whose interval holds the true exponent."""
    bends: float
    """That call a straight line bent (nominal 0.05)."""
    crossover: float
    """In which the true crossover is inside what is undecided."""
    resolved: float
    """In which one crossover is resolved at all."""


def lines(shape: str, blocks: int, campaigns: int = 2000, seed: int = 1) -> Lines:
    """Sweeps over KEYS of two subjects with exponents 1.0 and 0.7 that cross at key 600."""
    rng = np.random.default_rng(seed)
    x, exponent, slope, zero = np.log(np.array(KEYS)), 1.0, 0.3, math.log(600.0)
    held = bends = inside = resolved = 0
    for _ in range(campaigns):
        # A block's effect is mostly shared; what each subject makes of it is as large as the noise of a trial.
        block = BLOCK_SD * rng.standard_normal(blocks)
        a, b = (SD * (SHAPES[shape](rng, (x.size, blocks)) + rng.standard_normal(blocks)) + block for _ in range(2))
        a += exponent * x[:, None]
        b += (exponent - slope) * x[:, None] + slope * zero
        fit, bend = line.slope(x, a), line.bend(x, a)
        held += fit.low <= exponent <= fit.high
        bends += bend is not None and not bend.low <= 0 <= bend.high
        spans = line.undecided(x, a - b)
        inside += any((s.low is None or s.low <= zero) and (s.high is None or zero <= s.high) for s in spans)
        resolved += len(spans) == 1 and spans[0].low is not None and spans[0].high is not None
    return Lines(held / campaigns, bends / campaigns, inside / campaigns, resolved / campaigns)


@dataclass(frozen=True, slots=True)
class Discoveries:
    """Of simulated reports: with each interval alone, and after control."""

    comparisons: int
    any_alone: float
    """Share of reports with at least one false difference, each interval looked at alone."""
    any_controlled: float
    rate_alone: float
    """False differences among all that are called, mean over reports (0 where none is called)."""
    rate_controlled: float
    found_alone: float
    """Share of the true differences that are called."""
    found_controlled: float


def discoveries(
    shape: str, blocks: int, effects: Sequence[float], metrics: int = 5, campaigns: int = 300, seed: int = 1
) -> Discoveries:
    """Reports of subjects whose true logs are `effects`, in `metrics` metrics that share half of their noise."""
    rng = np.random.default_rng(seed)
    names = [str(i) for i in range(len(effects))]
    truth = {(a, b): effects[int(a)] != effects[int(b)] for a in names for b in names}
    sums = np.zeros(6)
    count = 0
    for _ in range(campaigns):
        common = SHAPES[shape](rng, (len(names), blocks))
        rows: list[Estimate] = []
        for metric in range(metrics):
            left = (common + SHAPES[shape](rng, common.shape)) / math.sqrt(2)
            logs = SD * left + np.array(effects)[:, None] + BLOCK_SD * rng.standard_normal(blocks)
            values = {n: dict(enumerate(np.exp(row).tolist())) for n, row in zip(names, logs, strict=True)}
            rows += compare(f"metric {metric}", values)
        count = len(rows)
        alone = [_judged(row) for row in rows]
        controlled, _ = judge([replace(row, sd=None) for row in rows], "simulated", MARGIN, lambda _: None)
        for at, verdicts in ((0, alone), (1, controlled)):
            called = [row for row in verdicts if row.different]
            false = sum(not truth[row.a, row.b] for row in called)
            there = sum(truth[row.a, row.b] for row in verdicts)
            sums[at] += false > 0
            sums[2 + at] += false / max(1, len(called))
            sums[4 + at] += (len(called) - false) / there if there else 0.0
    return Discoveries(count, *(float(share) for share in sums / campaigns))


MARGIN = 0.05

VERDICTS: tuple[Verdict, ...] = (*DIFFERENT, "equivalent", "not resolved", "too few blocks")


def _judged(one: Estimate) -> Comparison:
    """A comparison as the only one of its family, without the number of blocks that would settle it."""
    return judge([replace(one, sd=None)], "simulated", MARGIN, lambda _: None)[0][0]


def statements(
    case: SimulatedCase, sd: float, blocks: int, subjects: int, ratio: float, campaigns: int = 2000, seed: int = 1
) -> dict[Verdict, float]:
    """Shares of campaigns in which subject 0 beside 1, truly `ratio` apart, gets each verdict, judged alone.

    `sd`: residual standard deviation of a log.
    """
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(VERDICTS, 0)
    for _ in range(campaigns):
        table = case.table(rng, subjects, blocks) * (sd / SD)
        shared = residual_of(table) if subjects > 2 else None
        logs = table[0] - table[1] + math.log(ratio)
        counts[_judged(pair("simulated", "0", "1", logs, shared)).verdict] += 1
    return {verdict: count / campaigns for verdict, count in counts.items()}


def combined_coverage(
    shape: str, campaigns: int, blocks: int, tau: float, repetitions: int = 2000, seed: int = 1
) -> float:
    """Share of combinations of so many campaigns whose interval holds the truth. `tau`: of the log-ratio."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(repetitions):
        each = []
        for _ in range(campaigns):
            table = SD * SHAPES[shape](rng, (2, blocks))
            found = pair("simulated", "0", "1", table[0] - table[1] + tau * rng.standard_normal(), None)
            each.append(found)
        whole = combine([math.log(one.ratio) for one in each], errors(each))
        held += abs(whole.mean) <= student.critical(whole.freedom, CONFIDENCE) * whole.error
    return held / repetitions


@dataclass(frozen=True, slots=True)
class OverStacks:
    """Of simulated campaigns over stacks: shares."""

    summary: float
    """Whose summary's interval holds the mean over all stacks that there could be."""
    predicted: float
    """Whose prediction interval holds the ratio of one more stack."""
    width: float
    """The factor from one end of the prediction interval to the other, the median over campaigns."""
    verdicts: Mapping[StacksVerdict, float]


STACKS_VERDICTS: tuple[StacksVerdict, ...] = get_args(StacksVerdict)


def over_stacks(
    effects: Sequence[float] | int,
    blocks: int,
    *,
    tau: float = 0.0,
    between: str = "normal",
    case: SimulatedCase = CASES[0],
    campaigns: int = 2000,
    seed: int = 1,
) -> OverStacks:
    """Campaigns of two transports on several stacks, paired in blocks and judged together as a report does.

    `effects`: the true log-ratio of each stack, or how many stacks; `tau`: what is drawn on top of it for each stack
    anew, with mean 0 and the shape `between`.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(effects) if isinstance(effects, int) else np.array(effects)
    counts = dict.fromkeys(STACKS_VERDICTS, 0)
    summary = predicted = 0
    widths = []
    for _ in range(campaigns):
        table = case.table(rng, 2 * means.size, blocks)
        *truths, next_one = (tau * SHAPES[between](rng, (means.size + 1,))).tolist()
        logs = table[: means.size] - table[means.size :] + (means + truths)[:, None]
        shared = residual_of(table)
        estimates = [pair("simulated", str(i), "sse", row, shared) for i, row in enumerate(logs)]
        judged, _ = judge([replace(one, sd=None) for one in estimates], "simulated", MARGIN, lambda _: None)
        each = {one.a: replace(verdict, sd=one.sd) for one, verdict in zip(estimates, judged, strict=True)}
        found = across("simulated", "a", "b", each)
        counts[found.verdict] += 1
        assert found.summary is not None and found.effects is not None
        limits = found.effects.predicted
        center = float(means.mean())
        low, high = found.summary.limits(CONFIDENCE) or (0.0, 0.0)
        summary += low <= center <= high
        predicted += limits is not None and limits[0] <= center + next_one <= limits[1]
        widths += [] if limits is None else [limits[1] - limits[0]]
    width = math.exp(float(np.median(widths))) if widths else math.inf
    shares = {verdict: count / campaigns for verdict, count in counts.items()}
    return OverStacks(summary / campaigns, predicted / campaigns, width, shares)


def detected(sd: float, subjects: int, blocks: int, effect: float, campaigns: int = 2000, seed: int = 1) -> float:
    """Share of campaigns of so many blocks that call a true ratio of `effect` a difference, subjects alike in noise.

    `sd`: of a pair's log-ratio in one block.
    """
    found = statements(CASES[0], sd / math.sqrt(2), blocks, subjects, effect, campaigns, seed)
    return found["a lower" if effect < 1 else "a higher"]


def power(sd: float, subjects: int, campaigns: int = 2000) -> tuple[int, float, float]:
    """The blocks predicted to settle 5 %; of simulated campaigns of that many blocks, the share that call a ratio of
    1.05 a difference, and the share that call a ratio of 1 equivalent."""
    needed = blocks_needed(sd, level=0.05, margin=MARGIN)
    assert needed is not None
    same = statements(CASES[0], sd / math.sqrt(2), needed, subjects, 1.0, campaigns)["equivalent"]
    return needed, detected(sd, subjects, needed, 1 + MARGIN, campaigns), same
