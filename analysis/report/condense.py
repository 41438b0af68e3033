"""Caveats that say the same thing of several trials, subjects or metrics, as one line.

Invariant: nothing is dropped. Lines become one only when they differ in nothing but which trials and how far beyond a
limit, which subject, or which metric; the line that is left names them all. report.json keeps every line by itself.
Called by the report, for the page, Markdown and the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rtbench.analysis.metrics import catalogue
from rtbench.analysis.report.caveats import Caveat

_TRIAL = re.compile(r"trial (\d+), (\S+(?: \[[^]]*\])?)(?:, is (\w+))?: (.*)", re.DOTALL)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def condense(caveats: Iterable[Caveat], subjects: Sequence[str]) -> list[Caveat]:
    """The caveats in their order, each group at the place of its first line."""
    lines = _merge(caveats, _trial_key, _trials)
    for words in ([m.name for m in catalogue()], list(subjects)):
        longest = sorted(map(re.escape, words), key=len, reverse=True)
        pattern = rf"(?<![\w@+-])(?:{'|'.join(longest)})(?![\w@+-])" if longest else r"(?!)"
        lines = _merge(lines, *_differ(re.compile(pattern)))
    return _merge(lines, *_differ(_NUMBER))


_Key = Callable[[Caveat], object | None]
_Join = Callable[[list[Caveat]], Caveat]


def _merge(caveats: Iterable[Caveat], key: _Key, join: _Join) -> list[Caveat]:
    groups: dict[object, list[Caveat]] = {}
    for place, caveat in enumerate(caveats):
        same = key(caveat)
        groups.setdefault((caveat.kind, caveat.remedy, caveat.grave, place if same is None else same), []).append(
            caveat
        )
    return [group[0] if len(group) == 1 else join(group) for group in groups.values()]


def _trial_key(caveat: Caveat) -> object | None:
    found = _TRIAL.fullmatch(caveat.message)
    if found is None:
        return None
    # of an invalid trial the numbers say how far beyond a limit; of a failed one they may say what happened
    return found[3], found[4] if found[3] == "failed" else _NUMBER.sub("#", found[4])


def _trials(group: list[Caveat]) -> Caveat:
    """`3 trials are invalid (4, 7 of sse-aiohttp; 2 of websocket-aiohttp): 1 to 8 TCP segments …`."""
    found = [m for m in (_TRIAL.fullmatch(c.message) for c in group) if m]
    of: dict[str, list[str]] = {}
    for match in found:
        of.setdefault(match[2], []).append(match[1])
    which = "; ".join(f"{', '.join(numbers)} of {name}" for name, numbers in of.items())
    columns = zip(*(_NUMBER.findall(match[4]) for match in found), strict=True)
    ranges = iter([_range(column) for column in columns])
    body = _NUMBER.sub(lambda _: next(ranges), found[0][4])
    count = len({match[1] for match in found})
    if found[0][3] is None:
        return replace(group[0], message=f"{count} trial{'s' if count > 1 else ''} ({which}): {body}")
    are = f"{count} trials are" if count > 1 else "1 trial is"
    return replace(group[0], message=f"{are} {found[0][3]} ({which}): {body}")


def _range(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=lambda n: float(n.replace(",", "")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _differ(pattern: re.Pattern[str]) -> tuple[_Key, _Join]:
    """How to merge lines that hold one match of `pattern` each and are equal besides: all that is matched is named."""

    def key(caveat: Caveat) -> object | None:
        return pattern.sub("#", caveat.message) if len(pattern.findall(caveat.message)) == 1 else None

    def join(group: list[Caveat]) -> Caveat:
        names = list(dict.fromkeys(pattern.findall(c.message)[0] for c in group))
        if len(names) == 1:
            return group[0]
        message = pattern.sub(lambda _: ", ".join(names), group[0].message, count=1)
        message = message.replace(f"{names[-1]} has ", f"{names[-1]} have ")
        return replace(group[0], message=re.sub(r"\babout it\b", "about them", message))

    return key, join
