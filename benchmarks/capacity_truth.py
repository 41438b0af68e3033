"""`rtbench capacity` against servers whose capacity is known by construction, and with a slow load generator.

    .venv/bin/python benchmarks/capacity_truth.py [FOLDER] [CASE …]

A planted server is busy for a known time with each write of a message (`[faults] inject`, `work`). With r messages a
second and s seconds of work, its core is full at 1 / (r s) subscribers: `queue`, where a message may take longer than a
period. Where it may take less, the last of a fan-out decides: (limit / s + 1) / quantile subscribers: `fan-out`. In
`starved` the load process gets a twentieth of its core: the result must name the harness and have no upper end. Each
case is searched twice; the two brackets must overlap. Exits with 1 where a truth is not met. It wants a quiet machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtbench.records import capacity
from rtbench.records.capacity import SubjectCapacity

WORK_S, MINUTES = 0.004, 8
SUBJECTS = ("sse-faulty", "websocket-faulty")
SCENARIO = """\
name = "{case}"
subjects = ["sse-faulty", "websocket-faulty"]
subscribers = 20
stream = "fanout"
ramp_hz = 500
warmup_s = 0.5
warmup_messages = 10
window_s = {window_s}
grace_s = 1.0
[workload]
rate_hz = {rate_hz}
payload_bytes = 100
[slo]
latency_ms = {latency_ms}
quantile = 0.99
"""
PLANTED = '[[faults.inject]]\ndo = "work"\ndelay_s = {work_s}\n'
STARVED = '[[faults.starve]]\nwhat = "load"\nat_s = 0\nfor_s = {window_s}\nburn_s = 0.095\nevery_s = 0.1\n'


@dataclass(frozen=True, slots=True)
class Case:
    """A case. `planted`: its capacity in subscribers; 0: the harness is the limit."""

    name: str
    rate_hz: float
    latency_ms: float
    window_s: float
    planted: float

    @property
    def text(self) -> str:
        """Its scenario."""
        fault = PLANTED.format(work_s=WORK_S) if self.planted else STARVED.format(window_s=self.window_s)
        table = {"case": self.name, "rate_hz": self.rate_hz, "latency_ms": self.latency_ms, "window_s": self.window_s}
        return SCENARIO.format(**table) + fault


CASES = (
    Case("queue", 5.0, 300.0, 6.0, 1 / (5.0 * WORK_S)),
    Case("fan-out", 5.0, 100.0, 6.0, (0.1 / WORK_S + 1) / 0.99),
    Case("starved", 20.0, 50.0, 6.0, 0.0),
)


def search(case: Case, folder: Path, turn: int) -> tuple[list[SubjectCapacity], float]:
    """One search of a case: what it found, and its minutes."""
    scenario, out = folder / f"{case.name}.toml", folder / f"{case.name}-{turn}"
    scenario.write_text(case.text, encoding="utf-8")
    began = time.monotonic()
    command = [sys.executable, "-m", "rtbench.cli", "capacity", str(scenario), "--minutes", str(MINUTES)]
    subprocess.run([*command, "--out", str(out), "--quiet"], check=False, stdout=subprocess.DEVNULL)
    found = capacity.load(out)
    return (list(found.subjects) if found else []), (time.monotonic() - began) / 60


def met(case: Case, row: SubjectCapacity) -> bool:
    """Whether a bracket has the planted capacity inside, or a slow load generator was named."""
    if not case.planted:
        return row.harness_limited and row.high is None
    return row.low is not None and row.high is not None and row.closed and row.low <= case.planted < row.high


def overlap(one: SubjectCapacity, other: SubjectCapacity) -> bool:
    """Whether two brackets do, as far as they have ends."""
    lows = [row.low or 0 for row in (one, other)]
    highs = [row.high if row.high is not None else float("inf") for row in (one, other)]
    return max(lows) <= min(highs)


def lines(case: Case, folder: Path) -> Iterator[tuple[str, bool]]:
    """A line of the table for each subject and search, and whether its truth was met."""
    turns = [search(case, folder, turn) for turn in (1, 2)]
    for place, name in enumerate(SUBJECTS):
        rows = [found[place] for found, _ in turns if len(found) > place]
        agree = len(rows) == 2 and overlap(rows[0], rows[1])
        for row, (_, minutes) in zip(rows, turns, strict=False):
            good = met(case, row) and agree
            planted = f"{case.planted:.4g}" if case.planted else "harness"
            ends = [f"{end:g}" if end is not None else "-" for end in (row.low, row.high)]
            limit = f"harness: {row.limited_by}" if row.harness_limited else row.limited_by
            cells = [case.name, name, planted, *ends, limit, str(len(row.probes)), f"{minutes:.1f}"]
            yield f"| {' | '.join([*cells, 'yes' if good else 'no'])} |", good


def main() -> int:
    """Run the cases. Returns the exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="capacity-"))
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:]
    print("| case | subject | planted | low | high | limited by | probes | minutes, both subjects | met |")
    print("|---|---|---|---|---|---|---|---|---|")
    all_met = True
    for case in CASES:
        if not wanted or case.name in wanted:
            for line, good in lines(case, folder):
                print(line, flush=True)
                all_met &= good
    print(f"raw files: {folder}")
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
