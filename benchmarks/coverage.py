"""Prints the tables of docs/explanation/statistics-tables.md: simulations with a known truth, no timings.

    .venv/bin/python benchmarks/coverage.py [CAMPAIGNS]

Coverage of the ratio's interval, of a sweep's exponent and crossover, of several campaigns' and several stacks' summary
and of the prediction interval of the next stack; false discoveries with and without control; the power that
`blocks_needed` promises. 4,000 campaigns a cell when not given (some two minutes); the standard error of
a coverage of 95 % is then 0.34 points.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from rtbench.analysis.statistics import compare, simulation

BLOCKS = (3, 5, 10)
SUBJECTS = (2, 4, 8)


def row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def table(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    heads = list(heads)
    print(row(*heads), row(*("---" for _ in heads)), *(row(*cells) for cells in rows), "", sep="\n")


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def ratios(case: simulation.SimulatedCase, name: str, cells: list[tuple[int, int]], campaigns: int) -> list[str]:
    return [name, *(percent(simulation.coverage(case, b, s, campaigns)) for s, b in cells)]


def without(case: simulation.SimulatedCase, cells: list[tuple[int, int]], campaigns: int) -> list[str]:
    """The same case when Bartlett's test alone decides on pooling, which shows why there is a second condition."""
    kept, compare.POOLING_EXCESS = compare.POOLING_EXCESS, math.inf
    try:
        return ratios(case, f"*{case.name}, if Bartlett's test alone decided*", cells, campaigns)
    finally:
        compare.POOLING_EXCESS = kept


