"""The search for a capacity beside MLRsearch, on simulated servers: probes, minutes, how often it is right.

    .venv/bin/python benchmarks/capacity_search.py [SEARCHES]

A server's capacity is drawn from 30 to 15,000 subscribers, log-uniform. In each probe it moves by NOISE (standard
deviation of its logarithm), and a share DISTURBED of the probes fails without cause. A probe takes its ramp, 4 s of
warm-up, its window, 4.5 s besides. Both look for 99 % within the limit, a width of 10 %, between 1 and 20,000, with
windows of 10 and 30 s. Prints medians; "right" is a bracket with the capacity inside, "near" one within a width of it.
MLRsearch (PyPI, Apache-2.0) is left out where it is not installed.
"""

from __future__ import annotations

import importlib
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rtbench.capacity.search import Goal, Probe, bracket, step

WINDOW_S, LONG_S, BESIDE_S, RAMP_HZ, MOST, WIDTH = 10.0, 30.0, 8.5, 1000.0, 20_000, 0.1
CONDITIONS = ((0.0, 0.0), (0.02, 0.0), (0.05, 0.0), (0.05, 0.02), (0.1, 0.05))
"""NOISE and DISTURBED of each row."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search did. `low` and `high`: None where it has no such end."""

    low: float | None
    high: float | None
    probes: int
    seconds: float
    highest: float
    """The largest load that it tried, in capacities."""


class Server:
    """A simulated server that counts what probing it takes."""

    def __init__(self, capacity: float, draw: random.Random, noise: float, disturbed: float) -> None:
        self.capacity, self._draw, self._noise, self._disturbed = capacity, draw, noise, disturbed
        self.probes, self.seconds, self.highest = 0, 0.0, 0.0

    def late_share(self, load: float, window_s: float) -> float:
        """The share of late messages of a probe: above its capacity a backlog grows, and soon all is late."""
        self.probes += 1
        self.seconds += load / RAMP_HZ + BESIDE_S + window_s
        self.highest = max(self.highest, load / self.capacity)
        over = load / (self.capacity * math.exp(self._draw.gauss(0, self._noise)))
        if self._draw.random() < self._disturbed:
            return 0.2
        return 0.002 if over <= 1 else min(1.0, 0.02 + 4 * (over - 1))


def ours(server: Server) -> Search:
    """`rtbench.capacity.search`, from 100 subscribers."""
    goal, probes = Goal(100, 1, MOST, WIDTH), list[Probe]()
    while (asked := step(goal, probes)) is not None:
        held = server.late_share(asked.value, LONG_S if asked.long else WINDOW_S) <= 0.01
        busy = min(1.0, asked.value / server.capacity)
        probes.append(Probe(asked.value, "holds" if held else "fails", asked.long, busy))
    found = bracket(goal, probes)
    return Search(found.low, found.high, server.probes, server.seconds, server.highest)


def theirs(library: Any) -> Callable[[Server], Search]:
    """MLRsearch with the same level and width: half of a load's seconds may be bad, 30 s decide."""

    def run(server: Server) -> Search:
        class Measurer(library.AbstractMeasurer):  # type: ignore[misc]
            def measure(self, intended_duration: float, intended_load: float) -> Any:
                share = server.late_share(intended_load, intended_duration)
                sent = 1_000_000
                return library.MeasurementResult(
                    intended_duration=intended_duration, intended_load=intended_load, offered_count=sent,
                    loss_count=round(share * sent), duration_with_overheads=intended_duration + BESIDE_S,
                )  # fmt: skip

        goal = library.SearchGoal(
            loss_ratio=0.01, exceed_ratio=0.5, relative_width=WIDTH, initial_trial_duration=WINDOW_S,
            final_trial_duration=WINDOW_S, duration_sum=LONG_S, preceding_targets=2, expansion_coefficient=2,
            fail_fast=False,
        )  # fmt: skip
        config = library.Config(
            goals=[goal], min_load=1.0, max_load=float(MOST), search_duration_max=60.0, warmup_duration=None
        )
        result = library.MultipleLossRatioSearch(config=config).search(Measurer(), lambda _: None)[goal]
        ends = [
            float(end) if end is not None else None
            for end in (result.relevant_lower_bound, result.relevant_upper_bound)
        ]
        return Search(ends[0], ends[1], server.probes, server.seconds, server.highest)

    return run


def row(name: str, search: Callable[[Server], Search], searches: int, noise: float, disturbed: float) -> str:
    """One line of the table."""
    done: list[tuple[float, Search]] = []
    for seed in range(searches):
        draw = random.Random(seed)
        capacity = 10 ** draw.uniform(math.log10(30), math.log10(15_000))
        done.append((capacity, search(Server(capacity, draw, noise, disturbed))))
    both = [(c, one.low, one.high) for c, one in done if one.low is not None and one.high is not None]
    right = sum(low <= c <= high for c, low, high in both) / searches
    near = sum(low * (1 - WIDTH) <= c <= high / (1 - WIDTH) for c, low, high in both) / searches
    wide = statistics.median((high - low) / high for _, low, high in both)
    probes, minutes = (statistics.median(v) for v in ([s.probes for _, s in done], [s.seconds / 60 for _, s in done]))
    highest = statistics.median(one.highest for _, one in done)
    words = [name, f"{noise:.0%}", f"{disturbed:.0%}", f"{probes:g}", f"{minutes:.1f}"]
    return f"| {' | '.join([*words, f'{right:.0%}', f'{near:.0%}', f'{wide:.1%}', f'{highest:.1f}'])} |"


def table(searches: int) -> Iterator[str]:
    """The lines of the table."""
    kinds: dict[str, Callable[[Server], Search]] = {"rtbench": ours}
    try:
        kinds["MLRsearch"] = theirs(importlib.import_module("MLRsearch"))
    except ImportError:
        yield "MLRsearch is not installed: `pip install MLRsearch` adds its rows."
    yield "| search | noise | disturbed | probes | minutes | right | near | width | largest load, in capacities |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for noise, disturbed in CONDITIONS:
        for name, search in kinds.items():
            yield row(name, search, searches, noise, disturbed)


def main() -> None:
    """Print the table."""
    began = time.monotonic()
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 300):
        print(line, flush=True)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
