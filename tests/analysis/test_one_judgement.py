"""One judgement: of one folder, everything that speaks of a pair of subjects gives it the same verdict.

Made-up campaigns: the trials of a folder from `tests/golden/make.py` get numbers that hypothesis draws, so that every
verdict comes up; report, `load().comparisons`, sentences, tables, claims, thresholds, advice and `rtbench compare` are
then held against each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtbench.analysis import claims, load
from rtbench.analysis.advice.advice import advise
from rtbench.analysis.advice.option import CPU, Needs
from rtbench.analysis.campaigns.load import load as load_campaign
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.evidence import Evidence, Result, gather, gathering
from rtbench.analysis.regression import baseline
from rtbench.analysis.report import answer, caveats, findings, pairs, thresholds
from rtbench.analysis.report.report import as_json
from rtbench.analysis.statistics.judgement import Comparison

SUBJECTS = ("sse-aiohttp", "websocket-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp")
DRAWN = (
    "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "server_cpu_ns_per_message",
    "machine_busy_ns_per_message", "tcp_down_bytes_per_message", "tcp_up_bytes_per_message", "connect_p50_ns",
)  # fmt: skip
SAME = {
    "delivered_hz": 10_000.0, "expected": 1000.0, "delivered": 1000.0, "lost": 0.0, "duplicated": 0.0,
    "reordered": 0.0, "corrupted": 0.0, "connections_failed": 0.0, "payload_bytes_per_message": 150.0,
}  # fmt: skip

Made = dict[int, dict[str, float]]


@pytest.fixture(scope="module")
def folders(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, bool], Path]:
    """(blocks, with an A/A pair) to a folder."""
    found = {}
    for blocks in (1, 2, 3, 6):
        for aa in (False, True):
            names = (*SUBJECTS, "sse-aiohttp@2") if aa else SUBJECTS
            plan = make.Plan(subjects=names, blocks=blocks, subscribers=2, window_s=0.5, rate_hz=4.0)
            found[blocks, aa] = make.write(tmp_path_factory.mktemp("made") / "a", plan)
    return found


@st.composite
def drawn(draw: st.DrawFn) -> tuple[int, bool, float, Callable[[Evidence | Any], Made], int]:
    """Blocks, whether there is an A/A pair, the margin, what makes the trials' numbers, and a pair to compare first."""
    blocks, aa = draw(st.sampled_from([1, 2, 3, 6])), draw(st.booleans())
    sd = draw(st.sampled_from([0.0, 0.0005, 0.003, 0.02, 0.2]))
    effects = {name: draw(st.sampled_from([0.0, 0.002, 0.02, 0.04, 0.06, 0.5])) for name in SUBJECTS}
    zero, seed = draw(st.booleans()), draw(st.integers(0, 2**32 - 1))

    def make(trials: Any) -> Made:
        rng = np.random.default_rng(seed)
        found: Made = {}
        for trial in trials:
            name = trial.subject.partition("@")[0]
            values = {m: 1e5 * math.exp(effects[name] + sd * rng.standard_normal()) for m in DRAWN}
            if zero and name == "sse-aiohttp":
                values["tcp_up_bytes_per_message"] = 0.0
            found[trial.number] = {**SAME, **values}
        return found

    return blocks, aa, draw(st.sampled_from([0.01, 0.05, 0.2])), make, draw(st.integers(0, 100))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=drawn())
def test_nothing_contradicts_the_report(
    case: tuple[int, bool, float, Callable[[Any], Made], int], folders: dict[tuple[int, bool], Path], monkeypatch: Any
) -> None:
    blocks, aa, margin, make, first = case
    folder = folders[blocks, aa]
    file = folder / "campaign.json"
    document = json.loads(file.read_text())
    limit = {"max": 1e5 * math.exp(0.03)}
    document["scenario"] |= {"equivalence": {"margin": margin}, "thresholds": {f"{SUBJECTS[1]}.{CPU}": limit}}
    file.write_text(json.dumps(document))
    made = make(load_campaign(folder))

    def measure(trial: Trial, timeline: bool) -> tuple[Result, None]:
        return Result(trial, made[trial.number], None), None

    monkeypatch.setattr(gathering, "_measure", measure)
    evidence = gather(load_campaign(folder))
    advised = advise(evidence, Needs(), every=True)
    judged = claims.judge([evidence])
    said = answer.sentences(evidence)
    report = as_json(evidence, caveats.collect(evidence), said, judged, advised)
    rows = {(row["metric"], row["a"], row["b"]): row for row in report["comparisons"]}
    assert {row["margin"] for row in rows.values()} == {margin}

    def reported(metric: str, a: str, b: str) -> dict[str, Any]:
        found = evidence.comparison(metric, a, b)
        assert found is not None
        row = rows[metric, a, b] if (metric, a, b) in rows else rows[metric, b, a]
        swapped = {"a lower": "a higher", "a higher": "a lower"}
        turned = row["verdict"] if (metric, a, b) in rows else swapped.get(row["verdict"], row["verdict"])
        assert found.verdict == turned and found.q == row["q"] and found.within_floor == row["within_floor"]
        return found.row()

    _frames(folder, rows)
    of_cpu = [row for row in rows if row[0] == CPU]
    for metric, a, b in {of_cpu[first % len(of_cpu)], of_cpu[(first + 3) % len(of_cpu)]}:  # each loads the folder again
        _compare(folder, evidence, metric, a, b)
    for metric, a, b in rows:
        side = pairs._cell(evidence, metric, a, b, False).side
        sides = {"a lower": "lower", "a higher": "higher", "equivalent": "equivalent"}
        assert side == sides.get(reported(metric, a, b)["verdict"], "open")
    for ranked in advised.ranking:
        if ranked.ratio is not None:
            row = reported(CPU, ranked.ratio.a, ranked.ratio.b)
            assert (ranked.ratio.verdict, ranked.ratio.q, ranked.ratio.family) == (row["verdict"], row["q"], "headline")
    for text in advised.equal:
        assert "equivalent to" in text or "each takes less than" in text or ": equivalent within" in text
    for claim in judged:
        for point in claim.points:
            if point.b:
                row = reported(point.metric, point.a, point.b)
                assert (point.verdict, point.value) == (row["verdict"], row["ratio"])
    _answer(evidence)
    median = next(s["median"] for s in report["summary"] if (s["subject"], s["metric"]) == (SUBJECTS[1], CPU))
    assert bool(thresholds.crossed(evidence)) is (median > limit["max"])


