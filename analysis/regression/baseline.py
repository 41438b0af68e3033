"""Before and after, subject by subject: has anything become worse? Two campaigns, or two subjects of one campaign.

Invariant: a difference is said only when it survives control of the false discovery rate (Benjamini and Hochberg 1995;
valid for metrics that move together) over all comparisons that were judged, and lies outside the noise floor (R9). Two
campaigns share no blocks: Welch's t-interval of the difference of mean logs. Two subjects of one campaign share them:
the paired t-interval. Counts of faults are exact, and judged as such. What was measured on another machine, kernel or
Python has no comparable times and costs: they are refused with the key and both values, while facts (counts, bytes) are
still compared. Another scenario is another question: refused as a whole. Called by `rtbench compare`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from rtbench.analysis.campaigns.load import checked_keys, load
from rtbench.analysis.campaigns.trials import Trial, item_name
from rtbench.analysis.evidence import USABLE_NEEDED, Evidence, gather
from rtbench.analysis.metrics import Metric, catalogue
from rtbench.analysis.regression.changes import Change, Difference
from rtbench.analysis.regression.t_tests import paired, welch
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

FALSE_DISCOVERIES = 0.05
"""The share of false ones that is accepted among the differences that are said."""

_MAY_DIFFER = ("environment.packages", "environment.rtbench", "rtbench")
"""Keys that one compares: a note, no obstacle."""

_OTHER_QUESTION = frozenset({"name", "description", "subjects", "subject", "blocks", "seed", "thresholds", "validity"})
"""Keys of a scenario that do not change what is asked of a subject."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """One metric of one subject before and now: block to the value that counts."""

    was: Mapping[int, float]
    now: Mapping[int, float]
    paired: bool


def against(
    baseline: Path, current: Path, tolerance: float = TOLERANCE, calibration: Mapping[str, Any] | None = None
) -> Difference:
    """Compare two results folders. `calibration`: this machine's newest, for the noise floor of what was measured here.

    Raises ResultsError when one cannot be read, when their scenarios ask different things (it names the key and both
    values), or when no subject is in both.
    """
    before, now = load(baseline), load(current)
    notes = _other_scenario(before.document, now.document, baseline, current)
    one, other = checked_keys(before.document), checked_keys(now.document)
    obstacles: list[str] = []
    if baseline.resolve() == current.resolve():
        notes.append("both are the same folder")
    for key in sorted((one.keys() | other.keys()) - {"scenario_hash"}):
        if one.get(key) != other.get(key):
            line = f"{key} differs: {one.get(key)!r} before, {other.get(key)!r} now"
            (notes if key.startswith(_MAY_DIFFER) else obstacles).append(line)
    one_side, other_side = (gather(side, _of_machine(calibration, side.document)) for side in (before, now))
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
    evidence = gather(campaign, _of_machine(calibration, campaign.document))
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
            usable = len({t.block for t in _trials(evidence, item) if t.status == "ok"})
            if usable < USABLE_NEEDED:
                too_few[f"{item} has {usable} valid trial{'s' * (usable != 1)} {side}, {USABLE_NEEDED} are needed"] = (
                    None
                )
        for metric in catalogue():
            values = _Sides(_values(before, was, metric.name), _values(now, is_, metric.name), paired)
            if metric.name in FAULTS:
                raw += [(change, metric) for change in _faults(before, now, name, was, is_, metric)]
            elif metric.name in JUDGED and (values.was or values.now):
                raw.append((_tested(name, metric, values, obstacles), metric))
    adjusted = iter(adjust(np.array([c.p for c, _ in raw if c.p is not None], dtype=np.float64)).tolist())
    changes = []
    for change, metric in raw:
        if change.p is not None:
            change = _judged(replace(change, p=next(adjusted)), metric, floor, tolerance)
        elif (
            change.verdict in ("worse", "better") and metric.name in JUDGED
        ):  # exact: nothing was tested, the tolerance still holds
            change = _judged(change, metric, floor, tolerance)
        changes.append(change)
    tested = sum(change.p is not None for change in changes)
    how = "paired by blocks" if paired else "Welch's t"
    judged = (
        f"{tested} comparisons judged ({how}, {CONFIDENCE:.0%} intervals), false discoveries held to "
        f"{FALSE_DISCOVERIES:.0%} (Benjamini-Hochberg); a regression: worse by more than {100 * (tolerance - 1):.3g} %"
    )
    what = "no A/A control: the noise floor is not known" if floor is None else "nothing below the noise floor is said"
    names = title or (str(before.campaign.document.get("campaign")), str(now.campaign.document.get("campaign")))
    refused = [f"times and costs are not compared: {line}" for line in obstacles]
    damage = dict.fromkeys(
        str(warning["message"])
        for evidence in (before, now)
        for warning in evidence.warnings
        if warning.get("kind") == "damaged-trial"
    )
    return Difference(*names, tuple(changes), (judged, what, *refused, *notes, *damage), tuple(too_few))


def _of_machine(calibration: Mapping[str, Any] | None, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The calibration if it is of the machine that the campaign was measured on."""
    mine = ((calibration or {}).get("environment") or {}).get("machine")
    return calibration if mine is not None and mine == (document.get("environment") or {}).get("machine") else None


