"""What every subject really used, side by side, and the caveats where subjects differ in it (R11).

Invariant: a value comes from the trials' manifests, never from the scenario; a key whose value differs between the
trials of one subject shows that. A key is an asymmetry if subjects differ in it and it is neither the identity of a
subject nor mere information. Called by the report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtbench.analysis.evidence import Evidence, Result
from rtbench.analysis.format import MISSING
from rtbench.analysis.report.caveat import Caveat
from rtbench.analysis.sweep.cells import flat

IDENTITY = ("stack", "technique", "observed")
"""Keys that say what a subject is (where they differ, the caveats of its arm say so), and what is only good to know."""


@dataclass(frozen=True, slots=True)
class FairnessRow:
    """One key of the manifests; `cells` are in the order of the subjects, in a sweep without their cells."""

    key: str
    cells: tuple[str, ...]
    differs: bool
    """An asymmetry."""


def manifests(evidence: Evidence) -> list[FairnessRow]:
    """A row a key, the asymmetries first, then as the manifests have them; empty when no trial recorded any."""
    used: dict[str, dict[str, list[str]]] = {}
    for result in evidence.results:
        for key, value in flat(result.trial.manifest.get("fairness") or {}).items():
            values = used.setdefault(key, {}).setdefault(result.trial.subject, [])
            if (text := _word(value)) not in values:
                values.append(text)
    names = list(dict.fromkeys(s.base for s in evidence.subjects))
    recorded = {name for of in used.values() for name in of}
    rows = []
    for key, of in used.items():
        cells = tuple(" or ".join(of.get(name, [MISSING])) for name in names)
        known = {cell for name, cell in zip(names, cells, strict=True) if name in recorded}
        rows.append(FairnessRow(key, cells, len(known) > 1 and key.partition(".")[0] not in IDENTITY))
    return sorted(rows, key=lambda row: (not row.differs, row.key.startswith("observed.")))


def plain(value: object) -> object:
    """A whole number without a point: JSON made by JavaScript has none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _word(value: object) -> str:
    value = plain(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_word, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def caveats(evidence: Evidence) -> Iterator[Caveat]:
    """Keys of the fairness manifests in which subjects of one cell differ (R11), once for cells that agree."""
    place = evidence.campaign.places
    results = sorted(evidence.results, key=lambda r: place[r.trial.subject])
    for cell in evidence.campaign.cells:
        yield from _unfair([r for r in results if r.trial.cell == cell])


def _unfair(results: Sequence[Result]) -> Iterator[Caveat]:
    used: dict[str, dict[str, list[str]]] = {}
    for result in results:
        for key, value in (result.trial.manifest.get("fairness") or {}).items():
            if key in IDENTITY:
                continue
            names = used.setdefault(key, {}).setdefault(json.dumps(plain(value)), [])
            if result.trial.subject not in names:
                names.append(result.trial.subject)
    for key, values in used.items():
        if len(values) > 1:
            sides = "; ".join(f"{value} in {', '.join(names)}" for value, names in values.items())
            yield Caveat(
                "asymmetry",
                (f"subjects differ in {key}: {sides}",),
                "make them equal, or read it as part of them",
                True,
            )
