"""The article's eight claims as hypotheses, one file each: what is claimed, how a campaign tests it, what it found.

Invariant: a finding comes from one campaign alone, so that times of two machines or two scenarios are never mixed; a
claim's outcome is that of the first campaign that tests it, and what the others found stands beside it. A text names
the stacks that it rests on: one stack says nothing of a transport on others (R17). It names TLS, HTTP/2, compression
and the network that it was measured with, too. A claim that no campaign tests says so and names the command that would.
Every module of this package that defines `HYPOTHESIS` is one: no list to edit. Called by the report.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from functools import cache

from rtbench.analysis.campaigns import conditions
from rtbench.analysis.claims.claim import Finding, Hypothesis, Judged
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.sweep.cells import Cell, cells, scenario

__all__ = ["Finding", "Hypothesis", "Judged", "hypotheses", "judge"]


@cache
def hypotheses() -> tuple[Hypothesis, ...]:
    """All, by their number."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = [module.HYPOTHESIS for module in modules if hasattr(module, "HYPOTHESIS")]
    return tuple(sorted(found, key=lambda one: one.number))


def judge(campaigns: Sequence[Evidence]) -> list[Judged]:
    """Every claim against every campaign, each by itself. `campaigns`: the report's own first."""
    split = [(evidence, cells(evidence)) for evidence in campaigns]
    return [Judged(one, tuple(_findings(one, split))) for one in hypotheses()]


def _findings(one: Hypothesis, campaigns: Sequence[tuple[Evidence, Sequence[Cell]]]) -> Iterator[Finding]:
    for evidence, parts in campaigns:
        name = str(evidence.campaign.document.get("campaign", "this campaign"))
        found = [(cell, finding) for cell in parts if (finding := one.judge(cell.evidence)) is not None]
        swept = "; ".join(f"{cell.name}: {finding.outcome}" for cell, finding in found if cell.name)
        for cell, finding in found:
            flips = f"Measured over the sweep: {swept}. {finding.flips}".strip() if cell.name else finding.flips
            where = finding.campaign or (f"{name}, {cell.name}" if cell.name else name)
            text = _where(cell.evidence, finding) + finding.text
            text = f"At {cell.name}: {text}" if cell.name else text
            yield Finding(finding.outcome, text, finding.points, flips, where)
            if finding.campaign:  # a finding that no campaign made
                return


def _where(evidence: Evidence, finding: Finding) -> str:
    """The stacks that a finding rests on (R17) and the way to the subscribers: `Measured on aiohttp, with TLS 1.3. `.
    Empty for one that rests on no subject."""
    stack_of = {s.name: s.stack for s in evidence.subjects}
    stacks = list(dict.fromkeys(stack_of[n] for p in finding.points for n in (p.a, p.b) if n in stack_of))
    if not stacks:
        return ""
    several = f"{len(stacks)} stacks ({', '.join(map(naming.stack, stacks))})"
    way = conditions.between({}, scenario(evidence))
    return (
        f"Measured on {several if len(stacks) > 1 else naming.stack(stacks[0])}"
        f"{', with ' + ', '.join(way) if way else ''}. "
    )
