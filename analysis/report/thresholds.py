"""The scenario's thresholds: which are crossed, in words, and the caveats that say so.

Invariant: a threshold is held against the median over trials that the report shows. Called by `caveats`, and by the
report for its exit code.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.metrics import find
from rtbench.analysis.report import caveat
from rtbench.analysis.report.caveat import Agreeing, Caveat, Part, Text


def caveats(evidence: Evidence) -> Iterator[Caveat]:
    for text in crossed(evidence):
        yield Caveat("threshold", text, "this sets exit code 1", True)


def crossed(evidence: Evidence) -> list[Text]:
    """The scenario's thresholds ("SUBJECT.METRIC" = {max = …} or {min = …}) that the median over trials is beyond."""
    lines: list[Text] = []
    for key, limits in (evidence.campaign.document.get("scenario", {}).get("thresholds") or {}).items():
        subject, _, metric = key.rpartition(".")
        # In a sweep the subject's name means all its cells, and SUBJECT [CELL] one of them.
        named = [s.name for s in evidence.subjects if subject in (s.base, s.name)] or [subject]
        for name in named:
            summary = evidence.summary(name, metric)
            value, what = summary.median if summary else None, caveat.subject(f"{name}.{metric}")
            if value is None:
                lines.append((what, " ", Agreeing("has", "have"), " a limit but no value"))
            elif "max" in limits and value > limits["max"]:
                lines.append(_beyond(what, value, "above", limits["max"], metric))
            elif "min" in limits and value < limits["min"]:
                lines.append(_beyond(what, value, "below", limits["min"], metric))
    return lines


def _beyond(what: Part, value: float, side: str, limit: float, metric: str) -> Text:
    unit = find(metric).unit
    limited = format.quantity(limit, unit)
    # Three digits may hide the difference that is the finding.
    shown = caveat.quantity(value, unit) if format.quantity(value, unit) != limited else (f"{value:.9g} {unit}",)
    return what, " is ", *shown, f", {side} the limit of {limited}"
