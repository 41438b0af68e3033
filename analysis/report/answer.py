"""The answer in three sentences: latency, what it costs the server, whether everything arrived; of a sweep, how the
first two grow over its key and where the order flips.

Invariant: a sentence names its arm and never ranks across arms (R10); every number in it carries its interval, and what
is said of a comparison is its verdict (R8). Called by the report, for its first lines and for the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence
from rtbench.analysis.sweep import curves, words

NAMED = 6
"""Subjects that a sentence names before it points to the table."""

_COUNTS = ("lost", "duplicated", "reordered", "corrupted")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and the metric that it is about."""

    text: str
    metric: str

    def row(self) -> dict[str, Any]:
        return {"text": self.text, "metric": self.metric}


def sentences(evidence: Evidence) -> list[Sentence]:
    """Exactly three."""
    latency = evidence.latency
    if (swept := curves.study(evidence)) is not None:
        first, second = words.sentences(evidence, swept)
        return [
            Sentence(first, latency),
            Sentence(second, "server_cpu_ns_per_message"),
            Sentence(_delivery(evidence), "lost"),
        ]
    where = (
        "at the client's kernel" if "kernel" in latency else "at the client's application, there being no kernel stamps"
    )
    cpu = "server_cpu_ns_per_message"
    return [
        Sentence(f"Median latency from the planned time, {where} — {_ranking(evidence, latency)}.", latency),
        Sentence(f"Server CPU per delivered message — {_ranking(evidence, cpu)}.", cpu),
        Sentence(_delivery(evidence), "lost"),
    ]


def _ranking(evidence: Evidence, metric: str) -> str:
    parts = []
    for arm, subjects in evidence.arms:
        if len(evidence.arms) > 1 or arm != "controlled":
            note = " (stacks differ)" if arm == "idiomatic" else ""
            parts.append(f"{arm} arm{note}: {_within(evidence, metric, subjects)}")
        else:
            parts.append(_within(evidence, metric, subjects))
    return "; ".join(parts) or "nothing was measured"


def _within(evidence: Evidence, metric: str, subjects: Sequence[ComparedSubject]) -> str:
    rows = [(s, evidence.summary(s.name, metric)) for s in subjects]
    known = sorted(
        ((s, row, row.median) for s, row in rows if row is not None and row.median is not None),
        key=lambda item: item[2],
    )
    if not known:
        return "not measured"
    best = known[0][0].name
    parts = []
    for subject, row, _ in known[1:NAMED]:
        found = evidence.comparison(metric, subject.name, best)
        said = f"{format.summary(row)}, no block has both" if found is None else format.statement(found)
        parts.append(f"{subject.name} {said}")
    if len(known) > NAMED:
        parts.append(f"{len(known) - NAMED} more in the table")
    relative = f"; relative to it: {'; '.join(parts)}" if parts else ""
    missing = [s.name for s, row in rows if row is None or row.median is None]
    unknown = f"; not measured: {', '.join(missing)}" if missing else ""
    return f"{best} {format.summary(known[0][1])}{relative}{unknown}"


def _delivery(evidence: Evidence) -> str:
    measured = [r for r in evidence.results if r.metrics]
    expected = sum(r.metrics.get("expected") or 0 for r in measured)
    parts = []
    for kind in _COUNTS:
        per_subject = {
            s.name: sum(r.metrics.get(kind) or 0 for r in evidence.of(s.name) if r.metrics) for s in evidence.subjects
        }
        total = sum(per_subject.values())
        who = ", ".join(f"{name} {count:,.0f}" for name, count in per_subject.items() if count)
        parts.append(f"{total:,.0f} {kind}" + (f" ({who})" if who else ""))
    statuses = [r.trial.status for r in evidence.results]
    aside = ", ".join(f"{statuses.count(s)} {s}" for s in ("invalid", "failed") if s in statuses)
    trials = f"{statuses.count('ok')} of {len(statuses)} trials valid" + (f" ({aside})" if aside else "")
    counted = f"all {len(measured)} measured trials" if len(measured) != 1 else "the measured trial"
    return f"Of {expected:,.0f} expected deliveries in {counted}: {', '.join(parts)}; {trials}."
