"""Growth over a long window: known slopes come out, known noise keeps its coverage, short windows have none."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import gather
from rtbench.analysis.metrics import measure
from rtbench.analysis.report import tables
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.growth import HOUR_NS, PARTS, line
from rtbench.records.tables import read_table, write_table

SECOND, MIB = 10**9, 2**20
WINDOW = (5 * SECOND, 1805 * SECOND)
AT = np.arange(0, 1810 * SECOND, SECOND, dtype=np.int64)


def test_a_known_slope_comes_out_exactly() -> None:
    found = line(AT, 40 * MIB + AT * 3 * MIB // HOUR_NS, WINDOW)
    assert found is not None
    assert found.slope == pytest.approx(3 * MIB, rel=1e-3)
    assert found.low == pytest.approx(found.slope, rel=1e-3) and found.high == pytest.approx(found.slope, rel=1e-3)


def test_what_stays_has_no_slope() -> None:
    found = line(AT, np.full(AT.size, 40 * MIB), WINDOW)
    assert found is not None and (found.slope, found.low, found.high) == (0, 0, 0)


def test_only_the_window_counts() -> None:
    values = np.where((WINDOW[0] <= AT) & (WINDOW[1] > AT), 40 * MIB, 900 * MIB)
    found = line(AT, values, WINDOW)
    assert found is not None and found.slope == 0


def test_unknown_readings_are_left_out_and_an_empty_part_is_no_line() -> None:
    values = np.full(AT.size, 40 * MIB)
    values[10:20] = -1
    found = line(AT, values, WINDOW)
    assert found is not None and found.slope == 0
    values[: AT.size // PARTS + 10] = -1
    assert line(AT, values, WINDOW) is None


@pytest.mark.slow
@pytest.mark.parametrize("memory_s", [0, 20])
def test_the_interval_covers_flat_memory_whose_readings_hang_together(memory_s: int) -> None:
    """95 % of the intervals hold 0 when a reading remembers those of the last seconds; parts are 150 s long."""
    rng = np.random.default_rng(1)
    keep = np.exp(-1 / memory_s) if memory_s else 0.0
    covered, trials = 0, 300
    for _ in range(trials):
        noise = rng.standard_normal(AT.size)
        for i in range(1, AT.size if keep else 0):
            noise[i] += keep * noise[i - 1]
        found = line(AT, 40 * MIB + (noise * 50_000).astype(np.int64), WINDOW)
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert 0.91 <= covered / trials <= 0.99


@pytest.fixture
def long(tmp_path: Path, make: ModuleType) -> Any:
    """A campaign of one trial with a window of 60 s; `change(processes)` edits its manifest."""

    def build(window_s: float = 60.0, **processes: dict[str, int]) -> Path:
        plan = make.Plan(subjects=("sse-aiohttp",), blocks=1, subscribers=2, window_s=window_s)
        folder: Path = make.write(tmp_path / "campaign", plan)
        trial = folder / "trials/001-sse-aiohttp"
        manifest = json.loads((trial / "manifest.json").read_text())
        for name, row in processes.items():
            manifest["processes"][name] |= row
        manifest.pop("files", None)
        (trial / "manifest.json").write_text(json.dumps(manifest))
        table = read_table(trial / "probes.parquet", "probes")
        # From one known point: 36 MiB an hour are 10,485.76 bytes a second.
        table["server_memory_bytes"] = 40 * MIB + (table["at_ns"] - table["at_ns"][0]) * 36 * MIB // HOUR_NS
        write_table(trial / "probes.parquet", "probes", table)
        return folder

    return build


@pytest.mark.slow
def test_metrics_and_the_reports_table(long: Any) -> None:
    folder = long(
        server={"descriptors_at_start": 1010, "descriptors_at_end": 1013},
        load={"descriptors_at_start": 1020, "descriptors_at_end": 1020},
    )
    campaign = load(folder)
    found = measure(Samples(campaign[1]))
    assert found["server_memory_growth_bytes_per_hour"] == pytest.approx(36 * MIB, rel=1e-2)
    assert (found["load_memory_growth_bytes_per_hour"], found["load_memory_growth_bytes_per_hour_low"]) == (0, 0)
    assert (found["server_descriptors_growth"], found["load_descriptors_growth"]) == (3, 0)
    headings, ((name, cells),) = tables.growth(gather(campaign))
    assert name == "sse-aiohttp" and len(headings) == len(cells)
    assert cells[0].startswith("36") and cells[2:] == ["no", "yes", "+3", "+0"]


@pytest.mark.parametrize(("begin", "end"), [(-1, 5), (5, -1), (None, 5)])
@pytest.mark.slow
def test_descriptors_that_could_not_be_read_are_not_a_number(long: Any, begin: Any, end: Any) -> None:
    row = {"descriptors_at_start": begin, "descriptors_at_end": end}
    folder = long(server={name: value for name, value in row.items() if value is not None})
    assert measure(Samples(load(folder)[1]))["server_descriptors_growth"] is None


def test_a_short_window_has_no_growth(long: Any) -> None:
    folder = long(2.0, server={"descriptors_at_start": 1, "descriptors_at_end": 9})
    campaign = load(folder)
    found = measure(Samples(campaign[1]))
    assert {value for name, value in found.items() if "growth" in name} == {None}
    assert tables.growth(gather(campaign))[1] == []
