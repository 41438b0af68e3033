"""The input of a report: every trial's metrics, their comparisons, and the warnings about them.

Invariant: a metric of a trial counts only when no reason of the trial spoils it (R13). In a sweep each subject is there
once a cell, under the name `SUBJECT [CELL]`, and only those of one cell are compared.
"""

from __future__ import annotations

from rtbench.analysis.evidence.gathering import conclude, gather
from rtbench.analysis.evidence.model import (
    USABLE_NEEDED,
    Calibration,
    CheckRow,
    ComparedSubject,
    Evidence,
    NoiseFloor,
    Result,
    alone,
    total,
)

__all__ = [
    "USABLE_NEEDED",
    "Calibration",
    "CheckRow",
    "ComparedSubject",
    "Evidence",
    "NoiseFloor",
    "Result",
    "alone",
    "conclude",
    "gather",
    "total",
]
