"""The verdict on one metric of one subject: its ratio tested, p adjusted over all tests.

Invariant: `judgement` decides what a ratio may claim, as in the report; here the ratio gets its side and the tolerance.
Counts of faults are exact, and judged as such. Called by `baseline`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.metrics import Metric
from rtbench.analysis.regression.changes import Change
from rtbench.analysis.regression.t_tests import Floats, paired, welch
from rtbench.analysis.statistics.compare import LEVEL, Estimate, estimate
from rtbench.analysis.statistics.judgement import ENOUGH, Comparison

FALSE_DISCOVERIES = LEVEL
"""The accepted share of false ones among the claimed differences."""


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
    same = "unchanged" if first == second else "not resolved"
    verdict = "worse" if worse else "better" if better else same
    yield Change(name, metric.name, metric.unit, first, second, None, None, None, verdict, worse)


@dataclass(frozen=True, slots=True)
class Opened:
    """A change whose verdict is open, with its ratio or p to be judged. With neither it is not comparable."""

    change: Change
    estimate: Estimate | None = None
    """Its ratio; of two subjects of one campaign the report's comparison, which is judged already."""
    p: float | None = None
    """Of values with zeros, which have no ratio."""


def opened(
    name: str, metric: Metric, sides: Sides, obstacles: Sequence[str] = (), reported: Comparison | None = None
) -> Opened:
    """The ratio of one metric of one subject; or "not comparable" with the reason. `reported`: the report's comparison
    of the two sides."""
    before, now = (float(np.median(list(side.values()))) if side else None for side in (sides.was, sides.now))

    def change(verdict: str, why: str = "") -> Change:
        return Change(name, metric.name, metric.unit, before, now, None, None, None, verdict, False, why)

    if obstacles and not metric.name.endswith("bytes_per_message"):
        return Opened(change("not comparable", obstacles[0]))
    if not sides.was or not sides.now:
        return Opened(change("not comparable", f"no valid value {'before' if not sides.was else 'now'}"))
    blocks = sorted(sides.was.keys() & sides.now.keys())
    was, is_ = (np.array([side[b] for b in (blocks if sides.paired else side)]) for side in (sides.was, sides.now))
    fewest = min(was.size, is_.size)
    if not fewest:
        return Opened(change("not comparable", "no block has both"))
    if reported is None and min(*was, *is_) <= 0:  # zero has no logarithm: tested as they are, no ratio
        if fewest < ENOUGH:
            return Opened(change("too few blocks"))
        found = (paired if sides.paired else welch)(was, is_)
        side = "worse" if found.difference > 0 else "better" if found.difference < 0 else "unchanged"
        return Opened(change(side), p=found.p)
    before, now = (_geometric(side[(was > 0) & (is_ > 0)] if sides.paired else side) for side in (was, is_))
    return Opened(change("open"), reported or _ratio(name, metric.name, np.log(was), np.log(is_)))


def _geometric(values: Floats) -> float:
    return math.exp(float(np.log(values).mean()))


def _ratio(name: str, metric: str, was: Floats, now: Floats) -> Estimate:
    """Now over before of two campaigns, which share no blocks."""
    fewest = min(was.size, now.size)
    if fewest < 2:
        return estimate(metric, name, "the baseline", float(now.mean() - was.mean()), None, 0, blocks=fewest)
    found = welch(was, now)
    sd = found.error * math.sqrt(fewest)
    return estimate(metric, name, "the baseline", *found, blocks=fewest, sd=sd)


_SIDES = {"a higher": "worse", "a lower": "better"}
"""Lower is better in every metric that is judged."""


def judged(change: Change, found: Comparison, tolerance: float) -> Change:
    """The change with its verdict. A regression: worse, by more than the tolerance."""
    verdict = _SIDES.get(found.verdict, found.verdict)
    beyond = verdict == "worse" and found.ratio > tolerance
    why = "within the tolerance" if verdict == "worse" and not beyond else ""
    return replace(
        change,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        verdict=verdict,
        regression=beyond,
        why=why,
        judged=found,
    )


def without_ratio(change: Change, q: float) -> Change:
    """The verdict on values with zeros. `change.verdict` is the side that they point to."""
    verdict = change.verdict if q <= FALSE_DISCOVERIES or change.verdict == "unchanged" else "not resolved"
    return replace(change, verdict=verdict, regression=verdict == "worse", q=q)
