"""The starver's process: one line starts it, and it ends with its input."""

from __future__ import annotations

import os
from pathlib import Path

from rtbench.processes.starver import StarverProcess

PATIENCE_S = 60


CORE = min(os.sched_getaffinity(0))


def test_one_line_starts_a_starver(tmp_path: Path) -> None:
    """It burns until an instant that has passed: not at all. Then its input closes, and it is gone."""
    with StarverProcess((CORE,), tmp_path / "log") as starver:
        starver.burn(5, 6, 0.2, 0.5)
        assert starver.exited() is None
    assert starver.exited() is not None
    assert (tmp_path / "log").read_text() == ""
