"""One known truth of a calibration, and its measured value. Made by the judges of this package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.notebook import Campaign


@dataclass(frozen=True, slots=True)
class Check:
    """One known truth. `deviation` has the unit of the two others; `allowed` is the limit in words."""

    name: str
    expected: float
    measured: float
    unit: str
    allowed: str
    met: bool

    @property
    def deviation(self) -> float:
        """Measured less expected."""
        return self.measured - self.expected

    def row(self) -> dict[str, Any]:
        """As calibration.json has it."""
        return {**asdict(self), "deviation": self.deviation}


def measured_trials(campaign: Campaign) -> Iterator[Trial]:
    """The trials that were measured."""
    return (trial for trial in campaign if trial.measured)
