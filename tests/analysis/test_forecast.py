"""A forecast multiplies out: measured slopes times the need, over what a machine has."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.forecast import words
from rtbench.analysis.forecast.amounts import PORTS, Amount, Server, Wanted, outside
from rtbench.analysis.forecast.forecast import Forecast, forecast, of_folder
from rtbench.analysis.statistics.compare import Summary
from rtbench.cli import cli
from rtbench.errors import ResultsError, UserError

SSE = "sse-aiohttp"
CPU = "server_cpu_ns_per_message"
MILLION = Wanted(1_000_000, rate_hz=2.0, payload_bytes=150.0)


def of(found: Forecast, subject: str = SSE) -> Server:
    return next(one for one in found.servers if one.option.subject.name == subject)


def median(evidence: Evidence, metric: str, subject: str = SSE) -> float:
    found = evidence.summary(subject, metric)
    assert found is not None and found.median is not None
    return found.median


def value(amount: Amount) -> float:
    assert amount.value is not None
    return amount.value


def test_it_multiplies_out(evidence: Evidence, golden: Path) -> None:
    one = of(forecast(evidence, MILLION, golden))
    cpu = evidence.summary(SSE, CPU)
    assert cpu is not None and cpu.median and cpu.low and cpu.high
    for end, known in (("value", cpu.median), ("low", cpu.low), ("high", cpu.high)):
        assert getattr(one.cores, end) == pytest.approx(known * 2e6 / 1e9 / 0.7)
    assert value(one.each) == pytest.approx(1e6 / value(one.cores))
    assert one.each.low is not None and one.each.low < value(one.each)
    assert value(one.machines) == math.ceil(value(one.cores) / 8)
    assert one.cores.binding and not one.bandwidth.binding
    assert one.cores.extrapolated_by == pytest.approx(value(one.each) / 16)  # 16 subscribers were measured
    traffic = sum(median(evidence, f"tcp_{way}_bytes_per_message") for way in ("down", "up"))
    assert value(one.bandwidth) == pytest.approx(8 * traffic * 2e6)
    assert one.bandwidth.extrapolated_by == pytest.approx(5)  # 10 a second were measured
    client = median(evidence, "client_cpu_ns_per_message") * 2e6 / 1e9 / 0.7
    assert value(one.load_cores) == pytest.approx(client)
    assert value(one.load_hosts) == math.ceil(max(client / 8, 1e6 / (PORTS * value(one.machines))))
    assert one.memory.value is None and "memory.ladder" in one.memory.missing


def test_few_subscribers_take_a_share_of_a_core(evidence: Evidence, golden: Path) -> None:
    one = of(forecast(evidence, Wanted(16), golden))
    assert value(one.machines) == value(one.load_hosts) == 1
    assert value(one.cores) == pytest.approx(median(evidence, CPU) * 16 * 10 / 1e9 / 0.7, rel=0.02)
    assert one.cores.extrapolated_by == 1
    assert "one core holds all" in words.text(Forecast("c", Wanted(16), (one,), ()))


def test_memory_is_the_servers_own_and_its_half_of_the_kernels(evidence: Evidence, golden: Path) -> None:
    ladder = (
        Summary(SSE, "server_memory_bytes_per_connection", "bytes", 5, 20_000.0, 19_000.0, 21_000.0),
        Summary(SSE, "kernel_memory_bytes_per_connection", "bytes", 5, 8_000.0, 7_000.0, 9_000.0),
    )
    known = replace(evidence, summaries=(*ladder, *evidence.summaries))
    one = of(forecast(known, replace(MILLION, memory_gib=1), golden))
    assert (one.memory.low, one.memory.value, one.memory.high) == (22.5e9, 24e9, 25.5e9)
    assert value(one.machines) == math.ceil(24e9 / 2**30) and one.memory.binding and not one.cores.binding
    assert "decides the machines" in words.text(Forecast("c", MILLION, (one,), ()))


def test_the_cost_grows_as_the_sweep_shows(make: ModuleType, tmp_path: Path) -> None:
    plan = make.Plan(
        subjects=(SSE,), blocks=3, window_s=1.0, warmup_s=0.2, rate_hz=10.0, cpu_law={SSE: (50_000.0, 0.5)},
        cells=tuple({"subscribers": n} for n in (2, 4, 8, 16)),
    )  # fmt: skip
    evidence = gather(load(make.write(tmp_path / "a", plan)))
    one = of(forecast(evidence, Wanted(100_000, rate_hz=10.0), tmp_path))
    holds = (0.7 / (10.0 * 50e-6)) ** (1 / 1.5)  # n · rate · 50 µs · n^0.5 = 0.7
    assert value(one.each) == pytest.approx(holds, rel=0.15)
    assert value(one.cores) == pytest.approx(100_000 / holds, rel=0.15)
    assert one.cores.low and one.cores.high and one.cores.low < value(one.cores) < one.cores.high
    assert one.cores.extrapolated_by == pytest.approx(value(one.each) / 16)


def test_outside_of_what_was_measured() -> None:
    assert outside(5, [1, 10]) == 1
    assert outside(30, [1, 10]) == 3
    assert outside(0.5, [1, 10]) == 2
    assert outside(0, [1]) == outside(5, []) == 1


def test_a_kind_that_was_not_measured(evidence: Evidence, golden: Path) -> None:
    with pytest.raises(UserError, match="measured without TLS, nothing with"):
        forecast(evidence, replace(MILLION, tls=True), golden)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rate_hz": float("nan")}, "--rate nan is out of range"),
        ({"busy": 1.5}, "--busy 1.5 is out of range: give a share above 0"),
        ({"memory_gib": 0.0}, "--memory-gib 0.0 is out of range"),
    ],
)
def test_what_cannot_be_wanted(golden: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        of_folder(golden, replace(MILLION, **changes))
    assert says in str(caught.value)


def test_too_few_trials(make: ModuleType, tmp_path: Path) -> None:
    made = make.write(tmp_path / "a", make.Plan(subjects=(SSE,), blocks=1, window_s=0.5, subscribers=2))
    with pytest.raises(ResultsError, match="nothing can be forecast"):
        of_folder(made, MILLION)


def test_the_command(golden: Path) -> None:
    words_ = ["forecast", str(golden), "--subscribers", "1000000", "--rate", "2", "--payload-bytes", "150"]
    shown = CliRunner().invoke(cli, words_)
    assert shown.exit_code == 0 and "SSE on aiohttp (sse-aiohttp)" in shown.output
    assert "Not in it:" in shown.output and "1,000,000" in shown.output
    rows = json.loads(CliRunner().invoke(cli, [*words_, "--json"]).output)["subjects"]
    row = next(row for row in rows if row["subject"] == SSE)
    for name in ("machines", "cores", "memory", "bandwidth", "ports", "load_hosts"):
        assert {"low", "value", "high", "binding", "extrapolated_by"} <= row[name].keys()
    assert row["cores"]["value"] == pytest.approx(value(of(of_folder(golden, MILLION)).cores))
