"""The table "Over stacks": every transport beside SSE on each stack, over all of them, and on the next one (R17).

Invariant: look-ups in the evidence's matrix; no number is computed again. Called by the page, for HTML and Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.campaigns.trials import item_name
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.metrics import find
from rtbench.analysis.report.answer import holds, spanned
from rtbench.analysis.statistics.across_stacks import AcrossStacks
from rtbench.analysis.statistics.compare import bounded_exp
from rtbench.analysis.statistics.judgement import Comparison


@dataclass(frozen=True, slots=True)
class StackCell:
    """A cell of the table. `side`: as of `tables.MatrixCell`; empty unless the cell is a comparison."""

    text: str
    side: str


@dataclass(frozen=True, slots=True)
class StacksRow:
    """`first`: whether it is the first of its metric, whose name then stands beside it."""

    metric: str
    transport: str
    first: bool
    cells: tuple[StackCell, ...]
    """A cell a stack, then as `Stacks.heads`."""
    verdict: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """The whole table. `stacks`: its columns, in the order of the scenario."""

    beside: str
    stacks: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[StacksRow, ...]
    predicted: tuple[int, ...]
    """The fewest and the most stacks that a prediction interval is from; one number where they are the same, none
    without an interval."""


def table(evidence: Evidence) -> Stacks:
    """Without rows where no transport is on two stacks."""
    rows = evidence.matrix
    stacks = tuple(dict.fromkeys(s.stack for s in evidence.subjects if any(s.stack in dict(r.stacks) for r in rows)))
    shown: list[StacksRow] = []
    for row in rows:
        metric = item_name(find(row.metric).title, row.cell)
        of = dict(row.stacks)
        cells = (*(_of_stack(of.get(stack)) for stack in stacks), *(StackCell(text, "") for text in _over(row)))
        first = not shown or shown[-1].metric != metric
        shown.append(
            StacksRow(metric, naming.capital(naming.transport(row.transport)), first, cells, verdict(row, len(stacks)))
        )
    counts = [len(row.stacks) for row in rows if row.predicted is not None]
    predicted = tuple(sorted({min(counts), max(counts)})) if counts else ()
    beside = naming.transport(rows[0].relative_to) if rows else ""
    return Stacks(beside, tuple(map(naming.stack, stacks)), ("over stacks", "next stack", "τ"), tuple(shown), predicted)


def _of_stack(one: Comparison | None) -> StackCell:
    if one is None:
        return StackCell(format.MISSING, "empty")
    sides = {"a lower": "lower", "a higher": "higher", "equivalent": "equivalent"}
    return StackCell(format.ratio(one), sides.get(one.verdict, "open"))


def _over(row: AcrossStacks) -> tuple[str, str, str]:
    """The summary with its interval, where the next stack is expected, and the spread between stacks."""
    if row.summary is None or row.effects is None:
        return (format.MISSING,) * 3
    tau = row.effects.tau
    predicted = format.MISSING if row.predicted is None else format.span(row.predicted)
    return (
        format.ratio(row.summary),
        predicted,
        format.MISSING if tau is None else f"{format.number(bounded_exp(tau))}×",
    )


def verdict(row: AcrossStacks, of: int) -> str:
    """`higher on every stack: 1.9× to 9.9×`, `depends on the stack: 0.86× to 4.6×`, `too few stacks (2)`.

    `of`: the stacks of the table (`answer.holds`).
    """
    match row.verdict:
        case "on every stack":
            return f"{row.direction} {holds(row, of)}: {spanned(row)}"
        case "depends on the stack":
            return f"depends on the stack: {spanned(row)}"
        case "too few stacks":
            return f"too few stacks ({len(row.stacks)})"
    return row.verdict
