"""The starver's process: it takes a core away from the load processes, on purpose (R16). Steered by a trial."""

from __future__ import annotations

import sys
from pathlib import Path

from rtbench.machine.topology import Cores
from rtbench.messages.starver import Burn
from rtbench.processes.process import Process


class StarverProcess(Process):
    """Takes its cores away from other processes, on command (R16)."""

    name = "starver"

    def __init__(self, cores: Cores, log: Path) -> None:
        super().__init__([sys.executable, "-m", "rtbench.processes._starve"], cores, log)

    def burn(self, start_ns: int, end_ns: int, burn_s: float, every_s: float) -> None:
        """Burn `burn_s` of every `every_s` between two instants."""
        self.send(Burn(start_ns, end_ns, burn_s, every_s))