def main(campaigns: int) -> None:
    print(
        f"Coverage of the 95 % interval of a ratio, %, {campaigns:,} campaigns a cell; subjects in the table × blocks\n"
    )
    cells = [(subjects, blocks) for subjects in SUBJECTS for blocks in BLOCKS]
    table(
        ["residuals of the logs", *(f"{s} × {b}" for s, b in cells)],
        [
            *(ratios(case, case.name, cells, campaigns) for case in simulation.CASES),
            without(simulation.CASES[1], cells, campaigns),
        ],
    )
    print(f"A sweep of {len(simulation.KEYS)} cells, %: coverage of exponent and crossover, crossovers resolved")
    print("(one stretch, bounded on both sides), straight lines called bent (nominal 5)\n")
    found = [(shape, b, simulation.lines(shape, b, campaigns)) for shape in simulation.SHAPES for b in BLOCKS]
    table(
        ["residuals", "blocks", "exponent", "crossover", "resolved", "called bent"],
        (
            [shape, b, percent(one.exponent), percent(one.crossover), percent(one.resolved), percent(one.bends)]
            for shape, b, one in found
        ),
    )
    reports = max(50, campaigns // 8)
    print(
        f"False differences in reports of 5 subjects × 5 metrics that share half of their noise, {reports:,} reports\n"
    )
    settings = {
        "all alike": (0.0,) * 5,
        "two of five lower by 10 %": (0.0, 0.0, 0.0, math.log(0.9), math.log(0.9)),
    }
    rows = []
    for name, effects in settings.items():
        for shape in ("normal", "log-normal"):
            for b in BLOCKS:
                d = simulation.discoveries(shape, b, effects, campaigns=reports)
                there = (percent(d.found_alone), percent(d.found_controlled)) if len(set(effects)) > 1 else ("–", "–")
                rows.append(
                    [
                        f"{name}, {shape}", b, d.comparisons, percent(d.any_alone), percent(d.any_controlled),
                        percent(d.rate_alone), percent(d.rate_controlled), *there,
                    ]
                )  # fmt: skip
    table(
        [
            "truth", "blocks", "comparisons", "reports with a false one, each alone %", "controlled %",
            "false among called, each alone %", "controlled %", "true ones called, each alone %", "controlled %",
        ],
        rows,
    )  # fmt: skip
    print("Power: blocks predicted to settle 5 % four times in five, and how often they do\n")
    table(
        ["noise of a pair in one block, %", "subjects in the table", "blocks", "1.05 called different %",
         "1.00 called equivalent %"],
        (
            [f"{100 * sd:g}", subjects, needed, percent(share), percent(same)]
            for sd in (0.03, 0.05, 0.1)
            for subjects in (2, 5)
            for needed, share, same in [simulation.power(sd, subjects, campaigns)]
        ),
    )  # fmt: skip
    statements(max(500, campaigns // 4))
    combined(max(500, campaigns // 4))
    stacks(max(500, campaigns // 2))


def combined(repetitions: int) -> None:
    """Coverage of the random-effects interval over several campaigns."""
    print(f"Coverage of the interval over several campaigns of 3 blocks, %, {repetitions:,} repetitions a cell\n")
    cells = [(count, tau) for count in (2, 3, 5) for tau in (0.0, 0.05)]
    table(
        ["residuals", *(f"{count} campaigns, tau {tau:g}" for count, tau in cells)],
        (
            [shape, *(percent(simulation.combined_coverage(shape, n, 3, tau, repetitions)) for n, tau in cells)]
            for shape in simulation.SHAPES
        ),
    )


def stacks(campaigns: int) -> None:
    """Over stacks: what the summary's and the prediction interval cover, and how often each verdict is right."""
    print(f"Over stacks, campaigns of 3 blocks, {campaigns:,} a line: coverage of both intervals, %\n")
    truths = [(tau, "normal") for tau in (0.0, 0.05, 0.5, 1.0)] + [(0.5, "log-normal"), (0.5, "slow trials")]
    cells = [(simulation.CASES[0], tau, between) for tau, between in truths]
    cells += [(simulation.CASES[1], 0.05, "normal"), (simulation.CASES[2], 0.5, "normal")]
    rows = []
    for case, tau, between in cells:
        found = [simulation.over_stacks(n, 3, tau=tau, between=between, case=case, campaigns=campaigns) for n in (3, 5)]
        shares = (percent(share) for one in found for share in (one.summary, one.predicted))
        rows.append([case.name, f"{tau:g}", between, *shares, *(f"{one.width:.3g}×" for one in found)])
    table(
        ["residuals of the logs", "tau", "stacks", "summary of 3", "next after 3", "summary of 5", "next after 5",
         "width after 3", "after 5"],
        rows,
    )  # fmt: skip
    verdicts = [one for one in simulation.STACKS_VERDICTS if one != "too few stacks"]  # which takes fewer stacks
    print(f"Verdicts over stacks, %, {campaigns:,} campaigns a line\n")
    rows = []
    for name, effects in STACKS.items():
        for case, blocks in ((simulation.CASES[0], 3), (simulation.CASES[0], 5), (simulation.CASES[1], 5)):
            each = simulation.over_stacks(effects, blocks, case=case, campaigns=campaigns).verdicts
            rows.append([name, case.name, blocks, *(percent(each[one]) for one in verdicts)])
    table(["true ratios", "residuals of the logs", "blocks", *verdicts], rows)


STACKS = {
    "1.00 on all 3": (0.0,) * 3,
    "1.00 on all 5": (0.0,) * 5,
    "1.20 on all 3": (math.log(1.2),) * 3,
    "1.20 on all 5": (math.log(1.2),) * 5,
    "1.00 on one, 1.50 on 2": (0.0, math.log(1.5), math.log(1.5)),
    "1.00 on one, 1.50 on 4": (0.0, *(math.log(1.5),) * 4),
    "0.80 on one, 1.50 on 4": (math.log(0.8), *(math.log(1.5),) * 4),
}
"""True ratios of stacks."""


def statements(campaigns: int) -> None:
    """How often each statement is made, by the true ratio: "equivalent" is wrong from a ratio of 1.05 on."""
    print(f"Statements about one pair in %, margin 5 %, residuals of 3 %, 2 subjects, {campaigns:,} campaigns a cell\n")
    rows = []
    for case in simulation.CASES:
        for ratio in (1.0, 1.05, 1.1):
            for blocks in BLOCKS:
                shares = simulation.statements(case, 0.03, blocks, 2, ratio, campaigns)
                different = shares["a lower"] + shares["a higher"]
                others = (shares[one] for one in ("equivalent", "not resolved", "too few blocks"))
                rows.append([case.name, f"{ratio:g}", blocks, percent(different), *map(percent, others)])
    table(
        ["residuals of the logs", "true ratio", "blocks", "different", "equivalent", "not resolved", "too few blocks"],
        rows,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
