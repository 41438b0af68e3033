"""A sender's CPU for its receiver on loopback, state by state, by gap and by message number (R23).

    .venv/bin/python benchmarks/loopback.py [ROUNDS]

Some 40 seconds with 10 rounds. The bench is that of `rtbench calibrate`, which stores the first part.
docs/explanation/loopback.md explains it. Needs root and two cores; an ordinary user gets the first part, no share.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rtbench.analysis.calibration import loopback as record
from rtbench.campaign import loopback
from rtbench.machine.placement import Place
from rtbench.messages.loopback import WARM_UP, Burst, Measure, State
from rtbench.processes.loopback import LoopbackBench

GAPS_S = (0.02, 0.1, 0.15, 0.18, 0.2, 0.22, 0.5)
MESSAGES = 30


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    place = Place.here()
    with tempfile.TemporaryDirectory() as name:
        found = record(*loopback.measure(place, Path(name), rounds))
        print("\n".join(loopback.lines(found)))
        for title, pace in (("sustained", found.sustained), ("sparse", found.sparse)):
            for state, row in pace.states.items():
                sender, receiver = (
                    f"{one.value / 1e3:4.1f} [{one.low / 1e3:.1f}, {one.high / 1e3:.1f}]"
                    for one in (row.sender_ns, row.receiver_ns)
                )
                print(f"{title:9}  {state:11}  {sender:18}  {receiver:18}  interrupts {row.interrupts:.3f}")
        if found.why_not:
            return
        log = Path(name) / "log"
        print("sender, µs by gap (mean of 5)")
        for gap_s in GAPS_S:
            bursts = bench(place, log, gap_s, 5, "off", WARM_UP)
            print(f"  {gap_s:4.2f} s  {sum(burst.sender_ns for burst in bursts) / len(bursts) / 1e3:4.1f}")
        print("sender, µs by message number: not steered, steered")
        columns = [bench(place, log, 0.05, MESSAGES, state, 0) for state in ("off", "on")]
        for number, (off, on) in enumerate(zip(*columns, strict=True), start=1):
            print(f"  {number:2}  {off.sender_ns / 1e3:4.1f}  {on.sender_ns / 1e3:4.1f}")


def bench(place: Place, log: Path, gap_s: float, rounds: int, state: State, warm_up: int) -> list[Burst]:
    """The bursts of one state, in order."""
    with LoopbackBench(place.server[0], log) as child:
        answer = child.measure(Measure(place.load[0], 250, rounds, gap_s, (state,), warm_up))
    return [row[state] for row in answer.rounds]


if __name__ == "__main__":
    main()
