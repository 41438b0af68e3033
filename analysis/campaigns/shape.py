"""The shape that campaign.json and a manifest must have before anything is computed from them.

Invariant: what passes here can be read by every step of the analysis without a surprise of type; what does not is named
by its file and key. Keys that are not listed are free: who writes may add some (interface.md). Called by `load`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rtbench.errors import ResultsError

Check = Callable[[Any, str], str]
"""Given a value and where it stands: what is wrong with it, or nothing."""

MOST = 1 << 62
MOST_SUBSCRIBERS = 1 << 20


def whole(least: int = -MOST, most: int = MOST) -> Check:
    """An integer between the two."""

    def check(value: Any, where: str) -> str:
        fine = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if fine else f"{where} is {_shown(value)}, not a whole number from {least} to {most}"

    return check


def number(value: Any, where: str) -> str:
    """A finite number."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e300
    return "" if fine else f"{where} is {_shown(value)}, not a number"


def text(value: Any, where: str) -> str:
    return "" if isinstance(value, str) else f"{where} is {_shown(value)}, not a text"


def anything(_: Any, __: str) -> str:
    return ""


def one_of(*names: str) -> Check:
    def check(value: Any, where: str) -> str:
        return "" if value in names else f"{where} is {_shown(value)}, not one of {', '.join(names)}"

    return check


def either(*checks: Check) -> Check:
    """Any of them; the first one's complaint when none fits."""

    def check(value: Any, where: str) -> str:
        complaints = [one(value, where) for one in checks]
        return "" if "" in complaints else complaints[0]

    return check


def each(inner: Check) -> Check:
    """A list."""

    def check(value: Any, where: str) -> str:
        if not isinstance(value, list):
            return f"{where} is {_shown(value)}, not a list"
        return next((fault for i, v in enumerate(value) if (fault := inner(v, f"{where}[{i}]"))), "")

    return check


def table(needed: Mapping[str, Check] = {}, free: Check = anything, /, **optional: Check) -> Check:
    """An object: `needed` keys must be there, `optional` ones may be missing or null, `free` is for every other."""

    def check(value: Any, where: str) -> str:
        if not isinstance(value, dict):
            return f"{where or 'the file'} is {_shown(value)}, not an object"
        prefix = f"{where}." if where else ""
        for key, inner in needed.items():
            if key not in value:
                return f"{prefix}{key} is missing"
            if fault := inner(value[key], prefix + key):
                return fault
        for key, found in value.items():
            if key in needed or found is None:
                continue
            if fault := optional.get(key, free)(found, prefix + key):
                return fault
        return ""

    return check


_NS = whole(-(1 << 62), 1 << 62)
_REASONS = each(table(kind=text, message=text, remedy=text, metrics=each(text)))
_IDENTITY: dict[str, Check] = dict.fromkeys(("transport", "stack", "arm", "technique"), text)
_PLACE: dict[str, Check] = {"block": whole(0, 1 << 30), "position": whole(0, 1 << 30)}
_STATUS = one_of("ok", "invalid", "failed")

SCENARIO = table(
    name=text,
    description=text,
    subjects=each(text),
    subscribers=whole(0, MOST_SUBSCRIBERS),
    stream=either(text, each(text)),
    workload=table(channels=text),
    poll=table(),
    memory=table(ladder=each(number)),
    thresholds=table({}, table(max=number, min=number)),
)
_CELL = table(subscribers=whole(0, MOST_SUBSCRIBERS), stream=either(text, each(text)))

CAMPAIGN = table(
    scenario=SCENARIO,
    command=text,
    seed=whole(),
    rtbench=text,
    campaign=text,
    scenario_hash=text,
    order=each(each(text)),
    environment=table(),
    warnings=_REASONS,
    calibration=table(
        {
            "checks": each(table({"name": text, "met": anything, "deviation": number})),
            "measured_unix": either(whole(0, 1 << 40), number),
        },
        noise=table(metrics=table({}, table({"sd": number, "blocks": whole(1)}))),
        environment=table(),
    ),
    subjects=each(table({"subject": text}, **_IDENTITY)),
    cells=each(_CELL),
    trials=each(
        table(
            {"trial": whole(0, 1 << 30), "subject": text, "directory": text},
            status=_STATUS,
            cell=_CELL,
            manifest_sha256=text,
            **_PLACE,
        )
    ),
)
"""campaign.json."""

REPORTED = table({"scenario": table({"name": text}), "command": text, "seed": whole(), "rtbench": text})
"""What a report has to say of a campaign, besides."""

MANIFEST = table(
    status=_STATUS,
    reasons=_REASONS,
    warnings=_REASONS,
    window=table({"start_ns": _NS, "end_ns": _NS}),
    counts=table(subscribers=whole(0, MOST_SUBSCRIBERS)),
    unknown=each(text),
    cell=_CELL,
    processes=table({}, table()),
    **dict.fromkeys(("bytes", "network", "idle", "memory", "clocks", "steadiness", "faults"), table()),
    fairness=table(),
    timeline=table(),
    environment=table(),
    events=each(table()),
    files=table({}, table({"sha256": text})),
    scenario_hash=text,
    **_IDENTITY,
    **_PLACE,
)
"""manifest.json."""


def checked(value: Any, shape: Check, file: Path) -> dict[str, Any]:
    """The value without its empty (null) keys. Raises ResultsError that names the file and the key."""
    fault = shape(value, "")
    if not fault:
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:  # half a surrogate, NaN: JSON has neither, and no report could be written
            fault = f"it holds what is no text or number ({error})"
    if fault:
        raise ResultsError(f"{file}: {fault}", "the file is damaged; measure again")
    return {key: inner for key, inner in value.items() if inner is not None}


def _shown(value: Any) -> str:
    shown = json.dumps(value, default=repr)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
