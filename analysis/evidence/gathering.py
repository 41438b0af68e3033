"""From a campaign to its evidence: every trial measured, every comparison drawn and judged.

Invariant: computed from the raw files alone and in their order, so the same folder gives the same evidence. Trials are
read one at a time; one that turns out damaged is put aside with a warning. Called by the report, the baseline
comparison, the advice and the calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from rtbench.analysis.campaigns.load import Campaign, changed, damaged
from rtbench.analysis.campaigns.trials import Trial, item_name
from rtbench.analysis.evidence import naming
from rtbench.analysis.evidence.model import (
    Calibration,
    ComparedSubject,
    Evidence,
    NoiseFloor,
    NoiseTable,
    Result,
    campaign_of_attempt,
    margin_of,
)
from rtbench.analysis.evidence.stacks import matrix
from rtbench.analysis.metrics import catalogue, measure
from rtbench.analysis.samples.framing import FRAMED
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.samples.series import reduce
from rtbench.analysis.statistics.compare import Estimate, Summary, Values, summarise
from rtbench.analysis.statistics.judgement import Comparison, Family, Floors, judge
from rtbench.analysis.statistics.noise import Noise, noise, pairs
from rtbench.analysis.statistics.random_effects import Combined, compare_all
from rtbench.errors import ResultsError


def gather(campaign: Campaign, calibration: Mapping[str, Any] | None = None) -> Evidence:
    """Measure every trial of a campaign and draw the comparisons.

    `calibration`: one of the campaign's machine, instead of what the campaign kept when it was run. Raises ResultsError
    when it is of another machine.
    """
    known = cast("Calibration | None", _of_machine(campaign, calibration) or campaign.document.get("calibration"))
    results: list[Result] = []
    warnings = list(campaign.warnings)
    shown: set[str] = set()
    for trial in campaign:
        result, warning = _measure(trial, timeline=trial.item not in shown)
        results.append(result)
        warnings += [warning] if warning else []
        if result.series is not None:
            shown.add(trial.item)
    return conclude(campaign, results, warnings, known)


def conclude(
    campaign: Campaign, results: Sequence[Result], warnings: Sequence[dict[str, Any]], known: Calibration | None
) -> Evidence:
    """The evidence of trials that are measured: summaries, comparisons, verdicts. `known`: the calibration that holds.
    Needs no raw files (`benchmarks/quoted.py` has only what git keeps of a campaign)."""
    twins = _twins(campaign.subjects)
    subjects = tuple(
        _subject(row, cell, results, twins[row["subject"]]) for cell in campaign.cells for row in campaign.subjects
    )
    if naming.apart(subjects):
        subjects = tuple(replace(s, hollow=s.arm != naming.CONTROLLED) for s in subjects)
    names = [s.name for s in subjects]
    summaries = []
    values_of = {
        metric.name: {name: values_by_attempt(results, name, metric.name) for name in names} for metric in catalogue()
    }
    for metric in catalogue():
        logarithmic = metric.unit not in ("share", "messages", "connections")
        for subject in subjects:
            values = list(values_of[metric.name][subject.name].values())
            summaries.append(summarise(subject.name, metric.name, metric.unit, values, logarithmic=logarithmic))
    noises, source = _noise(names, values_of, known)
    estimates: list[Estimate] = []
    combined: list[Combined] = []
    campaigns = campaign_of_attempt(results)
    for metric in catalogue():
        for cell in campaign.cells if metric.compared else ():
            here = {s.name: values_of[metric.name][s.name] for s in subjects if s.cell == cell}
            found, several = compare_all(metric.name, here, campaigns, cell=cell)
            estimates += found
            combined += several
    headline = headline_metrics(summaries)
    judged, families = _judged(
        estimates, headline, margin_of(campaign), lambda metric: noises[metric].floor if metric in noises else None
    )
    evidence = Evidence(
        campaign=campaign,
        results=tuple(results),
        subjects=subjects,
        summaries=tuple(summaries),
        comparisons=judged,
        combined=tuple(combined),
        values=values_of,
        noise_floor=_noise_floor(names, values_of, noises, source),
        warnings=tuple(warnings),
        calibration=known,
        noises=noises,
        headline=headline,
        families=families,
    )
    return replace(evidence, matrix=matrix(evidence))


def _judged(
    estimates: Sequence[Estimate], headline: Sequence[str], margin: float, floors: Floors
) -> tuple[tuple[Comparison, ...], tuple[Family, ...]]:
    """Every estimate in its family, in their order. There are two, the headline metrics (every pair of every matrix
    that the page shows) and all others, so that a metric added to the second does not change what the first says."""
    split = {name: [i for i, e in enumerate(estimates) if (e.metric in headline) == (name == "headline")]
             for name in ("headline", "other")}  # fmt: skip
    found: dict[int, Comparison] = {}
    families = []
    for name, places in split.items():
        judged, family = judge([estimates[i] for i in places], name, margin, floors)
        found |= zip(places, judged, strict=True)
        families.append(family)
    return tuple(found[i] for i in range(len(estimates))), tuple(families)


def _of_machine(campaign: Campaign, calibration: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The calibration, which must be of the machine that the campaign was measured on. Raises ResultsError."""
    if calibration is None:
        return None
    mine = (calibration.get("environment") or {}).get("machine")
    here = (campaign.document.get("environment") or {}).get("machine")
    if mine is None or mine != here:
        what = f"{calibration.get('file', 'the calibration')} is of machine {mine}, {campaign.paths[0]} of {here}"
        raise ResultsError(what, "name a calibration of that machine, or none: the campaign keeps its own")
    return calibration