def _other_scenario(one: Mapping[str, Any], other: Mapping[str, Any], here: Path, there: Path) -> list[str]:
    """Notes on keys of the scenario that may differ. Raises ResultsError for one that may not."""
    if one.get("scenario_hash") == other.get("scenario_hash"):
        return []
    notes = []
    ours, theirs = (_flat(document.get("scenario") or {}) for document in (one, other))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) == theirs.get(key):
            continue
        if key.split(".")[0] not in _OTHER_QUESTION:
            raise ResultsError(
                f"not comparable: scenario.{key} differs: {ours.get(key)!r} in {here}, {theirs.get(key)!r} in {there}",
                "measure both with one scenario",
            )
        if key in ("blocks", "seed"):
            notes.append(f"scenario.{key} differs: {ours.get(key)!r} before, {theirs.get(key)!r} now")
    if not ours or not theirs:
        raise ResultsError(
            f"not comparable: scenario_hash differs: {one.get('scenario_hash')!r} in {here}, "
            f"{other.get('scenario_hash')!r} in {there}",
            "measure both with one scenario",
        )
    return notes


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return found


def _items(evidence: Evidence) -> list[str]:
    """Every subject in every cell that has a trial; cells compare like subjects."""
    place = evidence.campaign.places
    found = dict.fromkeys((place[r.trial.subject], r.trial.item) for r in evidence.results)
    return [item for _, item in sorted(found, key=lambda row: row[0])]


def _trials(evidence: Evidence, item: str) -> list[Trial]:
    return [result.trial for result in evidence.of(item)]


def _values(evidence: Evidence, item: str, metric: str) -> dict[int, float]:
    """The metric by block, where it has a value that counts."""
    return {block: v for block, v in evidence.values[metric][item].items() if v is not None and math.isfinite(v)}


def _faults(before: Evidence, now: Evidence, name: str, was: str, is_: str, metric: Metric) -> Iterator[Change]:
    """A count of faults, exactly. Worse: some where there were none, or in most trials a larger share than in any
    before; better: the same the other way round."""
    counts = [_values(evidence, item, metric.name) for evidence, item in ((before, was), (now, is_))]
    if not counts[0] or not counts[1]:
        return
    of = "subscribers" if metric.name == "connections_failed" else "expected"
    shares = []
    for evidence, item, found in ((before, was, counts[0]), (now, is_, counts[1])):
        whole = _values(evidence, item, "expected") if of == "expected" else {}
        sizes = {t.block: t.subscribers for t in _trials(evidence, item)} if of == "subscribers" else whole
        shares.append([value / (sizes.get(block) or 1) for block, value in found.items()])
    first, second = (float(sum(found.values())) for found in counts)
    worse = second > 0 and (first == 0 or float(np.median(shares[1])) > max(shares[0]))
    better = first > 0 and (second == 0 or float(np.median(shares[0])) > max(shares[1]))
    said = "worse" if worse else "better" if better else "no difference seen"
    yield Change(name, metric.name, metric.unit, first, second, None, None, None, said, worse)


def _tested(name: str, metric: Metric, sides: _Sides, obstacles: Sequence[str]) -> Change:
    """The ratio with its interval and raw p, the verdict still open; or "not comparable" with the reason."""
    ratio: float | None
    low: float | None
    high: float | None
    before, now = (float(np.median(list(side.values()))) if side else None for side in (sides.was, sides.now))

    def aside(why: str) -> Change:
        return Change(name, metric.name, metric.unit, before, now, None, None, None, "not comparable", False, why)

    if obstacles and not metric.name.endswith("bytes_per_message"):
        return aside(obstacles[0])
    if not sides.was or not sides.now:
        return aside(f"no valid value {'before' if not sides.was else 'now'}")
    blocks = sorted(sides.was.keys() & sides.now.keys())
    was, is_ = ([side[b] for b in (blocks if sides.paired else side)] for side in (sides.was, sides.now))
    if len(was) < 2 or len(is_) < 2:
        return aside("two trials of each are needed")
    test = paired if sides.paired else welch
    if min(*was, *is_) <= 0:  # zero has no logarithm: tested as they are, no ratio
        difference, _, _, p = test(np.array(was), np.array(is_))
        ratio = low = high = None
    else:
        difference, low, high, p = test(np.log(was), np.log(is_))
        ratio, low, high = math.exp(difference), math.exp(low), _exp(high)
        before, now = float(stats.gmean(was)), float(stats.gmean(is_))
    said = "worse" if difference > 0 else "better"
    if _same(was) and _same(is_):  # sizes often are the same in every trial: no chance is in them, nothing to test
        said = said if p < 1 else "no difference seen"
        return Change(name, metric.name, metric.unit, before, now, ratio, low, high, said, False)
    return Change(name, metric.name, metric.unit, before, now, ratio, low, high, said, False, p=p)


def _same(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * abs(max(values))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _judged(change: Change, metric: Metric, floor: Mapping[str, float] | None, tolerance: float) -> Change:
    """The verdict, now that p is adjusted. `change.verdict` is the side it points to (lower is better in JUDGED)."""
    if change.verdict == "no difference seen":
        return change
    if change.p is not None and change.p > FALSE_DISCOVERIES:
        alone = change.low is not None and change.high is not None and not change.low <= 1 <= change.high
        why = "its interval alone would say one; not among so many" if alone else ""
        return replace(change, verdict="no difference seen", why=why)
    least = (floor or {}).get(metric.name, 1.0)
    if change.ratio is not None and abs(math.log(change.ratio)) <= math.log(least):
        return replace(change, verdict="no difference seen", why=f"below the noise floor of {least - 1:.1%}")
    worse = change.verdict == "worse"
    beyond = worse and (change.ratio is None or change.ratio > tolerance)
    return replace(change, regression=beyond, why="within the tolerance" if worse and not beyond else "")


def _floor(before: Evidence, now: Evidence) -> dict[str, float] | None:
    """The larger of both noise floors of every metric, None when neither has one."""
    tables = [e.noise_floor["metrics"] for e in (before, now) if e.noise_floor]
    if not tables:
        return None
    return {name: max(table.get(name, 1.0) for table in tables) for table in tables for name in table}
