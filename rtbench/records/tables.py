"""The tables of a results folder: one schema for writers and readers (interface.md, R15).

`COLUMNS` has each column's unit: an `_ns` is an instant of the trial host's CLOCK_MONOTONIC, a duration, or a total of
processor time. Every file appears whole or not at all (`replacing`). Called by the publisher, the load generator and
the campaign to write; by the campaign and the analysis to read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rtbench.errors import ResultsError
from rtbench.records.replacing import replacing, write

SCHEMA = 2
"""Raised when a column, a key or one of its values is renamed or removed (with a line in CHANGELOG); adding one does
not raise it. 2: the verdicts of report.json. Folders of schema 1 have the same keys and columns: they load as well."""

FOR_GOOD = ("ended", "failed by its stream", "stopped (status 204)")
"""Outcomes of a connection whose stream was over: its subscriber does not come back."""
CUT = "cut"
"""The outcome of a connection that a storm reset on purpose."""
SUCCEEDED = ("open", "closed", "closed by the subscriber", CUT, *FOR_GOOD)
"""Outcomes of a connection that did its work: still open at the end, ended by either side, or cut on purpose."""

DAMAGED = "the file is damaged; measure again"
"""The remedy."""

Columns = dict[str, npt.NDArray[Any]]

_I64, _I32 = np.dtype(np.int64), np.dtype(np.int32)
_U32, _TEXT = np.dtype(np.uint32), np.dtype(object)


class Column(NamedTuple):
    """A column: its type on disk, its unit (a key of `described.UNITS`), its meaning, and the meaning of -1."""

    dtype: np.dtype[Any]
    unit: str
    meaning: str


_SUBSCRIBER = Column(_I32, "number", "the subscriber, from 0 over all load processes")
_VISITOR = Column(_I32, "number", "the visitor, numbered after the subscribers that stay")
_CHANNEL = Column(_I32, "number", "the (stream, channel) pair, as `channels` in campaign.json numbers them")
_SEQ = Column(_I64, "number", "the tick's number in its channel, from 1; the message's id")
_PAYLOAD = Column(_I32, "bytes", "length of PAYLOAD in UTF-8")
_DIGEST = Column(_U32, "number", "CRC-32 of PAYLOAD in UTF-8 (zlib's)")
_CONNECTION = Column(_I32, "number", "which connection of its subscriber, from 0")

_DELIVERY: Mapping[str, Column] = {
    "connection": _CONNECTION,
    "channel": _CHANNEL,
    "seq": _SEQ,
    "kernel_ns": Column(
        _I64, "instant", "when the client's kernel had it; -1: the stamp belongs to a later message (R2)"
    ),
    "app_ns": Column(_I64, "instant", "when the client's code had it"),
    "payload_bytes": _PAYLOAD,
    "digest": _DIGEST,
}
"""What a subscriber and a visitor have of a delivery."""

COLUMNS: Mapping[str, tuple[str, Mapping[str, Column]]] = {
    "deliveries": (
        "One row for each delivery of a tick at a subscriber. The rows of one subscriber stand in the order in which "
        "it had them.",
        {"subscriber": _SUBSCRIBER, **_DELIVERY},
    ),
    "ticks": (
        "One row for each tick that the publisher played. Of a conversation, the tick's due time is when its sender "
        "planned it; of a server with a timetable of its own, ticks are made of what subscribers had.",
        {
            "channel": _CHANNEL,
            "seq": _SEQ,
            "due_ns": Column(_I64, "instant", "the planned moment, from which latency is charged"),
            "sent_ns": Column(_I64, "instant", "when the publisher was ready to send it (R2)"),
            "payload_bytes": _PAYLOAD,
            "digest": _DIGEST,
        },
    ),
    "connections": (
        "One row for each attempt at a TCP connection, visitors' included. Counts of TCP are TCP_INFO's, seen from the "
        "client. A received segment is one with data: of a server that does not wait to join writes (TCP_NODELAY), one "
        "write below the MSS.",
        {
            "subscriber": _SUBSCRIBER,
            "connection": Column(_I32, "number", f"{_CONNECTION.meaning}; -1: only for its POSTs (a sender's)"),
            "local_port": Column(_I32, "number", "the client's TCP port; 0: it got none"),
            "planned_ns": Column(
                _I64, "instant", "when the attempt was to begin, by the ramp or the reconnect policy; -1: not known"
            ),
            "started_ns": Column(_I64, "instant", "when the attempt began"),
            "connected_ns": Column(_I64, "instant", "when TCP was connected; -1: never"),
            "secured_ns": Column(_I64, "instant", "when the TLS handshake was done; -1: never, or cleartext"),
            "response_ns": Column(_I64, "instant", "when the first byte of the response came; -1: never"),
            "first_message_ns": Column(_I64, "instant", "when the first message came; -1: never"),
            "closed_ns": Column(_I64, "instant", "when it ended; -1: it was open at the trial's end"),
            "outcome": Column(
                _TEXT,
                "text",
                f"how it ended; {', '.join(f'`{one}`' for one in SUCCEEDED)} mean success, every other text a failure",
            ),
            "tcp_received_bytes": Column(_I64, "bytes", "received over its whole life; -1: could not be read"),
            "tcp_sent_bytes": Column(_I64, "bytes", "sent over its whole life; -1: could not be read"),
            "tcp_received_bytes_at_start": Column(
                _I64, "bytes", "received up to the window's start; -1: it was not there"
            ),
            "tcp_sent_bytes_at_start": Column(_I64, "bytes", "sent up to the window's start; -1: it was not there"),
            "tcp_received_bytes_at_end": Column(_I64, "bytes", "received up to the window's end; -1: it was not there"),
            "tcp_sent_bytes_at_end": Column(_I64, "bytes", "sent up to the window's end; -1: it was not there"),
            "tcp_received_segments": Column(
                _I64, "count", "data segments received over its whole life; -1: could not be read"
            ),
            "tcp_received_segments_at_start": Column(
                _I64, "count", "data segments received up to the window's start; -1: it was not there"
            ),
            "tcp_received_segments_at_end": Column(
                _I64, "count", "data segments received up to the window's end; -1: it was not there"
            ),
        },
    ),
    "requests": (
        "Polling only: one row for each request.",
        {
            "subscriber": _SUBSCRIBER,
            "planned_ns": Column(_I64, "instant", "when the request was to be sent"),
            "started_ns": Column(_I64, "instant", "when it was sent"),
            "response_ns": Column(_I64, "instant", "when the whole answer was there; -1: never"),
            "status": Column(_I32, "number", "HTTP status; 0: no answer"),
            "messages": Column(_I32, "count", "messages in the answer"),
            "received_bytes": Column(_I64, "bytes", "length of the answer, head included"),
        },
    ),
    "sends": (
        "Conversations only (`[chat]`): one row for each message that a subscriber was to send.",
        {
            "subscriber": _SUBSCRIBER,
            "planned_ns": Column(_I64, "instant", "when it was to be sent; becomes its tick's `due_ns`"),
            "started_ns": Column(_I64, "instant", "when it was sent; -1: it was not"),
            "answered_ns": Column(_I64, "instant", "when the answer to its POST came; -1: none (a WebSocket has none)"),
            "status": Column(_I32, "number", "HTTP status of its POST; 0: none"),
            "payload_bytes": _PAYLOAD,
            "digest": _DIGEST,
        },
    ),
    "visits": (
        "Churn only (`[churn]`): one row for each visit, which is one connection of a visitor. Visitors are numbered "
        "after the subscribers that stay. Their connections are in `connections`, their requests in `requests`, what "
        "they had in `visit_deliveries`.",
        {
            "subscriber": _VISITOR,
            "planned_ns": Column(_I64, "instant", "when it was to arrive"),
            "leaves_ns": Column(_I64, "instant", "when it was to leave"),
            "had_until_ns": Column(
                _I64,
                "instant",
                "what was due before this must have come: the visit's end, less the grace, less the longest time that "
                "the load process stood still during the visit",
            ),
        },
    ),
    "visit_deliveries": (
        "Churn only: one row for each delivery at a visitor, as in `deliveries`.",
        {"subscriber": _VISITOR, **_DELIVERY},
    ),
    "probes": (
        "One row a second and 13 evenly over the window, read by the campaign. Counters are totals since their process "
        "(the machine) began.",
        {
            "at_ns": Column(_I64, "instant", "when the row was read"),
            "server_cpu_ns": Column(_I64, "total", "processor time of the server's process tree; -1: not known"),
            "load_cpu_ns": Column(_I64, "total", "processor time of the load processes; -1: not known"),
            "publisher_cpu_ns": Column(_I64, "total", "processor time of the publisher; -1: not known"),
            "machine_busy_ns": Column(_I64, "total", "busy time of all cores; -1: not known"),
            "steal_ns": Column(_I64, "total", "time that the host took from all cores; -1: not known"),
            "server_memory_bytes": Column(_I64, "bytes", "resident set size of the server; -1: not known"),
            "load_memory_bytes": Column(_I64, "bytes", "resident set size of the load processes; -1: not known"),
            "server_run_delay_ns": Column(
                _I64, "total", "time that the server's threads were ready to run and had no core; -1: not known"
            ),
            "load_run_delay_ns": Column(_I64, "total", "the same of the load processes; -1: not known"),
            "hub_lag_max_ns": Column(
                _I64, "duration", "largest event-loop lag of a load process since the last row; -1: not known"
            ),
            "open_connections": Column(_I64, "count", "subscribers that were connected; -1: not known"),
        },
    ),
}
"""Table to what a row of it is, and its columns in their order. docs/data.md is made of this."""

TABLES: Mapping[str, Mapping[str, np.dtype[Any]]] = {
    kind: {name: column.dtype for name, column in columns.items()} for kind, (_, columns) in COLUMNS.items()
}
"""Table to its columns and their types on disk."""


LATER = frozenset(
    {
        "planned_ns",
        "secured_ns",
        "tcp_received_segments",
        "tcp_received_segments_at_start",
        "tcp_received_segments_at_end",
    }
)
"""Columns that older folders lack. There each value is -1: not known."""


ROW_GROUP = 2**20
"""The rows that stand together in a file."""


def write_table(path: Path, kind: str, columns: Mapping[str, Any]) -> int:
    """Write `columns` as a table of `kind` (a key of TABLES) to `path`, atomically; returns the number of rows.

    Columns are cast to the schema's types; a missing or an extra one is our bug and raises KeyError.
    OSError (a full disk) passes through; nothing is left under `path` then.
    """
    return write_pieces(path, kind, (columns,))


def write_pieces(path: Path, kind: str, pieces: Iterable[Mapping[str, Any]]) -> int:
    """`write_table` of a table that comes in pieces, one at least, each but the last of ROW_GROUP rows.

    The file is the same, byte for byte, and no more than one piece has to be in memory.
    """
    rows, writer = 0, None
    with replacing(path) as temporary:
        try:
            for columns in pieces:
                table = _table(kind, columns)
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table, ROW_GROUP)
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows


def _table(kind: str, columns: Mapping[str, Any]) -> pa.Table:
    schema = TABLES[kind]
    if set(columns) != set(schema):
        raise KeyError(f"{kind}: columns {sorted(set(columns) ^ set(schema))} are missing or unknown")
    arrays = [_array(columns[name], dtype) for name, dtype in schema.items()]
    table = pa.Table.from_arrays(arrays, names=list(schema))
    return table.replace_schema_metadata({"rtbench.kind": kind, "rtbench.schema": str(SCHEMA)})


def _array(values: Any, dtype: np.dtype[Any]) -> pa.Array:
    """The column as Arrow has it. `pa.array` would import pandas: 0.4 s of CPU in each process of a trial."""
    if dtype == _TEXT:
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts)))
    column = np.ascontiguousarray(values, dtype)
    return pa.Array.from_buffers(pa.from_numpy_dtype(dtype), len(column), [None, pa.py_buffer(column)])


def read_table(path: Path, kind: str, columns: list[str] | None = None) -> Columns:
    """The columns of a table as numpy arrays. Raises ResultsError that names the file when it cannot be read."""
    wanted = columns if columns is not None else list(TABLES[kind])
    try:
        # Not pq.read_table: it would take a missing column for damage, and a folder called `a=b` for a column.
        with pq.ParquetFile(path, memory_map=True) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if lacking := [name for name in missing if name not in LATER]:
                raise ResultsError(
                    f"{path}: has no column {lacking[0]}", f"a {kind} table of schema {SCHEMA} is expected"
                )
            for name in (name for name in wanted if name not in missing):
                _check_type(path, kind, file.schema_arrow.field(name))
            table = file.read([name for name in wanted if name not in missing])
            if nulls := next((name for name in table.column_names if table.column(name).null_count), ""):
                raise ResultsError(f"{path}: column {nulls} has empty values", DAMAGED)
            unknown = np.full(file.metadata.num_rows, -1, dtype=np.int64)
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: is missing", "measure again, or name a complete results folder") from error
    except (OSError, pa.ArrowException) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultsError(f"{path}: cannot be read ({line})", DAMAGED) from error
    return {name: unknown if name in missing else table.column(name).to_numpy() for name in wanted}


def _check_type(path: Path, kind: str, field: pa.Field) -> None:
    """Raises ResultsError for a column that is not of its table's type."""
    dtype = TABLES[kind][field.name]
    wanted = pa.string() if dtype == _TEXT else pa.from_numpy_dtype(dtype)
    if field.type != wanted:
        raise ResultsError(f"{path}: column {field.name} is of type {field.type}, not {wanted}", DAMAGED)


def concatenate(kind: str, parts: list[Columns]) -> Columns:
    """Stack tables of one kind (the shards of several load processes); no parts give an empty table."""
    return {
        name: np.concatenate([part[name] for part in parts]).astype(dtype, copy=False) if parts else np.empty(0, dtype)
        for name, dtype in TABLES[kind].items()
    }


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically. A NaN is our bug and raises ValueError."""
    write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises ResultsError that names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: is missing", "name a folder that `rtbench run` wrote") from error
    except (OSError, ValueError, RecursionError) as error:  # bad bytes, bad JSON, numbers and depths beyond all reason
        raise ResultsError(f"{path}: cannot be read ({error})", DAMAGED) from error


def sums(folder: Path) -> dict[str, dict[str, Any]]:
    """Name to size (bytes) and SHA-256 of every file in `folder`, for the manifest: a file that was edited afterwards
    is not taken for what was measured. The manifest's own sum is in campaign.json."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json")
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. OSError passes through."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
