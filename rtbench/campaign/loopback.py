"""The loopback bench of a calibration: its paces, and the printed form of its result (R23).

TCP knows two paces. A connection that was silent for longer than its retransmission timeout (200 ms and a little)
acknowledges each of the next 16 segments at once, inside the softirq that delivers them: *sparse*. A busy connection
acknowledges when its process reads: *sustained*. Called by `rtbench calibrate`.
"""

from __future__ import annotations

from pathlib import Path

from rtbench.machine.placement import Place
from rtbench.messages.loopback import Measure, Measured, State
from rtbench.processes.loopback import LoopbackBench
from rtbench.records.loopback import Interval, Loopback

_CONNECTIONS = 250
"""Chosen so that messages and acknowledgements fit a core's packet backlog (1,000)."""
_PACES: tuple[tuple[float, tuple[State, ...]], ...] = (
    (0.05, ("off", "on", "interrupted", "late-off", "late-on")),
    (0.25, ("off", "on", "dropped")),
)
"""Seconds between messages of a connection, sustained and sparse, and what is measured there."""
REMEDY = "run `rtbench calibrate` as root, outside of a container, on two cores"


def measure(place: Place, folder: Path, rounds: int = 10) -> list[tuple[Measure, Measured]]:
    """The request and the result at the sustained and the sparse pace. Takes some 17 seconds. Raises SubjectError."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for gap_s, states in _PACES:
        with LoopbackBench(place.server[0], folder / "loopback.log") as bench:
            asked = Measure(place.load[0], _CONNECTIONS, rounds, gap_s, states)
            found.append((asked, bench.measure(asked)))
    return found


def lines(found: Loopback) -> list[str]:
    """The lines that a calibration prints about the bench. They have no pass or fail."""
    shown = []
    for name, pace in (("sustained", found.sustained), ("sparse", found.sparse)):
        if pace.share_ns is not None:
            whole = f"{pace.states['off'].sender_ns.value / 1e3:.1f} µs a send"
            shown.append(f"{name} (every {pace.gap_s:g} s): of {whole} {_us(pace.share_ns)} are the receiver's")
    if found.acknowledged_ns is not None:
        shown.append(f"sustained: for each message the receiver pays {_us(found.acknowledged_ns)} of the sender's")
    if found.why_not:
        shown.append(f"what a sender pays for its receiver was not measured: {found.why_not}; {REMEDY}")
    if found.at_least_ns is not None:
        shown.append(f"sparse, without steering: at least {_us(found.at_least_ns)} of a send are the receiver's")
    return [f"loopback, {text}" for text in shown]


def _us(found: Interval) -> str:
    return f"{found.value / 1e3:.1f} µs [{found.low / 1e3:.1f}, {found.high / 1e3:.1f}]"
