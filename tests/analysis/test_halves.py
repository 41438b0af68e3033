"""The second half of the window against the first, as the report shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rtbench.analysis.evidence import Evidence
from rtbench.analysis.report import tables


def with_halves(evidence: Evidence, *halves: Any) -> Evidence:
    """The golden campaign; the trials of its first subject have these halves, the others none."""
    rest = iter(halves)
    name = evidence.subjects[0].name
    results = []
    for result in evidence.results:
        if result.trial.item == name and result.trial.measured:
            manifest = {**result.trial.manifest, "halves": next(rest, None)}
            result = replace(result, trial=replace(result.trial, manifest=manifest))
        results.append(result)
    return replace(evidence, results=tuple(results))


def half(cpu_ns: float | None) -> dict[str, float | None]:
    return {"latency_kernel_p50_ns": None, "server_cpu_ns_per_message": cpu_ns}


def test_a_row_has_the_median_trial_and_the_extremes(evidence: Evidence) -> None:
    found = with_halves(evidence, [half(100), half(101)], [half(100), half(97)], [half(100), half(102)])
    assert tables.halves(found) == [(evidence.subjects[0].name, ["–", "–", "+1.0 % [-3.0, +2.0]", "–"])]


def test_a_half_that_is_not_known_is_left_out(evidence: Evidence) -> None:
    found = with_halves(evidence, [half(100), half(None)], [half(None), half(97)], [half(100)])
    assert tables.halves(found) == []


def test_campaigns_of_before_have_no_halves(evidence: Evidence) -> None:
    assert tables.halves(evidence) == []
