"""A scenario's keys by their dotted names, and the combinations of a sweep. Called by `rtbench.scenario.loading`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from rtbench.errors import ScenarioError


def combinations(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a [sweep] table's values, by dotted key, in its order; none without a sweep."""
    axes = list(_leaves(sweep))
    if not axes:
        return []
    found = itertools.product(*(axis for _, axis in axes))
    return [dict(zip((key for key, _ in axes), values, strict=True)) for values in found]


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value)


def put(table: dict[str, Any], key: str, value: Any, what: str) -> None:
    """Set a dotted key. `what` names it in errors. Raises ScenarioError if a parent is not a table."""
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{what}: {parent} is not a table", "see `rtbench run --help`")
    table[last] = value
