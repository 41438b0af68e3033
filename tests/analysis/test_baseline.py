from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy

from rtbench.analysis.metrics import Metric
from rtbench.analysis.regression import baseline, verdicts
from rtbench.analysis.regression.baseline import FALSE_DISCOVERIES, against, within
from rtbench.analysis.regression.changes import Change, Difference
from rtbench.analysis.regression.formats import FORMATS, render
from rtbench.analysis.regression.t_tests import Mean, paired, welch
from rtbench.analysis.statistics.compare import estimate
from rtbench.analysis.statistics.judgement import judge
from rtbench.analysis.statistics.multiplicity import adjust
from rtbench.errors import ResultsError

SSE, WEBSOCKET = "sse-aiohttp", "websocket-aiohttp"


def folder(make: ModuleType, path: Path, **plan: Any) -> Path:
    base = {"subjects": (SSE, WEBSOCKET), "blocks": 3, "subscribers": 4, "window_s": 1.0}
    return Path(make.write(path, make.Plan(**(base | plan))))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def slow_down(results: Path, subject: str, factor: float) -> None:
    for file in results.glob(f"trials/*-{subject}/manifest.json"):
        manifest = json.loads(file.read_text())
        server = manifest["processes"]["server"]
        server["cpu_ns_at_end"] += round((factor - 1) * (server["cpu_ns_at_end"] - server["cpu_ns_at_start"]))
        file.write_text(json.dumps(manifest))


def of(found: Difference, subject: str, metric: str) -> Change:
    (change,) = (c for c in found.changes if (c.subject, c.metric) == (subject, metric))
    return change


def told(found: Difference) -> set[tuple[str, str]]:
    return {(c.subject, c.metric) for c in found.regressions}


# The statistics


def agrees(found: Mean, mean: float, interval: tuple[float, float], p: float) -> None:
    assert (found.difference, found.p) == pytest.approx((mean, p))
    assert scipy.stats.t.interval(0.95, found.freedom, mean, found.error) == pytest.approx(interval)


