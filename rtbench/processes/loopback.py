"""The loopback bench's process: measures the CPU that a sender spends on its receiver's TCP (R23).

Called by a calibration.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rtbench.messages.loopback import MEASURED, Measure, Measured
from rtbench.processes.process import Process

_PATIENCE_S = 60.0


class LoopbackBench(Process):
    """The bench (`_loopback`); it sends on `core`."""

    name = "loopback bench"

    def __init__(self, core: int, log: Path) -> None:
        super().__init__([sys.executable, "-m", "rtbench.processes._loopback"], (core,), log)

    def measure(self, wanted: Measure) -> Measured:
        """Send one Measure; the answer. Raises SubjectError when the bench ends early or takes longer than a minute."""
        self.send(wanted)
        return MEASURED(self.line(_PATIENCE_S))
