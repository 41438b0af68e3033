from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis import load
from rtbench.analysis.campaigns.trials import Status, Trial
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.report import caveats
from rtbench.errors import ResultsError
from rtbench.records.tables import SCHEMA


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_frames(golden: Path) -> None:
    campaign = load(golden)
    frame = campaign.trials
    assert len(campaign) == len(frame) == 12
    assert frame["status"].value_counts().to_dict() == {"ok": 10, "invalid": 1, "failed": 1}
    assert str(frame["trial"].dtype) == "Int64"
    assert frame["window_start_ns"].isna().sum() == 1
    deliveries = campaign.deliveries(1)
    assert (deliveries["latency_app_ns"] >= deliveries["latency_kernel_ns"]).all()
    assert deliveries["in_window"].sum() == 638  # 640 expected, 2 lost
    assert campaign.ticks(1)["in_window"].sum() == 40
    assert len(campaign.connections(1)) == 16
    assert len(campaign.requests(1)) == 0
    assert len(campaign.requests(3)) > 0
    assert len(campaign.probes(1)) == 5
    with pytest.raises(KeyError):
        campaign[99]
    assert next(s["subject"] for s in campaign.subjects) == "sse-aiohttp"


def test_deliveries_without_ticks_or_stamps(tmp_path: Path, make: ModuleType) -> None:
    from rtbench.records.tables import concatenate, write_table

    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2))
    directory = next((folder / "trials").iterdir())
    write_table(directory / "ticks.parquet", "ticks", concatenate("ticks", []))
    frame = load(folder).deliveries(1)
    assert (frame["due_ns"] == -1).all()
    assert not frame["in_window"].any()
    assert frame["latency_app_ns"].isna().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": {"kernel": "6.2.0"}}, ["environment.kernel", "6.1.0-golden", "6.2.0"]),
        ({"environment": {"python": "3.12.1"}}, ["environment.python", "3.11.9", "3.12.1"]),
        ({"environment": {"machine": {"name": "b"}}}, ["environment.machine", "golden"]),
        ({"environment": {"packages": {"aiohttp": "4"}}}, ["environment.packages.aiohttp", "3.14.5", "'4'"]),
        ({"environment": {"packages_sha256": "ab12"}}, ["environment.packages_sha256", "None", "'ab12'"]),
        ({"environment": {"commit": "5f3e9a0c1d2b"}}, ["environment.commit", "None", "5f3e9a0c1d2b"]),
        ({"environment": {"compiler": "cc 14"}}, ["environment.compiler", "None", "cc 14"]),
        ({"environment": {"tcp": {"tcp_sack": "0"}}}, ["environment.tcp.tcp_sack", "None", "'0'"]),
        ({"environment": {"mitigations": {"mds": "Off"}}}, ["environment.mitigations.mds", "None", "'Off'"]),
        ({"scenario_hash": "ffffffffffff"}, ["scenario_hash", "0f1e2d3c4b5a", "ffffffffffff"]),
        ({"extra": {"rtbench": "9.9.9"}}, ["rtbench", "0.1.0", "9.9.9"]),
    ],
)
def test_refuses_to_mix(
    tmp_path: Path, make: ModuleType, golden: Path, changes: dict[str, Any], words: list[str]
) -> None:
    other = make.write(tmp_path / "b", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, **changes))
    load(other)
    with pytest.raises(ResultsError) as caught:
        load([golden, other])
    for word in words:
        assert word in str(caught.value)


def test_mixes_what_agrees(tmp_path: Path, make: ModuleType) -> None:
    small = {"subjects": ("sse-aiohttp", "websocket-aiohttp"), "blocks": 2, "subscribers": 2, "window_s": 1.0}
    one = make.write(tmp_path / "a", make.Plan(**small))
    two = make.write(tmp_path / "b", make.Plan(**small, seed=2, environment={"boot": "another"}))
    campaign = load([one, two])
    assert [t.number for t in campaign] == list(range(1, 9))
    assert sorted({t.block for t in campaign}) == [1, 2, 3, 4]
    assert len(campaign.subjects) == 2


def test_a_trial_of_another_environment_is_refused(tmp_path: Path, make: ModuleType) -> None:
    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=2, subscribers=2))
    manifest = folder / "trials/002-sse-aiohttp/manifest.json"
    edit(manifest, environment=make.environment() | {"kernel": "7.0"})
    with pytest.raises(ResultsError, match=r"environment\.kernel.*6\.1\.0-golden.*7\.0"):
        load(folder)