def test_welch_agrees_with_scipy() -> None:
    was, now = np.log([1.0, 1.2, 1.1]), np.log([2.0, 2.1, 2.6, 1.9])
    theirs = scipy.stats.ttest_ind(now, was, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    agrees(welch(was, now), now.mean() - was.mean(), (interval.low, interval.high), theirs.pvalue)


def test_paired_agrees_with_scipy() -> None:
    was, now = np.array([1.0, 1.2, 1.1]), np.array([2.0, 2.1, 2.6])
    theirs = scipy.stats.ttest_rel(now, was)
    interval = theirs.confidence_interval(0.95)
    agrees(paired(was, now), (now - was).mean(), (interval.low, interval.high), theirs.pvalue)


@pytest.mark.parametrize("test", [welch, paired])
def test_what_is_the_same_in_every_trial_is_exact(test: Any) -> None:
    two, three = np.log([2.0, 2.0]), np.log([3.0, 3.0])
    same, other = test(two, two), test(two, three)
    assert (same.difference, same.error, same.p) == (0, 0, 1)
    assert (other.error, other.p) == (0, 0.0)


def test_false_discoveries_are_held() -> None:
    # by hand: sorted p times 6/rank, made monotone from the largest
    assert adjust(np.array([0.01, 0.04, 0.03, 0.005, 0.5, 0.9])) == pytest.approx([0.03, 0.06, 0.06, 0.03, 0.6, 0.9])
    assert adjust(np.array([])).tolist() == []


@pytest.mark.slow
def test_campaigns_of_one_server_seldom_differ() -> None:
    """Simulated A/A: a comparison of 14 metrics over 5 blocks says any difference in at most 5 % of campaigns."""
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(300):
        values = rng.normal(0, 0.05, (14, 2, 5))
        found += min(adjust(np.array([welch(was, now).p for was, now in values]))) <= FALSE_DISCOVERIES
    assert found / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


# Two campaigns


@pytest.mark.slow
def test_identical_folders_do_not_differ(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a")
    shutil.copytree(one, tmp_path / "b")
    for found in (against(one, tmp_path / "b"), against(one, one)):
        assert found.exit_code == 0 and len(found.changes) == 22
        assert {c.verdict for c in found.changes} == {"equivalent", "not resolved", "unchanged"}
        for change in found.changes:  # a ratio of 1, as sure as three trials a side make it
            counted = change.judged is None
            assert change.verdict == "unchanged" if counted else change.judged.limited_by in (None, "interval")
        assert {c.ratio for c in found.changes} == {None, 1.0}
    assert "both are the same folder" in found.notes


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_same_again_is_not_a_regression(tmp_path: Path, make: ModuleType, seed: int) -> None:
    one = folder(make, tmp_path / "a")
    two = folder(
        make, tmp_path / "b", seed=seed, environment={"packages": {"aiohttp": "4.0"}, "commit": "5f3e9a0c1d2b"}
    )
    found = against(one, two)
    assert found.exit_code == 0 and found.changes
    assert any("environment.commit differs: None before, '5f3e9a0c1d2b' now" in note for note in found.notes)
    assert any("environment.packages.aiohttp differs: '3.14.5' before, '4.0' now" in note for note in found.notes)
    assert "0 regressions" in render(found, "text")


@pytest.mark.slow
def test_twenty_percent_slower_is_a_regression(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", blocks=10)
    two = folder(make, tmp_path / "b", blocks=10, seed=2)
    slow_down(two, SSE, 1.2)
    found = against(one, two)
    assert told(found) == {(SSE, "server_cpu_ns_per_message")} and found.exit_code == 1
    change = of(found, SSE, "server_cpu_ns_per_message")
    assert change.verdict == "worse" and change.ratio == pytest.approx(1.2, rel=0.15)
    assert change.before is not None and change.now == pytest.approx(change.before * change.ratio)
    # and the other way round it is better, not worse
    back = against(two, one)
    assert back.exit_code == 0 and of(back, SSE, "server_cpu_ns_per_message").verdict == "better"


@pytest.mark.slow
def test_regressions_in_every_format(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", blocks=6)
    two = folder(make, tmp_path / "b", blocks=6, faults={1: ("lose",), 2: ("lose",)}, interrupted_after=11)
    slow_down(two, SSE, 3)
    found = against(one, two)
    assert found.exit_code == 1
    assert told(found) == {(SSE, "server_cpu_ns_per_message"), (SSE, "lost"), (WEBSOCKET, "lost")}
    assert "3 regressions" in render(found, "text") and "✗ SSE on aiohttp" in render(found, "text")
    assert "**3 regressions" in render(found, "markdown")
    table = json.loads(render(found, "json"))
    assert table["regressions"] == 3 and table["exit"] == 1
    assert sum(row["regression"] for row in table["changes"]) == 3
    assert FORMATS == ("text", "markdown", "json", "junit", "html")
    page = html.unescape(render(found, "html"))
    assert page.index("3 regressions") < page.index('id="changes"') < page.index(found.notes[0])
    rows = re.findall(r'<tr data-subject="(.*?)" data-with="(.*?)">.*?class="text bad">worse', page)
    assert set(rows) == told(found) and page.count("<tr data-subject=") == len(found.changes)
    assert page.count("rtbench run golden --seed 1") == 2 and "hash 0f1e2d3c4b5a, seed 1" in page
    assert all(f"{name}: <span" in page for name in (SSE, WEBSOCKET)) and "Left out" in page


def test_junit_is_what_ci_systems_read(tmp_path: Path, make: ModuleType) -> None:
    """The elements, their order and their required attributes as in Jenkins' junit-10.xsd."""
    names = ("x", "y\x01")
    changes = (
        Change(*names, "ns", 1.0, 2.0, 2.0, 1.9, 2.1, "worse", True),
        Change("x", "z", "ns", 1.0, 2.0, None, None, None, "not comparable", False, "kernel <differs>"),
        Change("x", "w", "ns", 1.0, 1.0, 1.0, 0.9, 1.1, "not resolved", False),
    )
    text = render(Difference("a", "b", changes, ("note",), ("x has 1 valid trial now",)), "junit")
    root = ElementTree.fromstring(text)
    assert text.startswith("<?xml") and root.tag == "testsuites"
    (suite,) = root
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert suite.get("name") and float(suite.get("time") or "x") == 0
    assert [child.tag for child in suite] == ["testcase"] * 4 + ["system-out"]
    cases = suite.findall("testcase")
    assert all(case.get("classname") and case.get("name") and case.get("time") for case in cases)
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["skipped"], [], ["error"]]
    assert cases[0].get("name") == "y?"
    skipped = cases[1].find("skipped")
    assert skipped is not None and skipped.get("message") == "kernel <differs>"


def test_names_cannot_break_out_of_markdown_or_the_terminal() -> None:
    (ratio,) = judge([estimate("m", "x", "y", np.log(2.0), 0.01, 4, blocks=5)], "", 0.05, lambda _: None)[0]
    change = Change("<b>|x`\n", "m", "ns", 1.0, 2.0, 2.0, 1.9, 2.1, "worse", True, judged=ratio)
    found = Difference("a", "\x1b[31mb", (change,), (), ())
    row = next(line for line in render(found, "markdown").splitlines() if "2.00×" in line)
    assert row.startswith("| &lt;b&gt;\\|x' | m |")
    assert "\x1b" not in render(found, "text") + render(found, "markdown") + render(found, "html")
    assert "<b>|x`" not in render(found, "html") and "&lt;b&gt;|x`" in render(found, "html")


@pytest.mark.slow
def test_another_machine_refuses_times_and_compares_facts(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a")
    two = folder(make, tmp_path / "b", environment={"kernel": "7.0"}, faults={1: ("lose",)})
    slow_down(two, SSE, 3)
    found = against(one, two)
    refused = {c.metric for c in found.changes if c.verdict == "not comparable"}
    assert refused == {
        "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "server_cpu_ns_per_message", "connect_p50_ns",
    }  # fmt: skip
    for change in found.changes:
        if change.metric in refused:
            assert change.why == "environment.kernel differs: '6.1.0-golden' before, '7.0' now" and not change.judged
    assert {m for _, m in told(found)} == {"lost"} and found.exit_code == 1
    assert of(found, SSE, "tcp_down_bytes_per_message").ratio == 1.0
    for kind in FORMATS:
        assert "6.1.0-golden" in render(found, kind) and "7.0" in render(found, kind)


@pytest.mark.slow
def test_a_subject_that_only_one_has_is_named(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", subjects=(SSE,), scenario_hash="other")
    two = folder(make, tmp_path / "b")
    found = against(one, two)
    assert {c.subject for c in found.changes} == {SSE} and found.exit_code == 0
    assert "websocket-aiohttp is only now: not compared" in found.notes
    assert "websocket-aiohttp is only before: not compared" in against(two, one).notes
    other = folder(make, tmp_path / "c", subjects=("websocket-websockets",), scenario_hash="other")
    with pytest.raises(ResultsError, match="no subject is in both: before: sse-aiohttp; now: websocket-websockets"):
        against(one, other)


def test_too_few_trials_conclude_nothing(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", subjects=(SSE,), blocks=1)
    two = folder(make, tmp_path / "b", blocks=1, failed=(1, 2))
    found = against(one, two)
    assert found.exit_code == 3 and not found.regressions
    assert found.too_few == (
        "sse-aiohttp has 1 valid trial before, 2 are needed", "sse-aiohttp has 0 valid trials now, 2 are needed",
    )  # fmt: skip
    assert {c.verdict for c in found.changes} == {"not comparable"}
    assert "no valid value now" in {c.why for c in found.changes}
    assert "0 valid trials" in render(found, "text") and "0 valid trials" in render(found, "markdown")
    alone = against(one, one)
    assert {c.verdict for c in alone.changes} == {"too few blocks", "unchanged"}
    assert "too few blocks to say (1.00×, 1 block)" in render(alone, "text")


def test_a_finding_goes_before_too_few() -> None:
    worse = Change("x", "lost", "messages", 0.0, 1.0, None, None, None, "worse", True)
    assert Difference("a", "b", (worse,), (), ("x has 1",)).exit_code == 1


def test_another_scenario_is_refused_with_the_key_and_both_values(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", blocks=1)
    two = folder(make, tmp_path / "b", blocks=1, rate_hz=20.0, scenario_hash="other")
    with pytest.raises(
        ResultsError, match=r"scenario\.workload\.rate_hz differs: 10\.0 in .*, 20\.0 in .*one scenario"
    ):
        against(one, two)
    edit(two / "campaign.json", scenario={})
    with pytest.raises(ResultsError, match=r"scenario\.\w+ differs"):
        against(one, two)
    edit(one / "campaign.json", scenario={})
    with pytest.raises(ResultsError, match=r"scenario_hash differs: '0f1e2d3c4b5a' in .*, 'other' in"):
        against(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("hash_", ["other", "0f1e2d3c4b5a"])
def test_other_blocks_and_seeds_are_a_note(tmp_path: Path, make: ModuleType, hash_: str) -> None:
    one = folder(make, tmp_path / "a", subjects=(SSE,))
    two = folder(make, tmp_path / "b", subjects=(SSE,), blocks=2, seed=9, scenario_hash=hash_)
    notes = against(one, two).notes
    assert "scenario.blocks differs: 3 before, 2 now" in notes and "scenario.seed differs: 1 before, 9 now" in notes


@pytest.mark.slow
def test_nothing_below_the_noise_floor_is_a_difference(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", blocks=10)
    two = folder(make, tmp_path / "b", blocks=10, seed=2)
    slow_down(two, SSE, 1.2)
    table = {"server_cpu_ns_per_message": {"sd": 0.5, "blocks": 20}}
    calibration = {"environment": {"machine": make.environment()["machine"]}, "noise": {"metrics": table}, "checks": []}
    assert against(one, two).exit_code == 1
    calibration["file"] = "here.json"
    found = against(one, two, calibration=calibration)
    change = of(found, SSE, "server_cpu_ns_per_message")
    assert (change.verdict, found.exit_code) == ("not resolved", 0) and change.judged is not None
    assert change.judged.within_floor and change.row()["within_floor"]
    assert "a difference is seen, " in change.text() and "but it lies within the A/A noise floor of " in change.text()
    assert "nothing below the noise floor is claimed (calibration here.json, named by --calibration)" in found.notes
    elsewhere = calibration | {"environment": {"machine": "another"}}
    with pytest.raises(ResultsError, match=r"here\.json is of machine another, "):
        against(one, two, calibration=elsewhere)


@pytest.mark.slow
def test_less_than_the_tolerance_is_not_a_regression(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", subjects=(SSE,), blocks=10)
    two = folder(make, tmp_path / "b", subjects=(SSE,), blocks=10, seed=2)
    slow_down(two, SSE, 1.2)
    change = of(against(one, two, tolerance=1.5), SSE, "server_cpu_ns_per_message")
    assert (change.verdict, change.regression, change.why) == ("worse", False, "within the tolerance")


@pytest.mark.slow
def test_cells_of_a_sweep_compare_like_subjects(tmp_path: Path, make: ModuleType) -> None:
    folders = []
    for name in ("a", "b"):
        results = folder(make, tmp_path / name, blocks=10)
        listed = json.loads((results / "campaign.json").read_text())["trials"]
        listed = [row | {"cell": {"poll.interval_s": 1 + row["block"] % 2}} for row in listed]
        edit(results / "campaign.json", trials=listed)
        folders.append(results)
    for file in folders[1].glob(f"trials/*-{SSE}/manifest.json"):
        manifest = json.loads(file.read_text())
        if manifest["block"] % 2:
            manifest["processes"]["server"]["cpu_ns_at_end"] += 2_000_000_000
            edit(file, processes=manifest["processes"])
    found = against(*folders)
    assert {c.subject for c in found.changes} == {
        f"{subject} [poll.interval_s={value}]" for subject in (SSE, WEBSOCKET) for value in (1, 2)
    }
    assert told(found) == {(f"{SSE} [poll.interval_s=2]", "server_cpu_ns_per_message")}


def test_faults_are_judged_exactly(tmp_path: Path, make: ModuleType) -> None:
    none, some = (folder(make, tmp_path / n, subjects=(SSE,), faults=f) for n, f in (("a", {}), ("b", {2: ("lose",)})))
    every = folder(make, tmp_path / "c", subjects=(SSE,), faults=dict.fromkeys((1, 2, 3), ("lose",)))
    said = {
        (one.name, other.name): of(against(one, other), SSE, "lost").verdict
        for one in (none, some, every)
        for other in (none, some, every)
    }
    assert said == {
        ("a", "a"): "unchanged", ("a", "b"): "worse", ("a", "c"): "worse",
        ("b", "a"): "better", ("b", "b"): "unchanged", ("b", "c"): "not resolved",
        ("c", "a"): "better", ("c", "b"): "not resolved", ("c", "c"): "unchanged",
    }  # fmt: skip


def metric_of(name: str) -> Metric:
    return next(m for m in baseline.catalogue() if m.name == name)


@pytest.mark.parametrize(
    ("now", "said", "regression"),
    [
        ((0.0, 0.0, 0.0), "unchanged", False),
        ((5.0, 5.1, 5.0), "worse", True),
        ((0.0, 5.0, 0.1), "not resolved", False),
        ((0.0, 5.0), "too few blocks", False),
    ],
)
def test_zeros_have_no_ratio_but_a_verdict(now: tuple[float, ...], said: str, regression: bool) -> None:
    sides = verdicts.Sides(dict(enumerate((0.0, 0.0, 0.0))), dict(enumerate(now)), paired=False)
    raw = verdicts.opened("x", metric_of("tcp_up_bytes_per_message"), sides)
    assert raw.change.ratio is None and raw.estimate is None
    change = raw.change if raw.p is None else verdicts.without_ratio(raw.change, raw.p)
    assert (change.verdict, change.regression) == (said, regression)


@pytest.mark.parametrize(
    ("now", "said", "regression"), [(100.0, "equivalent", False), (104.0, "worse", False), (106.0, "worse", True)]
)
def test_what_is_the_same_in_every_trial_is_sure(now: float, said: str, regression: bool) -> None:
    sides = verdicts.Sides(dict.fromkeys(range(3), 100.0), dict.fromkeys(range(3), now), paired=False)
    raw = verdicts.opened("x", metric_of("tcp_down_bytes_per_message"), sides)
    assert raw.estimate is not None and raw.estimate.p == float(now == 100)
    (found,) = judge([raw.estimate], "", 0.05, lambda _: None)[0]
    change = verdicts.judged(raw.change, found, 1.05)
    assert (change.verdict, change.regression) == (said, regression)


def test_an_interval_that_does_not_survive_the_others_says_so() -> None:
    raw = Change("x", "connect_p50_ns", "ns", 1.0, 1.2, None, None, None, "open", False)
    near = estimate("connect_p50_ns", "x", "y", np.log(1.2), 0.06, 8, blocks=5, sd=0.1)
    rest = [estimate("connect_p50_ns", "x", "y", 0.01, 0.06, 8, blocks=5) for _ in range(9)]
    change = verdicts.judged(raw, judge([near, *rest], "", 0.05, lambda _: None)[0][0], 1.05)
    assert (change.verdict, change.regression) == ("not resolved", False)
    assert change.text() == (
        "1.00 ns → 1.20 ns, not resolved: 1.20× [1.04, 1.38], could differ by up to 38 %, its interval excludes 1, but "
        "it does not stand among so many (60 blocks would settle it)"
    )


@pytest.mark.slow
def test_a_damaged_trial_is_named(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a")
    shutil.copytree(one, tmp_path / "b")
    shutil.rmtree(next((tmp_path / "b/trials").iterdir()))
    assert any("was left out" in note for note in against(one, tmp_path / "b").notes)


# Two subjects of one campaign


@pytest.mark.slow
def test_two_subjects_of_one_campaign_are_paired(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", subjects=(SSE, f"{SSE}@2"), blocks=5)
    slow_down(one, f"{SSE}@2", 1.6)
    found = within(one, SSE, f"{SSE}@2")
    assert (found.baseline, found.current, found.exit_code) == (SSE, f"{SSE}@2", 1) or found.exit_code == 0
    change = of(found, f"{SSE}@2", "server_cpu_ns_per_message")
    values = {}
    for name in (SSE, f"{SSE}@2"):
        for file in one.glob(f"trials/*-{name}/manifest.json"):
            m = json.loads(file.read_text())
            spent = m["processes"]["server"]["cpu_ns_at_end"] - m["processes"]["server"]["cpu_ns_at_start"]
            values[name, m["block"]] = spent
    ratios = [np.log(values[f"{SSE}@2", b] / values[SSE, b]) for b in range(1, 6)]
    assert change.ratio == pytest.approx(np.exp(np.mean(ratios)), rel=0.02)
    assert "paired by blocks" in found.notes[0]


def test_subjects_that_are_not_there(tmp_path: Path, make: ModuleType) -> None:
    one = folder(make, tmp_path / "a", blocks=1)
    with pytest.raises(ResultsError, match="has no subject 'x': one of sse-aiohttp, websocket-aiohttp"):
        within(one, SSE, "x")
    with pytest.raises(ResultsError, match="compared with itself"):
        within(one, SSE, SSE)
