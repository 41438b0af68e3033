"""Several campaigns of one scenario combined: a random-effects summary of their log-ratios (R8).

`across_stacks` combines stacks in the same way; for it, read "stack" where this page says "campaign".
Model: each campaign estimates a ratio of its own, whose logarithm is drawn around the mean that is asked for with a
standard deviation tau; what differs between campaigns (the hour, the neighbours on the host, the seed) is in tau and in
no campaign's own interval. tau² is DerSimonian and Laird's (Control. Clin. Trials 7:177, 1986), I² Higgins and
Thompson's (Stat. Med. 21:1539, 2002). The interval is Hartung, Knapp, Sidik and Jonkman's t-interval with k − 1 degrees
of freedom (Stat. Med. 20:3875, 2001; 21:3153, 2002), its variance at least that of the weights alone (Röver, Knapp and
Friede, BMC Med. Res. Methodol. 15:99, 2015), because campaigns that agree by chance do not make it narrower. A
campaign's own error comes from the residual variance of all campaigns together: one machine and one scenario have one
noise, and weights from the few blocks of each alone cost coverage (92 % for five campaigns of three blocks). Where
that variance is missing (one block each, or the same in every trial), all campaigns weigh the same. The prediction
interval is for the next campaign (Higgins, Thompson and Spiegelhalter, J. R. Stat. Soc. A 172:137, 2009). Simulated by
`benchmarks/coverage.py`. Called by the evidence and by `across_stacks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE, Estimate, Values, bounded_exp, compare, estimate


@dataclass(frozen=True, slots=True)
class Effects:
    """The summary, on the log scale."""

    mean: float
    error: float
    """Standard error of the mean, with `freedom` degrees."""
    freedom: int
    tau: float | None
    """Standard deviation between campaigns; None where no campaign's own variance is known."""
    i2: float | None
    """The share of the campaigns' spread that is more than their own errors explain."""
    predicted: tuple[float, float] | None
    """Where the next campaign's log-ratio is expected, 95 %; None with two campaigns, or without tau."""


def combine(means: Sequence[float], errors: Sequence[float | None]) -> Effects:
    """Combine the log-ratios of two campaigns or more, each with its standard error (None: not known)."""
    y = np.array(means, dtype=np.float64)
    known = [error for error in errors if error is not None]
    freedom = y.size - 1
    if len(known) == y.size and min(known) > 0:
        v = np.array(known, dtype=np.float64) ** 2
        fixed = 1 / v
        q = float((fixed * (y - np.average(y, weights=fixed)) ** 2).sum())
        tau2 = max(0.0, (q - freedom) / float(fixed.sum() - (fixed**2).sum() / fixed.sum()))
        i2 = max(0.0, (q - freedom) / q) if q > 0 else 0.0
        weights = 1 / (v + tau2)
    else:
        spread = float(y.var(ddof=1))
        tau2 = max(0.0, spread - sum(error**2 for error in known) / y.size)
        i2 = tau2 / spread if spread > 0 else 0.0
        weights = np.full(y.size, 1 / spread if spread > 0 else math.inf)
    same = bool(np.isinf(weights).any())  # no spread at all: all campaigns say the same number
    mean = float(y.mean() if same else np.average(y, weights=weights))
    excess = 0.0 if same else float((weights * (y - mean) ** 2).sum()) / freedom
    error = 0.0 if same else math.sqrt(max(1.0, excess) / float(weights.sum()))
    if len(known) < y.size:
        return Effects(mean, error, freedom, None, None, None)
    predicted = None
    if freedom > 1:
        half = student.critical(freedom - 1, CONFIDENCE) * math.hypot(error, math.sqrt(tau2))
        predicted = mean - half, mean + half
    return Effects(mean, error, freedom, math.sqrt(tau2), i2, predicted)


def errors(each: Sequence[Estimate]) -> list[float | None]:
    """Each estimate's standard error, from the residual variance of all of them. Its replicates are its blocks, or its
    campaigns where it is itself combined."""
    known = [(e.sd, e.freedom) for e in each if e.sd is not None]
    if not known:
        return [None] * len(each)
    variance = sum(sd**2 * freedom for sd, freedom in known) / sum(freedom for _, freedom in known)
    return [math.sqrt(variance / (e.campaigns if e.campaigns > 1 else e.blocks)) for e in each]


@dataclass(frozen=True, slots=True)
class Combined:
    """A comparison over several campaigns: the estimate of each, and all together."""

    together: Estimate
    effects: Effects
    each: tuple[tuple[int, Estimate], ...]
    """(which campaign, from 0; its estimate), for those that have both subjects in a block."""

    def row(self, names: Sequence[str]) -> dict[str, Any]:
        """The row of report.json. `names`: of the campaigns."""
        one, found = self.together, self.effects
        predicted = (None, None) if found.predicted is None else tuple(map(bounded_exp, found.predicted))
        return {
            "metric": one.metric, "a": one.a, "b": one.b, "cell": dict(one.cell), "ratio": one.ratio, "low": one.low,
            "high": one.high, "tau": found.tau, "i2": found.i2, "predicted_low": predicted[0],
            "predicted_high": predicted[1],
            "campaigns": [
                {"campaign": names[at], "ratio": e.ratio, "low": e.low, "high": e.high, "blocks": e.blocks}
                for at, e in self.each
            ],
        }  # fmt: skip


def compare_all(
    metric: str,
    values: Values,
    campaigns: Mapping[int, int],
    pairs: Sequence[tuple[str, str]] | None = None,
    cell: Mapping[str, Any] | None = None,
) -> tuple[list[Estimate], list[Combined]]:
    """`compare` within each campaign and then over all; of one campaign, just `compare`.

    `campaigns`: block to the campaign that it is of, from 0. A pair that only one campaign has is that campaign's.
    """
    count = len(set(campaigns.values()))
    if count < 2:
        return compare(metric, values, pairs, cell=cell), []
    found: dict[tuple[str, str], list[tuple[int, Estimate]]] = {}
    for at in sorted(set(campaigns.values())):
        mine = {name: {b: v for b, v in row.items() if campaigns[b] == at} for name, row in values.items()}
        for one in compare(metric, mine, pairs, cell=cell):
            found.setdefault((one.a, one.b), []).append((at, one))
    combined = [_combined(tuple(each)) for each in found.values() if len(each) > 1]
    together = {(one.together.a, one.together.b): one.together for one in combined}
    return [together.get(pair, each[0][1]) for pair, each in found.items()], combined


def _combined(each: tuple[tuple[int, Estimate], ...]) -> Combined:
    first = each[0][1]
    effects = combine([math.log(e.ratio) for _, e in each], errors([e for _, e in each]))
    together = estimate(
        first.metric, first.a, first.b, effects.mean, effects.error, effects.freedom,
        blocks=sum(e.blocks for _, e in each), pooled=any(e.pooled for _, e in each),
        sd=effects.error * math.sqrt(len(each)), campaigns=len(each), cell=first.cell,
    )  # fmt: skip
    return Combined(together, effects, each)
