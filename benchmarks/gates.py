"""Prints "What the gates let through" of docs/explanation/validity.md: simulations of disturbed trials, no timings.

    .venv/bin/python benchmarks/gates.py [TRIALS]

The trials are drawn, so that their undisturbed latency is known: 50 broadcasts in 10 s to 40 subscribers, 5 ms at the
median, ticks that differ by 10 %. A disturbance of a known kind is added until the median of that trial moves by x %;
then the code that judges trials (`rtbench.trial.validity`) decides whether the median counts. "Before": the earlier
limits, a share of the window and the publisher's p99. 100 trials a cell by default (some 30 s).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from rtbench.messages.load import Edge, LoadReport
from rtbench.scenario.tables import ValidityTable
from rtbench.trial import validity
from rtbench.trial._arrivals import Arrivals, Ints

SECOND, MS = 10**9, 10**6
TICKS, SUBSCRIBERS, WINDOW = 50, 40, (0, 10 * SECOND)
DUE = np.arange(TICKS, dtype=np.int64) * SECOND // 5 + SECOND // 10
MOVED = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LIMITS = ValidityTable()


@dataclass
class Drawn:
    """A trial: lateness of each tick, waits of each process, and each message's latency without these, ns."""

    kernel_ns: Ints
    late_ns: Ints
    at_tick_ns: Ints
    """The disturbed process's wait at each tick."""
    besides_ns: float
    """Its other waits in the window, which move nothing."""


MOST_WAITED = {"publisher": 0.0, "server": 0.001, "load": 0.004}
"""The largest share of the window that a process waits in a sound trial (15 of `ci`: server 0 to 0.11 % of pushes)."""


def sound(rng: np.random.Generator, process: str, polls: bool) -> Drawn:
    """An undisturbed trial: a fan-out (polls: four times as long), lateness below 0.2 ms."""
    fan_out = np.linspace(0.2, 1.8, SUBSCRIBERS) * 5 * MS
    kernel = fan_out[None, :] * rng.lognormal(0, 0.1, (TICKS, 1)) * (4 if polls else 1)
    late = rng.gamma(8, 12_000, TICKS).astype(np.int64)
    return Drawn(
        kernel.astype(np.int64), late, np.zeros(TICKS, dtype=np.int64), rng.uniform(0, MOST_WAITED[process]) * WINDOW[1]
    )


