"""Any damage to a results folder: a report of what is good, or one line; never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtbench.analysis import figures
from rtbench.analysis.advice.advice import of_folder
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.regression import formats
from rtbench.analysis.regression.baseline import against
from rtbench.analysis.report.report import build
from rtbench.errors import ResultsError
from rtbench.records import past

pytestmark = pytest.mark.slow

TABLES = ("ticks", "deliveries", "connections", "probes", "requests")
FEW = settings(max_examples=4 if settings.default.derandomize else 100, suppress_health_check=list(HealthCheck))
"""An example takes up to a second: few each time, many with `--hypothesis-profile=explore`."""
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.integers(-3, 3), st.floats(), st.text(max_size=5),
    st.sampled_from(["", "..", "/etc/passwd", "\0", "1e999", "sse-aiohttp", "ok"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one),
    max_leaves=4,
)
CALIBRATION = {
    "measured_unix": 1,
    "checks": [
        {"name": "n", "met": True, "expected": 1, "measured": 1.5, "deviation": 0.5, "unit": "ms", "allowed": "1 ms"}
    ],
    "noise": {"metrics": {"server_cpu_ns_per_message": {"sd": 0.1, "blocks": 3}}},
}


@pytest.fixture(scope="module")
def whole(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects, one of which polls. Without checksums: every damage gets to the readers."""
    plan = make.Plan(
        subjects=("sse-aiohttp", "short-poll-aiohttp"), blocks=1, subscribers=2, window_s=0.5,
        warmup_s=0.1, grace_s=1.0, extra={"calibration": CALIBRATION},
    )  # fmt: skip
    return Path(make.write(tmp_path_factory.mktemp("any") / "whole", plan))


READERS: dict[str, Callable[[Path, Path], Any]] = {
    "report": lambda copy, _: build([copy]),
    "advise": lambda copy, _: of_folder(copy, Needs(subscribers=5), every=True),
    "compare": lambda copy, whole: [formats.render(against(copy, whole), kind) for kind in formats.FORMATS],
    "list": lambda copy, _: past.campaigns(copy.parent),
}


def read(whole: Path, copy: Path, data: st.DataObject) -> None:
    """A reader of results folders makes something of it, or says in a line why not."""
    try:
        READERS[data.draw(st.sampled_from(sorted(READERS)))](copy, whole)
    except ResultsError as error:
        assert str(error) and "\n" not in str(error)


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    return tmp_path / "copy"


def fresh(whole: Path, copy: Path) -> Path:
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(whole, copy))


def places(value: Any) -> list[tuple[Any, ...]]:
    """The path to each value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, inner in inside for path in ((key,), *((key, *rest) for rest in places(inner)))]


@FEW
@given(st.data())
def test_any_json(whole: Path, copy: Path, data: st.DataObject) -> None:
    folder = fresh(whole, copy)
    files = [folder / "campaign.json", *sorted(folder.glob("trials/*/manifest.json"))]
    file = data.draw(st.sampled_from(files))
    table = json.loads(file.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places(table)))
        at = table
        for key in parents:
            at = at[key]
        if data.draw(st.booleans()):
            at[last] = data.draw(VALUES)
        else:
            del at[last]
        if not places(table):
            break
    file.write_text(json.dumps(table))
    read(whole, folder, data)


@FEW
@given(st.data())
def test_any_bytes(whole: Path, copy: Path, data: st.DataObject) -> None:
    folder = fresh(whole, copy)
    file = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    raw = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw))) :]
    for _ in range(data.draw(st.integers(1, 8))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(raw)
    read(whole, folder, data)


ODD = st.sampled_from([-(2**63), -1, 0, 1, 2**31 - 1, 2**40, 2**63 - 1])
RETYPED: dict[str, Any] = {
    "text": lambda values: pa.array([str(value) for value in values]),
    "float": lambda values: pa.array([float(value) if isinstance(value, int) else 0.5 for value in values]),
    "small": lambda values: pa.array([1 for _ in values], pa.int8()),
    "empty": lambda values: pa.nulls(len(values), pa.int64()),
    "lists": lambda values: pa.array([[1] for _ in values]),
    "times": lambda values: pa.array(np.zeros(len(values), "datetime64[ns]")),
}


@FEW
@given(st.data())
def test_any_column(whole: Path, copy: Path, data: st.DataObject) -> None:
    folder = fresh(whole, copy)
    name = data.draw(st.sampled_from(TABLES))
    file = data.draw(st.sampled_from(sorted(folder.glob(f"trials/*/{name}.parquet"))))
    table = pq.read_table(file, partitioning=None)
    column = data.draw(st.sampled_from(table.column_names))
    place = table.column_names.index(column)
    how = data.draw(st.sampled_from(["odd", "gone", "rows", *RETYPED]))
    values = table.column(column).to_pylist()
    if how == "gone":
        table = table.remove_column(place)
    elif how == "rows":
        table = pa.concat_tables([table] * data.draw(st.sampled_from([0, 2])) or [table.slice(0, 0)])
    elif how == "odd" and table.schema.field(column).type != pa.string():
        kind = table.schema.field(column).type
        low, high = {"int64": (-(2**63), 2**63 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}[
            str(kind)
        ]
        changed = [min(max(data.draw(ODD), low), high) for _ in values[:3]]
        table = table.set_column(place, column, pa.array([*changed, *values[3:]], kind))
    elif how in RETYPED:
        table = table.set_column(place, column, RETYPED[how](values))
    pq.write_table(table, file)
    read(whole, folder, data)
