"""Caveats that say the same thing of several trials, subjects or metrics, as one.

Invariant: nothing is dropped. Caveats become one only when they differ in nothing but which trials and how far beyond a
limit, which subject, or which metric; the one that is left holds them all. report.json keeps every caveat by itself.
Called by the report, for the page, Markdown and the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from rtbench.analysis.report.caveat import Amounts, Caveat, Names, Part


def condense(caveats: Iterable[Caveat]) -> list[Caveat]:
    """The caveats in their order, each group at the place of its first."""
    found = _merged(caveats, _trials)
    for differs in (_is_metric, _is_subject, _is_number):
        found = _merged(found, partial(_place, differs))
    return found


Key = tuple[object, ...]


def _merged(caveats: Iterable[Caveat], key: Callable[[Caveat], Key | None]) -> list[Caveat]:
    """One for each key, with all that its caveats hold; those without a key as they are."""
    groups: dict[Key, list[Caveat]] = {}
    for place, caveat in enumerate(caveats):
        same = key(caveat)
        own = (place,) if same is None else (caveat.kind, caveat.remedy, caveat.grave, caveat.status, caveat.spoils)
        groups.setdefault((own, same), []).append(caveat)
    return [group[0] if len(group) == 1 else _joined(group, key is _trials) for group in groups.values()]


def _joined(group: list[Caveat], of_trials: bool) -> Caveat:
    """All that the caveats hold in one. They are of one shape: their texts differ in names and numbers alone."""
    text = tuple(_united(parts) for parts in zip(*(caveat.text for caveat in group), strict=True))
    trials = tuple(trial for caveat in group for trial in caveat.trials) if of_trials else group[0].trials
    return replace(group[0], text=text, trials=trials)


def _united(parts: tuple[Part, ...]) -> Part:
    names = [part for part in parts if isinstance(part, Names)]
    if names:
        return replace(names[0], names=tuple(dict.fromkeys(name for part in names for name in part.names)))
    amounts = [part for part in parts if isinstance(part, Amounts)]
    return Amounts(tuple(one for part in amounts for one in part.amounts)) if amounts else parts[0]


def _trials(caveat: Caveat) -> Key | None:
    """The same of other trials. Of an invalid trial the numbers tell how far beyond a limit it is; of a failed one they
    may tell what happened."""
    if not caveat.trials:
        return None
    return (
        caveat.text if caveat.status == "failed" else tuple(None if _is_number(part) else part for part in caveat.text)
    )


def _place(differs: Callable[[Part], bool], caveat: Caveat) -> Key | None:
    """The same but for one place; a text with two such places may mean either."""
    if sum(map(differs, caveat.text)) != 1 or (caveat.trials and differs is _is_number):
        return None
    return (*caveat.trials, *(None if differs(part) else part for part in caveat.text))


def _is_metric(part: Part) -> bool:
    return isinstance(part, Names) and part.kind == "metric"


def _is_subject(part: Part) -> bool:
    return isinstance(part, Names) and part.kind == "subject"


def _is_number(part: Part) -> bool:
    return isinstance(part, Amounts)
