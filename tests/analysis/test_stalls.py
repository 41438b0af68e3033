"""Something stood still for a known time in one trial: the report names the trial, when, how many, and where."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.report.caveats import collect
from rtbench.analysis.report.tables import trials
from rtbench.analysis.samples.stalls import Stall
from rtbench.records.tables import read_table, write_table

AT_S, FOR_S = 1.0, 0.7


def stand_still(folder: Path, part: str) -> None:
    """What is due while `part` of trial 1 stands still goes on when it does again."""
    (trial,) = (folder / "trials").glob("001-*")
    campaign = load(folder)
    window = next(iter(campaign)).window
    assert window is not None
    ticks = read_table(trial / "ticks.parquet", "ticks")
    table = read_table(trial / "deliveries.parquet", "deliveries")
    after = (ticks["due_ns"] - window[0]) / 1e9 - AT_S
    wait = np.where((after >= 0) & (after < FOR_S), (FOR_S - after) * 1e9, 0).astype(np.int64)
    waits = dict(zip(ticks["seq"].tolist(), wait.tolist(), strict=True))
    each = np.array([waits.get(seq, 0) for seq in table["seq"].tolist()], dtype=np.int64)
    table["app_ns"] = table["app_ns"] + each
    if part != "kernel_to_app":
        table["kernel_ns"] = np.where(table["kernel_ns"] >= 0, table["kernel_ns"] + each, -1)
    if part == "due_to_sent":
        ticks["sent_ns"] = ticks["sent_ns"] + wait
    write_table(trial / "ticks.parquet", "ticks", ticks)
    write_table(trial / "deliveries.parquet", "deliveries", table)


def made(make: ModuleType, folder: Path, part: str | None, subject: str = "sse-aiohttp") -> Evidence:
    make.write(folder, make.Plan(subjects=(subject,), blocks=2))
    if part is not None:
        stand_still(folder, part)
    return gather(load(folder))


def stalls(evidence: Evidence) -> list[Stall | None]:
    return [result.series.stall if result.series is not None else None for result in evidence.results]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("due_to_sent", "the publisher stood still"),
        ("sent_to_kernel", "the server, a proxy or the machine stood still"),
        ("kernel_to_app", "the load process stood still"),
    ],
)
def test_a_stop_is_found_where_it_was(make: ModuleType, tmp_path: Path, part: str, words: str) -> None:
    evidence = made(make, tmp_path / "a", part)
    stall, other = stalls(evidence)
    assert stall is not None and other is None
    assert stall.part == part
    assert stall.messages == 7 * 16  # due every 100 ms, for 16 subscribers
    assert (stall.first_s, stall.last_s) == (pytest.approx(1.0, abs=0.06), pytest.approx(1.6, abs=0.06))
    assert stall.latest_ns + 1e8 >= FOR_S * 1e9 and stall.latest_ns < FOR_S * 1e9 + 5e7
    assert stall.part_ns == pytest.approx(stall.latest_ns, rel=0.1)
    (caveat,) = [c for c in collect(evidence) if c.kind == "stall"]
    assert caveat.grave and "trial 1, sse-aiohttp" in caveat.message and words in caveat.message
    remarks = [row[-1] for row in trials(evidence)]
    assert words in remarks[0] and remarks[1] == ""


@pytest.mark.parametrize("subject", ["sse-aiohttp", "short-poll-aiohttp", "long-poll-aiohttp"])
def test_nothing_stood_still(make: ModuleType, tmp_path: Path, subject: str) -> None:
    """A poll every half second makes most messages late, and is no stall."""
    assert stalls(made(make, tmp_path / "a", None, subject)) == [None, None]


def test_what_the_scenario_did_is_not_a_stall(make: ModuleType, tmp_path: Path) -> None:
    make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=2))
    stand_still(tmp_path / "a", "sent_to_kernel")
    for trial in load(tmp_path / "a"):
        manifest = dict(trial.manifest)
        manifest["events"] = [{"do": "stop", "what": "server", "began_ns": 0, "ended_ns": 1}]
        make.write_json(trial.directory / "manifest.json", manifest)
    assert stalls(gather(load(tmp_path / "a"))) == [None, None]
