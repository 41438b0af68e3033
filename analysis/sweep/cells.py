"""The cells of a sweep, each as evidence of its own, from which claims and advice read their conditions.

Invariant: no number of one cell goes into another's; without a sweep there is one cell, the campaign itself. Called by
the claims and the advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtbench.analysis.evidence import Evidence, alone


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a sweep. `settings`: dotted key to value, empty without a sweep."""

    settings: Mapping[str, Any]
    evidence: Evidence

    @property
    def scenario(self) -> Mapping[str, Any]:
        """The campaign's scenario with this cell's settings in it."""
        return scenario(self.evidence)

    @property
    def name(self) -> str:
        """`poll.interval_s = 2`; empty without a sweep."""
        return ", ".join(f"{key} = {value}" for key, value in self.settings.items())


def with_settings(scenario: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A nested table with dotted keys laid over it."""
    table: dict[str, Any] = dict(scenario)
    for key, value in settings.items():
        parent, _, rest = key.partition(".")
        inner = table.get(parent)
        table[parent] = with_settings(inner if isinstance(inner, Mapping) else {}, {rest: value}) if rest else value
    return table


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table as dotted keys and their values: what `with_settings` lays over a table."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def scenario(evidence: Evidence) -> Mapping[str, Any]:
    """What these trials were asked for: the campaign's scenario, and what a sweep set for all of them."""
    table = evidence.campaign.document.get("scenario") or {}
    settings = [r.trial.manifest.get("cell") or {} for r in evidence.results]
    return with_settings(table, settings[0]) if settings and all(s == settings[0] for s in settings) else table


def at(table: Mapping[str, Any], key: str) -> float | None:
    """The number at a dotted key of a scenario; None where there is none."""
    value: Any = table
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def cells(evidence: Evidence) -> list[Cell]:
    """The cells in the order in which they were first measured."""
    if not evidence.swept:
        return [Cell({}, evidence)]
    return [Cell(cell, alone(evidence, cell)) for cell in evidence.campaign.cells]
