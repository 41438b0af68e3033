"""Arrival spacing where due times are not known, and the proxy's share of the cost."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.metrics import catalogue, find, measure
from rtbench.analysis.samples.samples import Samples
from rtbench.trial.validity import COST, LATENCY

MS = 10**6


def arrivals(*rows: tuple[int, int, int]) -> Any:
    """(subscriber, kernel_ms or -1, app_ms) of messages in the order in which the table has them."""
    subscriber, kernel, app = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return SimpleNamespace(
        subscriber=subscriber,
        kernel_ns=np.where(kernel < 0, -1, kernel * MS),
        app_ns=app * MS,
        stamped=kernel >= 0,
    )


def in_ms(samples: Any) -> list[int]:
    catalogue()  # which imports every metric in the order of the files: it is the report's
    from rtbench.analysis.metrics.spacing import gaps

    return [int(gap) // MS for gap in gaps(samples)]


def test_gaps_are_each_subscriber_s_own() -> None:
    assert in_ms(arrivals((0, 10, 11), (1, 12, 13), (0, 30, 31), (1, 62, 63), (1, 63, 64))) == [20, 50, 1]


def test_the_order_of_the_table_does_not_matter() -> None:
    assert in_ms(arrivals((0, 30, 31), (0, 10, 11), (0, 60, 61))) == [20, 30]


def test_the_kernel_s_stamp_is_what_counts() -> None:
    """The load generator was late to read the second."""
    assert in_ms(arrivals((0, 10, 11), (0, 30, 59))) == [20]


def test_what_ended_in_one_read_arrived_together() -> None:
    assert in_ms(arrivals((0, 10, 11), (0, -1, 40), (0, -1, 40), (0, 39, 40), (0, 50, 51))) == [29, 0, 0, 11]


def test_a_last_read_without_a_stamp_has_the_application_s() -> None:
    """And never the next subscriber's."""
    assert in_ms(arrivals((0, 10, 11), (0, -1, 40), (1, 90, 91), (1, 95, 96))) == [30, 5]


def test_one_message_has_no_gap() -> None:
    assert in_ms(arrivals((0, 10, 11))) == []
    assert in_ms(arrivals((0, 10, 11), (1, 12, 13))) == []


@pytest.fixture
def one(tmp_path: Path, make: ModuleType) -> Any:
    """`one(rate_hz, **manifest)`: the metrics of a trial whose manifest has these members changed."""

    def build(rate_hz: float = 10.0, **changes: Any) -> dict[str, float | None]:
        plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=4, window_s=4.0, rate_hz=rate_hz)
        folder = make.write(tmp_path / "campaign", plan)
        file = folder / "trials/001-sse-aiohttp/manifest.json"
        manifest = json.loads(file.read_text())
        file.write_text(json.dumps(manifest | changes))
        return measure(Samples(load(folder)[1]))

    return build


def test_spacing_is_given_where_latency_cannot_be(one: Any) -> None:
    assert one()["arrival_gap_p50_ns"] is None
    found = one(due="unknown")
    assert found["arrival_gap_p50_ns"] == pytest.approx(100 * MS, rel=0.2)
    assert found["arrival_gap_p99_ns"] is None  # 40 instants


@pytest.mark.slow
def test_a_tail_of_spacing_needs_its_instants(one: Any) -> None:
    found = one(100.0, due="unknown")
    assert found["arrival_gap_p99_ns"] >= found["arrival_gap_p50_ns"] > 0


def test_a_proxy_s_processor_time_is_its_own(one: Any) -> None:
    assert one()["proxy_cpu_ns_per_message"] is None
    processes = {"proxy": {"cpu_ns_at_start": 5_000, "cpu_ns_at_end": 165_000}}
    assert one(processes=processes)["proxy_cpu_ns_per_message"] == 160_000 / 160


def test_what_spoils_latency_and_cost_spoils_these() -> None:
    assert "arrival_gap_*" in LATENCY
    assert "*_cpu_ns_per_message" in COST
    assert find("arrival_gap_p99_ns").direction == "neither"
    assert find("proxy_cpu_ns_per_message").direction == "lower"
