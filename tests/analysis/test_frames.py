"""What a notebook relies on: `rtbench.analysis.load(path)` and its frames, column by column."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import rtbench.analysis
from rtbench.analysis import Campaign
from rtbench.analysis.campaigns import frames
from rtbench.analysis.campaigns.frames import FRAMES
from rtbench.analysis.statistics.simulation import VERDICTS
from rtbench.errors import ResultsError
from rtbench.records.tables import TABLES, concatenate, write_table

RAW = ("deliveries", "ticks", "connections", "requests", "probes")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def campaign(golden: Path) -> Campaign:
    return rtbench.analysis.load(golden)


def has_the_documented_types(table: pd.DataFrame, name: str) -> None:
    found = {column: str(dtype) for column, dtype in table.dtypes.items()}
    assert list(found)[: len(FRAMES[name])] == list(FRAMES[name])
    assert {column: found[column] for column in FRAMES[name]} == FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_is_as_documented(campaign: Campaign, name: str) -> None:
    table = getattr(campaign, name)
    if name in RAW:
        has_the_documented_types(table(1), name)
        table = table()
    has_the_documented_types(table, name)
    assert len(table) > 0 or name == "matrix"  # the golden campaign has one stack


@pytest.mark.parametrize("name", FRAMES)
def test_so_is_an_empty_one(make: ModuleType, tmp_path: Path, name: str) -> None:
    plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, interrupted_after=0)
    table = getattr(rtbench.analysis.load(make.write(tmp_path / "a", plan)), name)
    table = table() if name in RAW else table
    has_the_documented_types(table, name)
    assert table.empty or name == "summary"  # which has a row for every subject and metric


def test_every_stored_column_is_in_its_frame() -> None:
    for name in RAW:
        assert set(TABLES[name]) < set(FRAMES[name])


def test_all_trials_are_one_frame(campaign: Campaign) -> None:
    whole = campaign.deliveries()
    measured = [t for t in campaign if t.measured]
    assert sorted(whole["trial"].unique()) == [t.number for t in measured]
    assert len(whole) == sum(len(campaign.deliveries(t.number)) for t in measured)
    third = whole[whole["trial"] == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(third, campaign.deliveries(3))
    assert set(third["subject"]) == {campaign[3].subject} and set(third["block"]) == {campaign[3].block}


def test_the_frames_say_what_the_report_says(campaign: Campaign) -> None:
    metrics = campaign.metrics
    one = metrics[(metrics["trial"] == 1) & (metrics["metric"] == "lost")].iloc[0]
    assert (one["value"], one["unit"], one["believed"]) == (2, "messages", True)
    # trial 6 is invalid for the application's latency only
    sixth = metrics[metrics["trial"] == 6].set_index("metric")["believed"]
    assert not sixth["latency_app_p50_ns"] and sixth["latency_kernel_p50_ns"]
    summary = campaign.summary.set_index(["subject", "metric"])
    usable = metrics[metrics["believed"] & (metrics["metric"] == "server_cpu_ns_per_message")]
    for subject, values in usable.groupby("subject")["value"]:
        assert summary.loc[(subject, "server_cpu_ns_per_message"), "median"] == pytest.approx(values.median())
    assert campaign.evidence is campaign.evidence
    assert set(campaign.comparisons["verdict"]) <= {*VERDICTS}


def test_a_latency_is_from_the_plan(campaign: Campaign) -> None:
    table, ticks = campaign.deliveries(2), campaign.ticks(2)
    stamped = table["kernel_ns"] >= 0
    assert not stamped.all()
    assert table["latency_kernel_ns"].isna().equals(~stamped)
    due = table.merge(ticks, on=["channel", "seq"], suffixes=("", "_tick"))["due_ns_tick"]
    assert (table["app_ns"] - due == table["latency_app_ns"]).all()


def test_the_table_of_the_readme(golden: Path) -> None:
    """`python -c "from rtbench.analysis.campaigns import frames; print(frames.described())"` prints it."""
    assert frames.described() in (ROOT / "results/README.md").read_text()


def test_what_is_not_there(campaign: Campaign, make: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        campaign.deliveries(99)
    with pytest.raises(ResultsError, match=r"deliveries\.parquet: is missing"):
        campaign.deliveries(11)  # it failed
    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, window_s=1.0))
    file = folder / "trials/001-sse-aiohttp/ticks.parquet"
    ticks = {name: [*column, *column] for name, column in rtbench.analysis.load(folder)[1].read("ticks").items()}
    write_table(file, "ticks", ticks)
    with pytest.raises(ResultsError, match=r"ticks\.parquet: a tick is listed twice"):
        rtbench.analysis.load(folder).deliveries(1)
    write_table(file, "ticks", concatenate("ticks", []))
    assert (rtbench.analysis.load(folder).deliveries(1)["due_ns"] == -1).all()


@pytest.mark.slow
def test_load_is_a_function_however_it_is_come_by() -> None:
    code = """
import rtbench.analysis
from rtbench.analysis.notebook import load, Campaign
from rtbench.analysis import load as again
assert rtbench.analysis.load is load is again
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
