"""The files of a results folder: what was written is read, never half of it, and what is damaged is named."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtbench.errors import ResultsError
from rtbench.records import tables
from rtbench.records.tables import SCHEMA, TABLES, concatenate, read_json, read_table, write_json, write_table

EXTREMES = {"int64": [-1, 0, 2**63 - 1], "int32": [-1, 0, 2**31 - 1], "uint32": [0, 1, 2**32 - 1]}


def example(kind: str, rows: int = 3) -> dict[str, Any]:
    """Columns of `kind` with the edges of each type."""
    return {
        name: (["open", "error (Ünïcode)", ""] if dtype.hasobject else EXTREMES[dtype.name])[:rows]
        for name, dtype in TABLES[kind].items()
    }


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Round trips


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("kind", TABLES)
def test_round_trip(tmp_path: Path, kind: str, rows: int) -> None:
    path = tmp_path / f"{kind}.parquet"
    columns = example(kind, rows)
    assert write_table(path, kind, columns) == rows
    back = read_table(path, kind)
    assert list(back) == list(TABLES[kind])
    for name, dtype in TABLES[kind].items():
        assert back[name].dtype == dtype
        assert back[name].tolist() == columns[name]
    assert left_in(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", TABLES)
def test_file_says_what_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table"
    write_table(path, kind, example(kind))
    metadata = pq.read_schema(path).metadata
    assert metadata[b"rtbench.kind"] == kind.encode()
    assert metadata[b"rtbench.schema"] == str(SCHEMA).encode()


def test_every_ns_is_int64() -> None:
    for columns in TABLES.values():
        assert all(dtype == np.int64 for name, dtype in columns.items() if name.endswith("_ns"))


def test_chosen_columns(tmp_path: Path) -> None:
    path = tmp_path / "ticks.parquet"
    write_table(path, "ticks", example("ticks"))
    assert list(read_table(path, "ticks", ["seq", "due_ns"])) == ["seq", "due_ns"]


def test_a_column_too_many_is_ignored_by_readers(tmp_path: Path) -> None:
    # Adding a column does not raise the schema.
    path = tmp_path / "ticks.parquet"
    columns = {name: pa.array(np.array([1], dtype)) for name, dtype in TABLES["ticks"].items()}
    pq.write_table(pa.table({**columns, "weather": ["fair"]}), path)
    assert list(read_table(path, "ticks")) == list(TABLES["ticks"])


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_wrong_columns_are_our_bug(tmp_path: Path, change: str) -> None:
    columns = example("ticks")
    if change == "missing":
        del columns["seq"]
    else:
        columns["weather"] = [1, 2, 3]
    with pytest.raises(KeyError, match="seq" if change == "missing" else "weather"):
        write_table(tmp_path / "t", "ticks", columns)
    assert left_in(tmp_path) == []


def test_published_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644


# Never half a file


def full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(28, os.strerror(28))


class HalfATable:
    def __init__(self, path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"PAR1 and then the disk was full")
        self.write_table = full_disk

    def close(self) -> None:
        pass


@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_left_of_a_table_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    path = tmp_path / "ticks.parquet"
    if before:
        write_table(path, "ticks", example("ticks"))
    monkeypatch.setattr(tables.pq, "ParquetWriter", HalfATable)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, "ticks", example("ticks", 1))
    assert left_in(tmp_path) == ([path.name] if before else [])
    if before:
        assert len(read_table(path, "ticks")["seq"]) == 3


def test_nothing_is_left_of_json_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    write_json(path, {"trial": 1})
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"trial": 2})
    assert left_in(tmp_path) == [path.name]
    assert read_json(path) == {"trial": 1}


def test_nothing_is_left_when_the_name_is_taken_by_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_json(path, {})
    assert left_in(tmp_path) == [path.name]


def test_writing_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"long": "x" * 100})
    write_json(path, {"short": 1})
    assert read_json(path) == {"short": 1}


# Damage


def damaged(path: Path, how: str) -> None:
    whole = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "tail":
            path.write_bytes(whole[:-8] + b"\xff" * 8)
        case "data":  # the first page's header
            path.write_bytes(whole[:4] + b"\xff" * 64 + whole[68:])
        case "text":
            path.write_bytes(b"not a table at all\n" * 20)


@pytest.mark.parametrize("how", ["empty", "cut", "tail", "data", "text"])
def test_damaged_table_is_named(tmp_path: Path, how: str) -> None:
    path = tmp_path / "deliveries.parquet"
    write_table(path, "deliveries", example("deliveries"))
    damaged(path, how)
    with pytest.raises(ResultsError, match=r"deliveries\.parquet: cannot be read \(.*damaged; measure again") as caught:
        read_table(path, "deliveries")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("columns", [None, ["seq", "due_ns"]])
def test_missing_column_is_named(tmp_path: Path, columns: list[str] | None) -> None:
    path = tmp_path / "ticks.parquet"
    pq.write_table(pa.table({"seq": [1], "channel": [0]}), path)
    with pytest.raises(ResultsError, match=r"ticks\.parquet: has no column due_ns: a ticks table of schema 2"):
        read_table(path, "ticks", columns)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"ticks\.parquet: is missing"):
        read_table(tmp_path / "ticks.parquet", "ticks")
    with pytest.raises(ResultsError, match=r"campaign\.json: is missing"):
        read_json(tmp_path / "campaign.json")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"{'a': 1}"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"manifest\.json: cannot be read"):
        read_json(path)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be read"):
        read_json(tmp_path)


# JSON


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"text": "Ünïcode ✓", "ns": 2**63 - 1, "list": [1, 2.5, None, True], "nested": {"a": {}}}
    path = tmp_path / "a.json"
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_a_number(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"metric": [number]})
    assert left_in(tmp_path) == []


# Shards


@pytest.mark.parametrize("kind", TABLES)
def test_concatenate(tmp_path: Path, kind: str) -> None:
    shards = []
    for number in range(2):
        write_table(tmp_path / f"{number}", kind, example(kind, number + 2))
        shards.append(read_table(tmp_path / f"{number}", kind))
    whole = concatenate(kind, shards)
    for name, dtype in TABLES[kind].items():
        assert whole[name].dtype == dtype
        assert whole[name].tolist() == [*example(kind, 2)[name], *example(kind, 3)[name]]


@pytest.mark.parametrize("kind", TABLES)
def test_no_shards_are_an_empty_table(kind: str) -> None:
    whole = concatenate(kind, [])
    assert {name: column.dtype for name, column in whole.items()} == dict(TABLES[kind])
    assert not any(len(column) for column in whole.values())


def test_json_written_is_read_by_anybody(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"schema": SCHEMA})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"schema": 2}
