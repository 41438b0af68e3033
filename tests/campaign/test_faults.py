"""Rows of benchmarks/faults: a campaign that is killed, or cannot write, keeps its trials, and --resume completes it.

`make faults` plays the whole table.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "benchmarks" / "faults"


@pytest.mark.slow
def test_quick_rows_are_as_promised() -> None:
    done = subprocess.run([sys.executable, TABLE, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 rows as promised, 0 skipped" in done.stdout
