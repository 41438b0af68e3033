"""Before and after, subject by subject: has anything become worse? Two campaigns, or two subjects of one campaign.

Invariant: a difference is said only when it survives control of the false discovery rate (Benjamini and Hochberg 1995;
valid for metrics that move together) over all comparisons that were judged, and lies outside the noise floor (R9). Two
campaigns share no blocks: Welch's t-interval of the difference of mean logs. Two subjects of one campaign share them:
the paired t-interval. Counts of faults are exact, and judged as such. What was measured on another machine, kernel or
Python has no comparable times and costs: they are refused with the key and both values, while facts (counts, bytes) are
still compared. Another scenario is another question: refused as a whole. Called by `rtbench compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.analysis.campaigns.load import checked_keys, load
from rtbench.analysis.campaigns.trials import item_name
from rtbench.analysis.evidence import USABLE_NEEDED, Evidence, gather
from rtbench.analysis.metrics import Metric, catalogue
from rtbench.analysis.regression import verdicts
from rtbench.analysis.regression.changes import Change, Difference
from rtbench.analysis.regression.same_question import asked_otherwise
from rtbench.analysis.regression.verdicts import FALSE_DISCOVERIES, Sides, faults, trials, values_of
from rtbench.analysis.statistics.compare import CONFIDENCE
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.errors import ResultsError

JUDGED = (
    "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "latency_kernel_p99_ns", "server_cpu_ns_per_message",
    "tcp_down_bytes_per_message", "tcp_up_bytes_per_message", "connect_p50_ns",
)  # fmt: skip
"""What can be a regression by its ratio: more of them would only cost power."""

FAULTS = ("lost", "duplicated", "reordered", "corrupted", "connections_failed")

TOLERANCE = 1.05
"""A change smaller than this is no regression, however narrow its interval."""

_MAY_DIFFER = ("environment.packages", "environment.rtbench", "rtbench")
"""Keys that one compares: a note, no obstacle."""


def against(
    baseline: Path, current: Path, tolerance: float = TOLERANCE, calibration: Mapping[str, Any] | None = None
) -> Difference:
    """Compare two results folders. `calibration`: one of their machine, instead of what each campaign kept.

    Raises ResultsError when one cannot be read, when their scenarios ask different things (it names the key and both
    values), or when no subject is in both.
    """
    before, now = load(baseline), load(current)
    notes = asked_otherwise(before.document, now.document, baseline, current)
    one, other = checked_keys(before.document), checked_keys(now.document)
    obstacles: list[str] = []
    if baseline.resolve() == current.resolve():
        notes.append("both are the same folder")
    for key in sorted((one.keys() | other.keys()) - {"scenario_hash"}):
        if one.get(key) != other.get(key):
            line = f"{key} differs: {one.get(key)!r} before, {other.get(key)!r} now"
            (notes if key.startswith(_MAY_DIFFER) else obstacles).append(line)
    one_side, other_side = (gather(side, calibration) for side in (before, now))
    return difference(one_side, other_side, tolerance, notes, obstacles)


def within(
    folder: Path, base: str, head: str, tolerance: float = TOLERANCE, calibration: Mapping[str, Any] | None = None
) -> Difference:
    """Compare two subjects of one campaign, paired by blocks: what works on a machine whose speed wanders.

    Raises ResultsError when the folder cannot be read or has no such subject.
    """
    campaign = load(folder)
    names = [row["subject"] for row in campaign.subjects]
    for name in (base, head):
        if name not in names:
            raise ResultsError(f"{folder}: has no subject {name!r}", f"one of {', '.join(names) or 'none'}")
    if base == head:
        raise ResultsError(f"{base} cannot be compared with itself", "name two subjects: --subjects BASE,HEAD")
    evidence = gather(campaign, calibration)
    of_base = {item_name("", t.cell): t.item for t in campaign if t.subject == base}
    of_head = {item_name("", t.cell): t.item for t in campaign if t.subject == head}
    pairs = [(of_head[cell], of_base[cell], of_head[cell]) for cell in of_head if cell in of_base]
    return _difference(evidence, evidence, pairs, tolerance, paired=True, title=(base, head))


def difference(
    before: Evidence,
    now: Evidence,
    tolerance: float = TOLERANCE,
    notes: Sequence[str] = (),
    obstacles: Sequence[str] = (),
) -> Difference:
    """The same as `against` from evidence that is already there. `obstacles`: keys for which times and costs are not
    comparable. Raises ResultsError when no subject is in both."""
    ours, theirs = _items(before), _items(now)
    shared = [name for name in theirs if name in ours]
    alone = [name for name in (*ours, *theirs) if name not in shared]
    if not shared:
        raise ResultsError("no subject is in both", f"before: {', '.join(ours) or 'none'}; now: {', '.join(theirs)}")
    notes = (*notes, *(f"{name} is {'only before' if name in ours else 'only now'}: not compared" for name in alone))
    pairs = [(name, name, name) for name in shared]
    return _difference(before, now, pairs, tolerance, paired=False, notes=notes, obstacles=obstacles)


def _difference(
    before: Evidence,
    now: Evidence,
    pairs: Sequence[tuple[str, str, str]],
    tolerance: float,
    *,
    paired: bool,
    notes: Sequence[str] = (),
    obstacles: Sequence[str] = (),
    title: tuple[str, str] | None = None,
) -> Difference:
    """`pairs`: what it is called, and the items before and now."""
    floor = _floor(before, now)
    raw: list[tuple[Change, Metric]] = []
    too_few: dict[str, None] = {}
    for name, was, is_ in pairs:
        for side, evidence, item in (("before", before, was), ("now", now, is_)):
            usable = sum(t.status == "ok" for t in trials(evidence, item))
            if usable < USABLE_NEEDED:
                too_few[f"{item} has {usable} valid trial{'s' * (usable != 1)} {side}, {USABLE_NEEDED} are needed"] = (
                    None
                )
        for metric in catalogue():
            values = Sides(values_of(before, was, metric.name), values_of(now, is_, metric.name), paired)
            if metric.name in FAULTS:
                raw += [(change, metric) for change in faults(before, now, name, was, is_, metric)]
            elif metric.name in JUDGED and (values.was or values.now):
                raw.append((verdicts.tested(name, metric, values, obstacles), metric))
    adjusted = iter(adjust(np.array([c.p for c, _ in raw if c.p is not None], dtype=np.float64)).tolist())
    changes = []
    for change, metric in raw:
        if change.p is not None:
            change = verdicts.judged(replace(change, p=next(adjusted)), metric, floor, tolerance)
        elif (
            change.verdict in ("worse", "better") and metric.name in JUDGED
        ):  # exact: nothing was tested, the tolerance still holds
            change = verdicts.judged(change, metric, floor, tolerance)
        changes.append(change)
    tested = sum(change.p is not None for change in changes)
    how = "paired by blocks" if paired else "Welch's t"
    judged = (
        f"{tested} comparisons judged ({how}, {CONFIDENCE:.0%} intervals), false discoveries held to "
        f"{FALSE_DISCOVERIES:.0%} (Benjamini-Hochberg); a regression: worse by more than {100 * (tolerance - 1):.3g} %"
    )
    what = "no A/A control: the noise floor is not known" if floor is None else "nothing below the noise floor is said"
    named = (now.calibration or {}).get("file")
    what += f" (calibration {named}, named by --calibration)" if named else ""
    names = title or (str(before.campaign.document.get("campaign")), str(now.campaign.document.get("campaign")))
    refused = [f"times and costs are not compared: {line}" for line in obstacles]
    damage = dict.fromkeys(
        str(warning["message"])
        for evidence in (before, now)
        for warning in evidence.warnings
        if warning.get("kind") == "damaged-trial"
    )
    return Difference(*names, tuple(changes), (judged, what, *refused, *notes, *damage), tuple(too_few))


def _items(evidence: Evidence) -> list[str]:
    """Every subject in every cell that has a trial; cells compare like subjects."""
    place = evidence.campaign.places
    found = dict.fromkeys((place[r.trial.subject], r.trial.item) for r in evidence.results)
    return [item for _, item in sorted(found, key=lambda row: row[0])]


def _floor(before: Evidence, now: Evidence) -> dict[str, float] | None:
    """The larger of both noise floors of every metric, None when neither has one."""
    tables = [e.noise_floor["metrics"] for e in (before, now) if e.noise_floor]
    if not tables:
        return None
    return {name: max(table.get(name, 1.0) for table in tables) for table in tables for name in table}
