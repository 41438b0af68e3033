"""Whether two campaigns asked the same of their subjects, which a comparison requires. Called by `baseline`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbench.analysis.sweep.cells import flat
from rtbench.errors import ResultsError

_OTHER_QUESTION = frozenset({"name", "description", "subjects", "subject", "blocks", "seed", "thresholds", "validity"})
"""Keys of a scenario that do not change what is asked of a subject."""


def _asked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario's keys; a key that is newer than the file has its former effective value."""
    asked = flat(document.get("scenario") or {})
    return {"warmup_messages": 0, **asked} if asked else {}


def asked_otherwise(one: Mapping[str, Any], other: Mapping[str, Any], here: Path, there: Path) -> list[str]:
    """Notes on keys of the scenario that may differ. Raises ResultsError for one that may not."""
    ours, theirs = (_asked(document) for document in (one, other))
    notes = [
        f"scenario.{key} differs: {ours.get(key)!r} before, {theirs.get(key)!r} now"
        for key in ("blocks", "seed")
        if ours.get(key) != theirs.get(key)
    ]
    if one.get("scenario_hash") == other.get("scenario_hash"):
        return notes
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) == theirs.get(key):
            continue
        if key.split(".")[0] not in _OTHER_QUESTION:
            raise ResultsError(
                f"not comparable: scenario.{key} differs: {ours.get(key)!r} in {here}, {theirs.get(key)!r} in {there}",
                "measure both with one scenario",
            )
    if not ours or not theirs:
        raise ResultsError(
            f"not comparable: scenario_hash differs: {one.get('scenario_hash')!r} in {here}, "
            f"{other.get('scenario_hash')!r} in {there}",
            "measure both with one scenario",
        )
    return notes