def judged(drawn: Drawn, process: str, polls: bool) -> tuple[float, bool, bool, bool]:
    """How far the median moved; whether it counts now; whether the trial counts now; whether the trial did before."""
    late, waited = drawn.late_ns[:, None], drawn.at_tick_ns[:, None]
    kernel = drawn.kernel_ns + late + (waited if process == "server" or polls else 0)
    app = kernel + MS // 10 + (waited if process == "load" and not polls else 0)
    shape = (TICKS, SUBSCRIBERS)
    due = np.broadcast_to(DUE[:, None], shape).ravel()
    arrivals = Arrivals(due, np.broadcast_to(late, shape).ravel(), due + kernel.ravel(), due + app.ravel())
    delay_ns = int(drawn.at_tick_ns.sum() + drawn.besides_ns)
    idle, end = (
        Edge(read_ns=0, cpu_ns=0, run_delay_ns=ns, decode_cpu_ns=0) for ns in (0, delay_ns * (process == "load"))
    )
    load = LoadReport(
        pid=1, at_start=idle, at_end=end, decode_cpu_ns=0, captured_bytes=0, clock_pairs=((0, 0),), hub_lag=(),
        controls={}, faults=(), response_headers={}, due=(), failed={},
    )  # fmt: skip
    server = {"run_delay_ns_at_start": 0, "run_delay_ns_at_end": delay_ns * (process == "server")}
    reasons = validity.check(
        validity.Inputs(
            window=WINDOW, load=[load], processes={"server": server, "load": {}, "machine": {}}, network={}, cores=2,
            ticks={"due_ns": DUE, "sent_ns": DUE + drawn.late_ns},
            deliveries={"kernel_ns": arrivals.kernel_ns, "app_ns": arrivals.app_ns},
            limits=LIMITS, arrivals=arrivals, polls=polls,
        )
    )  # fmt: skip
    metric = "latency_app_p50_ns" if process == "load" and not polls else "latency_kernel_p50_ns"
    believed = not any(fnmatchcase(metric, name) for one in reasons for name in one.metrics)
    before = np.percentile(drawn.late_ns, 99) <= LIMITS.publisher_late_s * 1e9
    if process != "publisher":  # the earlier limits accepted kernel latency of a starved load process, polls included
        before &= delay_ns / (WINDOW[1] - WINDOW[0]) <= LIMITS.run_delay_share or (process == "load" and polls)
    seen = app if metric.startswith("latency_app") else kernel
    undisturbed = drawn.kernel_ns + np.minimum(late, 200_000) + (MS // 10 if seen is app else 0)
    moved = float(np.median(seen) / np.median(undisturbed) - 1)
    return moved, believed, validity.status(reasons) == "ok", bool(before)


def lay(drawn: Drawn, process: str, ticks: Ints, each_ns: float) -> Drawn:
    """Add the disturbance: `each_ns` at each of these ticks."""
    at = np.zeros(TICKS, dtype=np.int64)
    at[ticks] = int(each_ns)
    if process == "publisher":
        return Drawn(drawn.kernel_ns, drawn.late_ns + at, drawn.at_tick_ns, drawn.besides_ns)
    return Drawn(drawn.kernel_ns, drawn.late_ns, at, drawn.besides_ns)


def disturbed(rng: np.random.Generator, process: str, polls: bool, moved: float) -> Drawn:
    """A trial whose median moves by `moved`: disturbed at half of the ticks, the amount found by bisection."""
    drawn = sound(rng, process, polls)
    if not moved:
        return drawn
    ticks = rng.permutation(TICKS)[: TICKS // 2]
    low, high = 0.0, 200.0 * MS
    for _ in range(16):
        middle = (low + high) / 2
        found, *_ = judged(lay(drawn, process, ticks, middle), process, polls)
        low, high = (low, middle) if found > moved else (middle, high)
    return lay(drawn, process, ticks, high)


CASES: tuple[tuple[str, str, bool], ...] = (
    ("publisher late at half of the ticks", "publisher", False),
    ("server waits for its core", "server", False),
    ("load process waits, push: application latency", "load", False),
    ("load process waits, polls: kernel latency", "load", True),
)


def row(*cells: object) -> None:
    print(f"| {' | '.join(str(cell) for cell in cells)} |")


def share(values: Iterable[bool]) -> str:
    found = list(values)
    return f"{100 * sum(found) / len(found):.0f}"


def main(trials: int) -> None:
    print("Trials whose median is believed, %, when a disturbance moved it by so much (before / now)\n")
    row("disturbance", *("none" if not moved else f"{moved:.0%}" for moved in MOVED))
    row(*["---"] * (1 + len(MOVED)))
    rng = np.random.default_rng(1)
    for name, process, polls in CASES:
        cells = []
        for moved in MOVED:
            found = [judged(disturbed(rng, process, polls, moved), process, polls) for _ in range(trials)]
            cells.append(f"{share(before for *_, before in found)} / {share(now for _, now, *_ in found)}")
        row(name, *cells)
    print("\nSound trials of an ordinary user: a few of 50 ticks sent 1.4 to 2.4 ms late, %\n")
    row("late ticks", "median moves, %", "trial counts (before / now)", "median believed now", "maximum believed now")
    row(*["---"] * 5)
    for count in (0, 1, 2, 5):
        found, tails = [], []
        for _ in range(trials):
            drawn = sound(rng, "publisher", polls=False)
            drawn.late_ns[rng.permutation(TICKS)[:count]] = rng.uniform(1.4 * MS, 2.4 * MS, count).astype(np.int64)
            found.append(judged(drawn, "publisher", polls=False))
            tails.append(_maximum_believed(drawn))
        row(
            count,
            f"{100 * np.median([one for one, *_ in found]):.1f}",
            f"{share(before for *_, before in found)} / {share(counts for _, _, counts, _ in found)}",
            share(now for _, now, *_ in found),
            share(tails),
        )


def _maximum_believed(drawn: Drawn) -> bool:
    latest, highest = int(drawn.late_ns.max()), int((drawn.kernel_ns + drawn.late_ns[:, None]).max())
    return latest <= LIMITS.publisher_late_s * 1e9 or latest <= LIMITS.moved_share * highest


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
