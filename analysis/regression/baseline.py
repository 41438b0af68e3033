"""Before and after, subject by subject: has anything become worse? Two campaigns, or two subjects of one campaign.

Invariant: `judgement` decides what a ratio may claim, as in the report. Two campaigns share no blocks: Welch's
t-interval of the difference of mean logs, all of them one family. Two subjects of one campaign share blocks: their
comparisons, verdicts and families are those of the campaign's report. Counts of faults are exact, and judged as such.
Times and costs of another machine, kernel or Python are refused with the key and both values, while facts (counts,
bytes) are still compared. Campaigns of another scenario are refused as a whole. Called by `rtbench compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.analysis.campaigns.load import checked_keys, load
from rtbench.analysis.campaigns.trials import item_name
from rtbench.analysis.evidence import USABLE_NEEDED, Evidence, gather, origin
from rtbench.analysis.evidence.naming import headings
from rtbench.analysis.metrics import catalogue
from rtbench.analysis.regression import verdicts
from rtbench.analysis.regression.changes import FAULTS, Change, Difference
from rtbench.analysis.regression.same_question import asked_otherwise
from rtbench.analysis.regression.verdicts import FALSE_DISCOVERIES, Opened, Sides, faults, trials, values_of
from rtbench.analysis.statistics.compare import CONFIDENCE
from rtbench.analysis.statistics.judgement import Comparison, Family, judge
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.analysis.statistics.power import Floor
from rtbench.errors import ResultsError

JUDGED = (
    "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "latency_kernel_p99_ns", "server_cpu_ns_per_message",
    "tcp_down_bytes_per_message", "tcp_up_bytes_per_message", "connect_p50_ns",
)  # fmt: skip
"""The metrics whose ratio can be a regression: more metrics would only cost power."""

TOLERANCE = 1.05
"""Smaller changes are never called a regression, however narrow their interval."""

_MAY_DIFFER = ("environment.packages", "environment.rtbench", "environment.commit", "rtbench")
"""Keys that may differ: the comparison notes them."""


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
    found: list[Opened] = []
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
                found += [Opened(change) for change in faults(before, now, name, was, is_, metric)]
            elif metric.name in JUDGED and (values.was or values.now):
                reported = now.comparison(metric.name, is_, was) if paired else None
                found.append(verdicts.opened(name, metric, values, obstacles, reported))
    changes, families = _judged(found, before, now, tolerance)
    how = "as its report has them, paired by blocks" if paired else "Welch's t"
    sizes = "; ".join(f"{family.name}: {family.size}" for family in families)
    judged = (
        f"judged together, {how}: {sizes}; {CONFIDENCE:.0%} intervals, false discoveries held to "
        f"{FALSE_DISCOVERIES:.0%} (Benjamini-Hochberg); a regression: worse by more than {100 * (tolerance - 1):.3g} %"
    )
    known = before.noise_floor or now.noise_floor
    what = "nothing below the noise floor is claimed" if known else "no A/A control: the noise floor is not known"
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
    sides = (origin.side(now, names),) if paired else (origin.side(before), origin.side(now))
    words = headings(before.subjects) | headings(now.subjects)
    return Difference(*names, tuple(changes), (judged, what, *refused, *notes, *damage), tuple(too_few), sides, words)


def _items(evidence: Evidence) -> list[str]:
    """Every subject in every cell that has a trial; cells compare like subjects."""
    place = evidence.campaign.places
    found = dict.fromkeys((place[r.trial.subject], r.trial.item) for r in evidence.results)
    return [item for _, item in sorted(found, key=lambda row: row[0])]


def _judged(
    found: Sequence[Opened], before: Evidence, now: Evidence, tolerance: float
) -> tuple[list[Change], tuple[Family, ...]]:
    """The changes with their verdicts, and the families that these were judged in."""

    def floors(metric: str) -> Floor | None:
        each = [floor for side in (before, now) if (floor := side.floor_of(metric)) is not None]
        return (lambda blocks: max(floor(blocks) for floor in each)) if each else None

    changes = [one.change for one in found]
    estimates = {i: one.estimate for i, one in enumerate(found) if one.estimate is not None}
    reported = {i: one for i, one in estimates.items() if isinstance(one, Comparison)}
    fresh = {i: one for i, one in estimates.items() if i not in reported}
    margin = min(before.margin, now.margin)
    together, family = judge(list(fresh.values()), "before and after", margin, floors)
    for i, one in {**reported, **dict(zip(fresh, together, strict=True))}.items():
        changes[i] = verdicts.judged(changes[i], one, tolerance)
    bare = {i: one.p for i, one in enumerate(found) if one.p is not None}
    q = adjust(np.array(list(bare.values()), dtype=np.float64)).tolist()
    for i, adjusted in zip(bare, q, strict=True):
        changes[i] = verdicts.without_ratio(changes[i], adjusted)
    mine = {one.family for one in reported.values()}
    return changes, tuple(f for f in now.families if f.name in mine) if reported else (family,)
