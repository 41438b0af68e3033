"""What became of one metric of one subject: its ratio tested, and the verdict once p is adjusted for all that were.

Invariant: the side that a change points to comes from its values alone; whether it is a difference, and whether that is
a regression, is decided in `judged`. Counts of faults are exact, and judged as such. Called by `baseline`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.metrics import Metric
from rtbench.analysis.regression.changes import Change
from rtbench.analysis.regression.t_tests import paired, welch

FALSE_DISCOVERIES = 0.05
"""The share of false ones that is accepted among the differences that are said."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One metric of one subject before and now: attempt (a block has one or more) to the value that counts."""

    was: Mapping[int, float]
    now: Mapping[int, float]
    paired: bool


def trials(evidence: Evidence, item: str) -> list[Trial]:
    return [result.trial for result in evidence.of(item)]


def values_of(evidence: Evidence, item: str, metric: str) -> dict[int, float]:
    """The metric by attempt, where it has a value that counts."""
    return {block: v for block, v in evidence.values[metric][item].items() if v is not None and math.isfinite(v)}


def faults(before: Evidence, now: Evidence, name: str, was: str, is_: str, metric: Metric) -> Iterator[Change]:
    """A count of faults, exactly. Worse: some where there were none, or in most trials a larger share than in any
    before; better: the same the other way round."""
    counts = [values_of(evidence, item, metric.name) for evidence, item in ((before, was), (now, is_))]
    if not counts[0] or not counts[1]:
        return
    of = "subscribers" if metric.name == "connections_failed" else "expected"
    shares = []
    for evidence, item, found in ((before, was, counts[0]), (now, is_, counts[1])):
        whole = values_of(evidence, item, "expected") if of == "expected" else {}
        sizes = {t.attempt_key: t.subscribers for t in trials(evidence, item)} if of == "subscribers" else whole
        shares.append([value / (sizes.get(block) or 1) for block, value in found.items()])
    first, second = (float(sum(found.values())) for found in counts)
    worse = second > 0 and (first == 0 or float(np.median(shares[1])) > max(shares[0]))
    better = first > 0 and (second == 0 or float(np.median(shares[0])) > max(shares[1]))
    said = "worse" if worse else "better" if better else "no difference seen"
    yield Change(name, metric.name, metric.unit, first, second, None, None, None, said, worse)


def tested(name: str, metric: Metric, sides: Sides, obstacles: Sequence[str]) -> Change:
    """The ratio with its interval and raw p, the verdict still open; or "not comparable" with the reason."""
    ratio: float | None
    low: float | None
    high: float | None
    before, now = (float(np.median(list(side.values()))) if side else None for side in (sides.was, sides.now))

    def aside(why: str) -> Change:
        return Change(name, metric.name, metric.unit, before, now, None, None, None, "not comparable", False, why)

    if obstacles and not metric.name.endswith("bytes_per_message"):
        return aside(obstacles[0])
    if not sides.was or not sides.now:
        return aside(f"no valid value {'before' if not sides.was else 'now'}")
    blocks = sorted(sides.was.keys() & sides.now.keys())
    was, is_ = ([side[b] for b in (blocks if sides.paired else side)] for side in (sides.was, sides.now))
    if len(was) < 2 or len(is_) < 2:
        return aside("two trials of each are needed")
    test = paired if sides.paired else welch
    if min(*was, *is_) <= 0:  # zero has no logarithm: tested as they are, no ratio
        difference, _, _, p = test(np.array(was), np.array(is_))
        ratio = low = high = None
    else:
        difference, low, high, p = test(np.log(was), np.log(is_))
        ratio, low, high = math.exp(difference), math.exp(low), _exp(high)
        before, now = float(stats.gmean(was)), float(stats.gmean(is_))
    said = "worse" if difference > 0 else "better"
    if _same(was) and _same(is_):  # sizes often are the same in every trial: no chance is in them, nothing to test
        said = said if p < 1 else "no difference seen"
        return Change(name, metric.name, metric.unit, before, now, ratio, low, high, said, False)
    return Change(name, metric.name, metric.unit, before, now, ratio, low, high, said, False, p=p)


def _same(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * abs(max(values))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def judged(change: Change, metric: Metric, floor: Mapping[str, float] | None, tolerance: float) -> Change:
    """The verdict, now that p is adjusted. `change.verdict` is the side it points to (lower is better in JUDGED)."""
    if change.verdict == "no difference seen":
        return change
    if change.p is not None and change.p > FALSE_DISCOVERIES:
        alone = change.low is not None and change.high is not None and not change.low <= 1 <= change.high
        why = "its interval alone would say one; not among so many" if alone else ""
        return replace(change, verdict="no difference seen", why=why)
    least = (floor or {}).get(metric.name, 1.0)
    if change.ratio is not None and abs(math.log(change.ratio)) <= math.log(least):
        return replace(change, verdict="no difference seen", why=f"below the noise floor of {least - 1:.1%}")
    worse = change.verdict == "worse"
    beyond = worse and (change.ratio is None or change.ratio > tolerance)
    return replace(change, regression=beyond, why="within the tolerance" if worse and not beyond else "")
