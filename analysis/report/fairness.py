"""What every subject really used, side by side (R11).

Invariant: a value comes from the trials' manifests, never from the scenario; a key whose value differs between the
trials of one subject shows that. A key is an asymmetry if subjects differ in it and it is neither the identity of a
subject nor mere information. Called by the report.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.format import MISSING
from rtbench.analysis.sweep.cells import flat

IDENTITY = ("stack", "technique", "observed")
"""Keys that say what a subject is (where they differ, the caveats of its arm say so), and what is only good to know."""


@dataclass(frozen=True, slots=True)
class FairnessRow:
    """One key of the manifests; `cells` are in the order of the subjects."""

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
    names = evidence.names
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
