"""What each of several counts costs, from totals of intervals: least squares without an intercept.

The totals of one interval are modelled as a cost of each count times how many there were in it. Invariant: an interval
is Student's t with intervals − counts degrees of freedom; None where the counts cannot be separated. Called by the
metrics of churn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rtbench.analysis.statistics import student
from rtbench.analysis.statistics.compare import CONFIDENCE
from rtbench.analysis.statistics.growth import Growth

Floats = npt.NDArray[np.float64]


def cost_of_last(totals: Floats, counts: Sequence[Floats]) -> Growth | None:
    """The cost of one of the last of `counts`, and its 95 % interval; arrays have one entry an interval."""
    design = np.stack([np.asarray(column, dtype=np.float64) for column in counts], axis=1)
    scale = np.abs(design).max(axis=0) if design.size else np.zeros(len(counts))
    freedom = design.shape[0] - design.shape[1]
    if freedom < 1 or not scale.all():
        return None
    inverse, rank = np.linalg.pinv(design / scale), np.linalg.matrix_rank(design / scale)
    if rank < design.shape[1]:
        return None
    found = inverse @ totals
    left = totals - design / scale @ found
    error = math.sqrt(float(left @ left) / freedom * float(inverse[-1] @ inverse[-1]))
    half = student.critical(freedom, CONFIDENCE) * error
    value, each = float(found[-1]), float(scale[-1])
    return Growth(value / each, (value - half) / each, (value + half) / each)
