"""The noise floor: the difference between two labels of one subject, from real A/A pairs (R9).

Invariant: nothing smaller than the floor is called a difference. Of a metric, d is the log-ratio of the two labels in
one block; its truth is 0, so its standard deviation is about 0, from all n blocks of all pairs. Over B blocks the mean
of d stays, in 95 of 100 comparisons of a subject with itself, within t(n)·sd/√B: the floor is exp of that. Called by
the evidence (with the pairs of the campaign, or of the machine's calibration) and by the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE, Values
from rtbench.subjects.names import LABEL


@dataclass(frozen=True, slots=True)
class Noise:
    """Of one metric: the standard deviation of the log-ratio of two labels in a block, from `blocks` of them."""

    sd: float
    blocks: int

    def floor(self, blocks: int) -> float:
        """The ratio (≥ 1) that one subject under two labels stays within over so many blocks."""
        return math.exp(student.critical(self.blocks, CONFIDENCE) * self.sd / math.sqrt(max(1, blocks)))

    def row(self) -> dict[str, Any]:
        """As calibration.json has it."""
        return {"sd": self.sd, "blocks": self.blocks}


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The subjects that are there under two labels: (NAME, NAME@LABEL); in a sweep, of the same cell."""
    found = []
    for name in names:
        subject, bracket, cell = name.partition(" [")
        base = subject.partition(LABEL)[0] + bracket + cell
        if base != name and base in names:
            found.append((base, name))
    return found


def differences(values: Values, a: str, b: str) -> list[float]:
    """log(b/a) in every block that has a positive value of both."""
    found = []
    for block, one in values.get(a, {}).items():
        other = values.get(b, {}).get(block)
        if one is not None and other is not None and one > 0 and other > 0:
            found.append(math.log(other / one))
    return found


def noise(values_of: Mapping[str, Values], names: Sequence[str]) -> dict[str, Noise]:
    """The noise of every metric that has a difference; empty when no subject has two labels."""
    result = {}
    for metric, values in values_of.items():
        logs = np.array([d for a, b in pairs(names) for d in differences(values, a, b)])
        if logs.size > 1:
            result[metric] = Noise(float(np.sqrt(np.mean(logs**2))), int(logs.size))
    return result
