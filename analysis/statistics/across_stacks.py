"""A transport relative to another over several stacks: what holds of the transport, and what of a stack (R17).

Model: each stack has a true ratio of its own, whose logarithm is drawn around a mean with standard deviation tau. Its
estimate is the block-paired comparison of the report (`compare`), judged with all others (`judgement`): no stack is
judged a second time here. `random_effects` combines them, as it does campaigns; its prediction interval, Student's t
with k − 2 degrees of freedom, says where the next stack is expected (Higgins, Thompson and Spiegelhalter, J. R. Stat.
Soc. A 172:137, 2009), with the standard error of Hartung and Knapp (Partlett and Riley, Stat. Med. 36:301, 2017).

Invariant: a verdict over stacks is one of five. "depends on the stack": two stacks are called different in opposite
directions, or one is called different, another is not, and the ratios cannot be one ratio: of the k intervals at
1 − LEVEL/k two do not overlap. Were the ratios alike, all k would hold the common one in 95 of 100 campaigns, whatever
the noise of each stack. One counterexample is enough, so two stacks are. "on every stack" is a general statement and
needs ENOUGH of them: every one is called different in one direction; or some are, none of the others contradicts, and
the prediction interval excludes 1, so that a stack that is only noisy is not a veto. "no difference seen on any": no
stack is called different, and ENOUGH have the blocks to be. "too few stacks": ENOUGH are missing, and none contradicts
another. "not resolved": all else.
Simulated by `benchmarks/coverage.py`. Called by the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rtbench.analysis.statistics.compare import LEVEL, Estimate, bounded_exp, estimate
from rtbench.analysis.statistics.judgement import Comparison
from rtbench.analysis.statistics.random_effects import Effects, combine, errors

StacksVerdict = Literal[
    "on every stack", "depends on the stack", "no difference seen on any", "not resolved", "too few stacks"
]
Direction = Literal["lower", "higher"]

ENOUGH = 3
"""Stacks without which nothing general is stated: fewer have no prediction interval."""


@dataclass(frozen=True, slots=True)
class AcrossStacks:
    """One metric of a transport relative to another, on every stack that has both."""

    metric: str
    transport: str
    relative_to: str
    stacks: tuple[tuple[str, Comparison], ...]
    """A stack to the comparison of its two subjects."""
    summary: Estimate | None
    """The random-effects summary over stacks, with its interval; None for one stack."""
    effects: Effects | None
    """The same on the log scale, with tau, I² and the prediction interval; None for one stack."""
    verdict: StacksVerdict
    direction: Direction | None
    """Of "on every stack": which way."""
    cell: Mapping[str, Any] = field(default_factory=dict)
    """The cell of the sweep that all are in."""

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(one for _, one in self.stacks)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest of the stacks' ratios."""
        ratios = [one.ratio for one in self.comparisons]
        return min(ratios), max(ratios)

    @property
    def predicted(self) -> tuple[float, float] | None:
        """Where the ratio of the next stack is expected, 95 %; None for fewer than ENOUGH stacks."""
        limits = None if self.effects is None else self.effects.predicted
        return None if limits is None else (bounded_exp(limits[0]), bounded_exp(limits[1]))

    def row(self) -> dict[str, Any]:
        """The row of report.json."""
        one, found, limits = self.summary, self.effects, self.predicted or (None, None)
        return {
            "metric": self.metric, "transport": self.transport, "relative_to": self.relative_to,
            "stacks": [
                {"stack": stack, "ratio": c.ratio, "low": c.low, "high": c.high, "verdict": c.verdict,
                 "blocks": c.blocks}
                for stack, c in self.stacks
            ],
            "summary": {
                "ratio": one and one.ratio, "low": one and one.low, "high": one and one.high,
                "predicted_low": limits[0], "predicted_high": limits[1],
                "tau": found and found.tau, "i2": found and found.i2,
            },
            "verdict": self.verdict, "direction": self.direction, "cell": dict(self.cell),
        }  # fmt: skip


def across(
    metric: str,
    transport: str,
    relative_to: str,
    stacks: Mapping[str, Comparison],
    cell: Mapping[str, Any] | None = None,
) -> AcrossStacks:
    """The stacks' comparisons (one at least) together. `cell`: of the sweep, if there is one; it is only noted."""
    each = list(stacks.values())
    effects = summary = None
    if len(each) > 1:
        effects = combine([math.log(one.ratio) for one in each], errors(each))
        summary = estimate(
            metric, transport, relative_to, effects.mean, effects.error, effects.freedom,
            blocks=sum(one.blocks for one in each), cell=cell,
        )  # fmt: skip
    verdict, direction = _verdict(each, effects)
    return AcrossStacks(
        metric, transport, relative_to, tuple(stacks.items()), summary, effects, verdict, direction, cell or {}
    )


def _verdict(each: list[Comparison], effects: Effects | None) -> tuple[StacksVerdict, Direction | None]:
    claimed = {one.verdict for one in each if one.different}
    mixed = bool(claimed) and not all(one.different for one in each)
    if len(claimed) > 1 or (mixed and apart(each)):
        return "depends on the stack", None
    if len(each) < ENOUGH:
        return "too few stacks", None
    if not claimed:  # a stack with too few blocks could show none
        judged = sum(one.verdict != "too few blocks" for one in each)
        return ("no difference seen on any" if judged >= ENOUGH else "too few stacks"), None
    direction: Direction = "lower" if claimed == {"a lower"} else "higher"
    if not mixed or _expected(each, effects, direction):
        return "on every stack", direction
    return "not resolved", None


def apart(each: list[Comparison]) -> bool:
    """Whether the ratios cannot be one ratio: two of their simultaneous intervals do not overlap."""
    limits = [found for one in each if (found := one.limits(1 - LEVEL / len(each))) is not None]
    return len(limits) > 1 and max(low for low, _ in limits) > min(high for _, high in limits)


def _expected(each: list[Comparison], effects: Effects | None, direction: Direction) -> bool:
    """Whether every ratio and the whole prediction interval are on one side of 1."""
    if effects is None or effects.predicted is None:
        return False
    logs = [*(math.log(one.ratio) for one in each), *effects.predicted]
    return all(log < 0 if direction == "lower" else log > 0 for log in logs)
