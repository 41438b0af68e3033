"""How a row or a figure was made: the trials that it is of, what does not count and why, what each metric is.

Invariant: look-ups in the evidence and in the registry of metrics; no number is computed again. Called by the page.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rtbench.analysis.evidence import Evidence, Result, origin
from rtbench.analysis.evidence.origin import Aside
from rtbench.analysis.metrics import find

PERCENTILE = (
    "Nearest rank without interpolation, in each trial by itself; a lost message counts as later than all others. It "
    "is null where it falls on a lost message or has too few distinct due instants."
)
OVER_TRIALS = (
    "The median over trials. Brackets: 95 % t-interval of the mean over trials, of logs where all values are positive."
)

_PERCENTILE = re.compile(r"_(p\d+|max)_")


@dataclass(frozen=True, slots=True)
class Made:
    """Of one row or figure."""

    name: str
    trials: str
    """The numbers of the trials that count: `1, 4–6 (4 of 5)`."""
    left_out: tuple[Aside, ...]
    metrics: tuple[tuple[str, str, str], ...]
    """Name, title, what it is."""
    percentile: str
    """How percentiles are taken; empty when there are none."""


def made(evidence: Evidence, name: str, metrics: Collection[str], subjects: Collection[str] = ()) -> Made:
    """How `name` was made of these metrics; of all subjects when none is named."""
    results = [r for r in evidence.results if not subjects or r.trial.item in subjects]
    used = [r.trial.number for r in results if _counts(r, metrics)]
    return Made(
        name,
        f"{ranges(used) or 'none'} ({len(used)} of {len(results)})",
        tuple(origin.left_out(results, metrics)),
        tuple((m, find(m).title, find(m).caption) for m in metrics),
        PERCENTILE if any(_PERCENTILE.search(m) for m in metrics) else "",
    )


def _counts(result: Result, metrics: Collection[str]) -> bool:
    """Whether some of these metrics counts; without metrics, whether the trial was measured."""
    return any(result.usable(m) is not None for m in metrics) if metrics else result.trial.measured


def ranges(numbers: Iterable[int]) -> str:
    """`1, 4–6`."""
    runs: list[Sequence[int]] = [
        [number for _, number in run] for _, run in groupby(enumerate(sorted(numbers)), lambda row: row[1] - row[0])
    ]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