def _answer(evidence: Evidence) -> None:
    """Every subject is in the answer with the report's verdicts, and a line has a ratio only where they differ."""
    found = findings.findings(evidence)
    seen: dict[str, set[str]] = {CPU: set(), evidence.latency: set()}
    for one in found:
        text = answer.line(one)
        assert len(text) <= answer.LONGEST
        if isinstance(one, findings.Alike):
            for metric, known in ((evidence.latency, one.latency), (CPU, one.cpu)):
                assert [c.a for c in known] == [s.name for s in one.subjects]
                assert all(c == _of(evidence, metric, c.a, one.beside.name) and not c.different for c in known)
                seen[metric] |= {one.beside.name, *(c.a for c in known)}
            assert "×" not in text or "within" in text or "could differ by up to" in text
        elif isinstance(one, findings.Apart):
            name = one.subject.subject.name
            for metric, comparison in ((evidence.latency, one.latency), (CPU, one.cpu)):
                assert comparison == _of(evidence, metric, name, one.beside.name)
                seen[metric] |= {one.beside.name, name}
                timed = metric == evidence.latency and one.subject.every_s is not None
                phrase = "the server CPU" if metric == CPU else "as old"
                if not timed:
                    assert (f"{answer.times(comparison)} {phrase}" in text) is comparison.different
        elif isinstance(one, findings.Spread):
            others = [n for n in evidence.names if n != one.lowest.name]
            beside = {n: _of(evidence, one.metric, n, one.lowest.name) for n in others}
            assert one.comparison == beside[one.highest.name] and one.others == len(others) - 1
            assert one.alike == sum(not c.different for c in beside.values())
            assert (f", {answer.times(one.comparison)})" in text) is one.comparison.different
            medians = [s.median for s in evidence.summaries if s.metric == one.metric]
            assert (one.low_ns, one.high_ns) == (min(medians), max(medians))
            seen[one.metric] = set(evidence.names)
    assert seen == {metric: set(evidence.names) for metric in seen}


def _of(evidence: Evidence, metric: str, a: str, b: str) -> Comparison:
    found = evidence.comparison(metric, a, b)
    assert found is not None
    return found


def _frames(folder: Path, rows: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    """`load().comparisons` has the report's rows."""
    table = load(folder).comparisons
    assert len(table) == len(rows)
    for found in table.to_dict("records"):
        row = rows[found["metric"], found["a"], found["b"]]
        assert {name: found[name] for name in ("verdict", "ratio", "within_floor", "family", "blocks")} == {
            name: row[name] for name in ("verdict", "ratio", "within_floor", "family", "blocks")
        }


def _compare(folder: Path, evidence: Evidence, metric: str, a: str, b: str) -> None:
    """`rtbench compare --subjects` has the report's verdicts, and counts its comparisons as the report does."""
    found = baseline.within(folder, b, a)
    sides = {"a lower": "better", "a higher": "worse"}
    seen = 0
    for change in found.changes:
        whole = evidence.comparison(change.metric, a, b)
        if change.metric in baseline.JUDGED and whole is not None:
            assert change.judged == whole and change.verdict == sides.get(whole.verdict, whole.verdict)
            assert change.regression is (change.verdict == "worse" and whole.ratio > baseline.TOLERANCE)
            seen += 1
    assert seen >= 5 and metric in {change.metric for change in found.changes}
    for family in evidence.families:
        assert f"{family.name}: {family.size}" in found.notes[0]
    assert found.exit_code == (1 if found.regressions else 3 if found.too_few else 0)
