"""The files of a results folder: one schema for who writes them and who reads them (interface.md, R15).

Every `_ns` is int64 on the trial host's CLOCK_MONOTONIC. A Parquet file is written once, under a temporary name,
and renamed into place, so that a reader never sees half a file. Called by the publisher, the load generator and the
campaign to write; by the campaign and the analysis to read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rtbench.errors import ResultsError

SCHEMA = 2
"""Raised when a column, a key or one of its values is renamed or removed (with a line in CHANGELOG); adding one does
not raise it. 2: the verdicts of report.json. Folders of schema 1 have the same keys and columns: they load as well."""

FOR_GOOD = ("ended", "failed by its stream", "stopped (status 204)")
"""Outcomes of a connection whose stream was over: its subscriber does not come back."""
SUCCEEDED = ("open", "closed", "closed by the subscriber", *FOR_GOOD)
"""Outcomes of a connection that did its work: still open at the end, or ended cleanly by either side."""

Columns = dict[str, npt.NDArray[Any]]

_I64, _I32 = np.dtype(np.int64), np.dtype(np.int32)
_U32, _TEXT = np.dtype(np.uint32), np.dtype(object)

TABLES: Mapping[str, Mapping[str, np.dtype[Any]]] = {
    # One row per delivery of a tick at a subscriber. kernel_ns: -1 where the stamp belongs to a later message (R2).
    "deliveries": {
        "subscriber": _I32,
        "connection": _I32,
        "channel": _I32,
        "seq": _I64,
        "kernel_ns": _I64,
        "app_ns": _I64,
        "payload_bytes": _I32,
        "digest": _U32,
    },
    # One row per tick that the publisher played. sent_ns: when it was ready to send (R2).
    "ticks": {
        "channel": _I32,
        "seq": _I64,
        "due_ns": _I64,
        "sent_ns": _I64,
        "payload_bytes": _I32,
        "digest": _U32,
    },
    # One row per TCP connection; -1 where a moment did not come. Byte counts are TCP_INFO's, seen from the client.
    "connections": {
        "subscriber": _I32,
        "connection": _I32,
        "local_port": _I32,
        "started_ns": _I64,
        "connected_ns": _I64,
        "response_ns": _I64,
        "first_message_ns": _I64,
        "closed_ns": _I64,
        "outcome": _TEXT,
        "tcp_received_bytes": _I64,
        "tcp_sent_bytes": _I64,
        "tcp_received_bytes_at_start": _I64,
        "tcp_sent_bytes_at_start": _I64,
        "tcp_received_bytes_at_end": _I64,
        "tcp_sent_bytes_at_end": _I64,
    },
    # Polling: one row per request. planned_ns: when it was to be sent; status 0: no answer.
    "requests": {
        "subscriber": _I32,
        "planned_ns": _I64,
        "started_ns": _I64,
        "response_ns": _I64,
        "status": _I32,
        "messages": _I32,
        "received_bytes": _I64,
    },
    # [chat]: one row per message that a subscriber was to say. started_ns: -1, it was not; status: a POST's, 0 none.
    "sends": {
        "subscriber": _I32,
        "planned_ns": _I64,
        "started_ns": _I64,
        "answered_ns": _I64,
        "status": _I32,
        "payload_bytes": _I32,
        "digest": _U32,
    },
    # One row a second and 13 evenly over the window, taken by the campaign; counters are cumulative, -1 where a source
    # is missing.
    "probes": {
        "at_ns": _I64,
        "server_cpu_ns": _I64,
        "load_cpu_ns": _I64,
        "publisher_cpu_ns": _I64,
        "machine_busy_ns": _I64,
        "steal_ns": _I64,
        "server_memory_bytes": _I64,
        "load_memory_bytes": _I64,
        "server_run_delay_ns": _I64,
        "load_run_delay_ns": _I64,
        "hub_lag_max_ns": _I64,
        "open_connections": _I64,
    },
}


def write_table(path: Path, kind: str, columns: Mapping[str, Any]) -> int:
    """Write `columns` as a table of `kind` (a key of TABLES) to `path`, atomically; returns the number of rows.

    Columns are cast to the schema's types; a missing or an extra one is our bug and raises KeyError.
    OSError (a full disk) passes through; nothing is left under `path` then.
    """
    schema = TABLES[kind]
    if set(columns) != set(schema):
        raise KeyError(f"{kind}: columns {sorted(set(columns) ^ set(schema))} are missing or unknown")
    arrays = [
        pa.array(list(columns[name]), type=pa.string())
        if dtype == _TEXT
        else pa.array(np.asarray(columns[name]).astype(dtype, copy=False))
        for name, dtype in schema.items()
    ]
    table = pa.table(arrays, names=list(schema))
    table = table.replace_schema_metadata({"rtbench.kind": kind, "rtbench.schema": str(SCHEMA)})
    with _replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return int(table.num_rows)


def read_table(path: Path, kind: str, columns: list[str] | None = None) -> Columns:
    """The columns of a table as numpy arrays. Raises ResultsError that names the file when it cannot be read."""
    wanted = columns if columns is not None else list(TABLES[kind])
    try:
        # Not pq.read_table: it would take a missing column for damage, and a folder called `a=b` for a column.
        with pq.ParquetFile(path, memory_map=True) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise ResultsError(
                    f"{path}: has no column {missing[0]}", f"a {kind} table of schema {SCHEMA} is expected"
                )
            table = file.read(wanted)
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: is missing", "measure again, or name a complete results folder") from error
    except (OSError, pa.ArrowException) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultsError(f"{path}: cannot be read ({line})", "the file is damaged; measure again") from error
    return {name: table.column(name).to_numpy() for name in wanted}


def concatenate(kind: str, parts: list[Columns]) -> Columns:
    """Stack tables of one kind (the shards of several load processes); no parts give an empty table."""
    return {
        name: np.concatenate([part[name] for part in parts]).astype(dtype, copy=False) if parts else np.empty(0, dtype)
        for name, dtype in TABLES[kind].items()
    }


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically. A NaN is our bug and raises ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically."""
    with _replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises ResultsError that names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: is missing", "name a folder that `rtbench run` wrote") from error
    except (OSError, ValueError, RecursionError) as error:  # bad bytes, bad JSON, numbers and depths beyond all reason
        raise ResultsError(f"{path}: cannot be read ({error})", "the file is damaged; measure again") from error


def sums(folder: Path) -> dict[str, dict[str, Any]]:
    """Name to size (bytes) and SHA-256 of every file in `folder`, for the manifest: a file that was edited afterwards
    is not taken for what was measured. The manifest's own sum is in campaign.json."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json")
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. OSError passes through."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _replacing:
    """Context manager: a temporary path beside `path`, renamed onto it when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
        self._temporary = Path(name)
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