def test_refuses_what_is_not_a_campaign(tmp_path: Path, make: ModuleType) -> None:
    with pytest.raises(ResultsError, match="is missing"):
        load(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match="no results folder"):
        load([])
    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2))
    edit(folder / "campaign.json", schema=SCHEMA + 1)
    with pytest.raises(ResultsError, match=rf"schema {SCHEMA + 1}.*newer rtbench"):
        load(folder)
    edit(folder / "campaign.json", schema=None)
    with pytest.raises(ResultsError, match="no schema"):
        load(folder)
    (folder / "campaign.json").write_text("[]")
    with pytest.raises(ResultsError, match="no schema"):
        load(folder)
    (folder / "campaign.json").write_text("{")
    with pytest.raises(ResultsError, match="cannot be read"):
        load(folder)


def test_damaged_trials_are_put_aside_and_named(tmp_path: Path, make: ModuleType) -> None:
    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=6, subscribers=2, window_s=1.0))
    names = [folder / f"trials/{n:03d}-sse-aiohttp" for n in range(1, 7)]
    (names[0] / "manifest.json").unlink()
    (names[1] / "deliveries.parquet").write_bytes(b"PAR1 but not really")
    (names[2] / "ticks.parquet").unlink()
    edit(names[3] / "manifest.json", schema=99)
    (names[4] / "manifest.json").write_text("[]")
    evidence = gather(load(folder))
    assert [r.trial.status for r in evidence.results] == ["failed"] * 5 + ["ok"]
    told = [w["message"] for w in evidence.warnings if w["kind"] == "damaged-trial"]
    assert len(told) == 5
    assert "trial 1 (sse-aiohttp) was left out" in told[0]
    assert any("deliveries.parquet" in line for line in told)
    assert any("ticks.parquet: is missing" in line for line in told)
    assert any("schema 99" in line for line in told)


def test_a_tick_listed_twice_is_damage(tmp_path: Path, make: ModuleType) -> None:
    from rtbench.records.tables import read_table, write_table

    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2))
    file = folder / "trials/001-sse-aiohttp/ticks.parquet"
    write_table(file, "ticks", {k: np.concatenate([v, v[:1]]) for k, v in read_table(file, "ticks").items()})
    evidence = gather(load(folder))
    assert evidence.results[0].trial.reasons[0]["kind"] == "damaged"


def test_what_reasons_spoil(golden: Path) -> None:
    campaign = load(golden)
    invalid, failed, fine = campaign[6], campaign[11], campaign[1]
    assert invalid.spoils("latency_app_p50_ns") and not invalid.spoils("latency_kernel_p50_ns")
    assert failed.spoils("lost") and not fine.spoils("latency_app_p50_ns")


def test_an_invalid_trial_without_names_is_not_believed_for_latency_and_cost(tmp_path: Path, make: ModuleType) -> None:
    plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, invalid={1: ()})
    trial = load(make.write(tmp_path / "a", plan))[1]
    assert trial.spoils("server_cpu_ns_per_message") and trial.spoils("latency_kernel_p50_ns")
    assert not trial.spoils("lost") and not trial.spoils("tcp_down_bytes_per_message")


def against(trial: Trial, status: Status, *metrics: str) -> Trial:
    return replace(trial, status=status, reasons=({"kind": "x", "message": "late", "metrics": list(metrics)},))


def test_a_trial_that_counts_may_have_tails_that_are_not_believed(evidence: Evidence) -> None:
    first = evidence.results[0]
    trial = against(first.trial, "ok", "latency_kernel_max_ns")
    assert trial.spoils("latency_kernel_max_ns") and not trial.spoils("latency_kernel_p50_ns")
    assert not against(trial, "ok").spoils("latency_kernel_p50_ns")
    told = caveats.collect(replace(evidence, results=(replace(first, trial=trial), *evidence.results[1:])))
    (caveat,) = [one for one in told if one.kind == "x"]
    assert caveat.message == "trial 1, sse-aiohttp: late (spoils latency_kernel_max_ns)"
    assert not caveat.grave


def test_a_star_stands_for_any_text(evidence: Evidence) -> None:
    """As the validity gate writes what it spoils: the costs of server, client and proxy alike."""
    trial = against(evidence.results[0].trial, "invalid", "*_cpu_ns_per_message", "tcp_*_bytes_per_message")
    assert trial.spoils("server_cpu_ns_per_message") and trial.spoils("tcp_up_bytes_per_message")
    assert not trial.spoils("machine_busy_ns_per_message")