def headline_metrics(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """The metrics of the matrices and of a sweep's curves, as far as measured: the headline latency (the kernel's where
    one is known, R2, else the application's), its tails over subscribers and in time, costs, memory and recovery. The
    first family of the judgement."""
    kernel = any(s.metric == "latency_kernel_p50_ns" and s.median is not None for s in summaries)
    latency = "latency_kernel" if kernel else "latency_app"
    return (
        f"{latency}_p50_ns", f"{latency}_within_tick_p99_ns", f"{latency}_p99_ns", "server_cpu_ns_per_message",
        "machine_busy_ns_per_message", "tcp_down_bytes_per_message", "server_memory_bytes_per_connection",
        "recovery_p50_ns",
    )  # fmt: skip


def _measure(trial: Trial, timeline: bool) -> tuple[Result, dict[str, Any] | None]:
    if not trial.measured:
        return Result(trial, {}, None), None
    try:
        differs = trial.verify()
        samples = Samples(trial)
        metrics = measure(samples)
        result = Result(trial, metrics, reduce(samples, timeline), _framed(samples))
    except ResultsError as error:
        aside, warning = damaged(trial, error)
        return Result(aside, {}, None), warning
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if trial.sealed:
            raise  # the files are as measured, so this is our bug
        what = f"{trial.directory}: cannot be made sense of ({type(error).__name__}: {error})"
        aside, warning = damaged(trial, ResultsError(what, "the files are damaged; measure again"))
        return Result(aside, {}, None), warning
    return result, changed(differs) if differs else None


def _framed(samples: Samples) -> float | None:
    """Bytes per message by arithmetic, over the ticks of the window as their subscribers see them.

    None where they depend on more: polls, and messages that are compressed.
    """
    plain = (samples.trial.manifest.get("fairness") or {}).get("compression", "none") in ("none", False)
    size = FRAMED.get(samples.trial.transport) if plain else None
    ticks, inside = samples.ticks, samples.inside
    weights = samples.audience[inside]
    if size is None or not weights.sum():
        return None
    sizes = [
        size(seq, payload) for seq, payload in zip(ticks["seq"][inside], ticks["payload_bytes"][inside], strict=True)
    ]
    return float(np.average(sizes, weights=weights))


def _twins(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Each subject's `twin`."""
    seen: set[tuple[Any, ...]] = set()
    found: dict[str, int] = {}
    for row in rows:
        look = tuple(row.get(key) or "" for key in ("transport", "stack", "proxy"))
        found[row["subject"]] = max(found.values(), default=0) + 1 if look in seen else 0
        seen.add(look)
    return found


def _subject(row: Mapping[str, Any], cell: Mapping[str, Any], results: Sequence[Result], twin: int) -> ComparedSubject:
    name = item_name(row["subject"], cell)
    mine = [r.trial for r in results if r.trial.item == name]
    return ComparedSubject(
        name=name,
        transport=row.get("transport", "unknown"),
        stack=row.get("stack", "unknown"),
        arm=row.get("arm", "controlled"),
        technique=row.get("technique", "unknown"),
        trials=len(mine),
        usable=sum(t.status == "ok" for t in mine),
        row={**row, "subject": name, "base": row["subject"], "cell": dict(cell)},
        base=row["subject"],
        cell=cell,
        twin=twin,
    )


def values_by_attempt(results: Sequence[Result], subject: str, metric: str) -> dict[int, float | None]:
    """A subject's metric by attempt (`Trial.attempt_key`): every usable trial counts, in a block run again too."""
    return {result.trial.attempt_key: result.usable(metric) for result in results if result.trial.item == subject}


def _noise(
    names: Sequence[str], values_of: Mapping[str, Values], calibration: Calibration | None
) -> tuple[dict[str, Noise], str]:
    """Every metric's noise and its source: the campaign's own A/A pairs, else the machine's calibration."""
    found = noise(values_of, names)
    if found or not calibration:
        return found, "campaign"
    table = calibration.get("noise") or NoiseTable()
    rows = table.get("metrics") or {}
    return {metric: Noise(row["sd"], row["blocks"]) for metric, row in rows.items()}, "calibration"


def _noise_floor(
    names: Sequence[str], values_of: Mapping[str, Values], noises: Mapping[str, Noise], source: str
) -> NoiseFloor | None:
    """For the number of blocks that the campaign has: a comparison with fewer blocks is held to the wider floor of its
    own number."""
    if not noises:
        return None
    counts = (len({b for b, v in row.items() if v is not None}) for c in values_of.values() for row in c.values())
    blocks = max(counts, default=0)
    return {
        "source": source,
        "pairs": [list(pair) for pair in pairs(names)],
        "blocks": blocks,
        "metrics": {metric: one.floor(blocks) for metric, one in noises.items()},
    }
