"""Trials for the tests of a search: files of a server that was never there, with what is to be seen in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.records import tables
from rtbench.records.manifest import Clocks, Counts, Manifest, Process, Window
from rtbench.records.reason import Reason
from rtbench.records.record import Status, changed, plain, typed
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.trial import Spec

MS, SECOND = 10**6, 10**9
START_NS = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Seen:
    """What a trial shows. `latency_ms`: of every message; `late`: of so many messages `late_ms`; `lost`: so many.

    `unstamped`: the late ones have no kernel stamp of their own. `lag_ms`: by which the publisher sends them late.
    """

    latency_ms: float = 5.0
    late: int = 0
    late_ms: float = 500.0
    lost: int = 0
    unstamped: bool = False
    lag_ms: float = 0.0
    server_share: float = 0.3
    load_share: float = 0.2
    set_up_ms: float = 10.0
    failed_connections: int = 0
    more_connections: int = 0
    status: Status = "ok"
    reasons: tuple[Reason, ...] = ()
    network: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


def scenario(**table: Any) -> Scenario:
    """Ten subscribers, ten messages each in a window of a second."""
    return build(
        {
            "subjects": ["sse-aiohttp"], "subscribers": 10, "window_s": 1.0, "workload": {"rate_hz": 10},
            "slo": {"latency_ms": 50}, **table,
        },
        "here",
    )  # fmt: skip


def write(directory: Path, table: Scenario, seen: Seen, number: int = 1, subject: str = "sse-aiohttp") -> Manifest:
    """A trial's folder."""
    directory.mkdir(parents=True, exist_ok=True)
    window_ns, rate_hz = int(table.window_s * SECOND), table.workload.rate_hz
    messages = round(table.window_s * rate_hz)
    due = START_NS + (np.arange(messages) * SECOND / rate_hz).astype(np.int64)
    seq = np.arange(1, messages + 1)
    subscriber, tick = np.divmod(np.arange(table.subscribers * messages), messages)
    late = np.arange(subscriber.size) >= subscriber.size - seen.late
    sent = due.copy()
    sent[tick[late]] += int(seen.lag_ms * MS)
    app = due[tick] + np.where(late, int(seen.late_ms * MS), int(seen.latency_ms * MS))
    kernel = np.where(late & seen.unstamped, -1, app)
    zero = np.zeros(subscriber.size - seen.lost, dtype=np.int64)
    kept = slice(0, zero.size)
    size = {"payload_bytes": 100, "digest": 7}
    tables.write_table(
        directory / "deliveries.parquet",
        "deliveries",
        {
            "subscriber": subscriber[kept], "connection": zero, "channel": zero, "seq": seq[tick][kept],
            "kernel_ns": kernel[kept], "app_ns": app[kept], **{name: zero + value for name, value in size.items()},
        },
    )  # fmt: skip
    nothing = np.zeros(messages, dtype=np.int64)
    tables.write_table(
        directory / "ticks.parquet",
        "ticks",
        {
            "channel": nothing, "seq": seq, "due_ns": due, "sent_ns": sent,
            **{name: nothing + value for name, value in size.items()},
        },
    )  # fmt: skip
    everyone = np.arange(table.subscribers)
    rows = {name: np.zeros(table.subscribers, dtype=np.int64) for name in tables.TABLES["connections"]}
    rows |= {
        "subscriber": everyone, "started_ns": everyone * 0 + SECOND,
        "response_ns": everyone * 0 + SECOND + int(seen.set_up_ms * MS), "outcome": ["open"] * table.subscribers,
    }  # fmt: skip
    tables.write_table(directory / "connections.parquet", "connections", rows)
    made = Manifest(
        schema=tables.SCHEMA, trial=number, subject=subject, status=seen.status, reasons=list(seen.reasons),
        window=Window(start_ns=START_NS, end_ns=START_NS + window_ns), clocks=Clocks(pairs=[]), network=seen.network,
        counts=Counts(
            subscribers=table.subscribers, connections=table.subscribers + seen.more_connections,
            connections_failed=seen.failed_connections,
        ),
        processes={
            "server": typed(Process, {**_used(seen.server_share, window_ns), "cores": [0], "refused": seen.refused}),
            "load": typed(Process, {**_used(seen.load_share, window_ns), "workers": 1}),
        },
    )  # fmt: skip
    tables.write_json(directory / "manifest.json", plain(made))
    return made


def broken(directory: Path, reason: Reason, status: Status = "failed") -> Manifest:
    """The folder of a trial without a window."""
    directory.mkdir(parents=True, exist_ok=True)
    made = changed(Manifest(schema=tables.SCHEMA), status=status, reasons=[reason], subject="sse-aiohttp")
    tables.write_json(directory / "manifest.json", plain(made))
    return made


def _used(share: float, window_ns: int) -> dict[str, int]:
    return {"cpu_ns_at_start": 100, "cpu_ns_at_end": 100 + int(share * window_ns)}


def of(spec: Spec, folder: Path, seen: Seen) -> Manifest:
    """The trial of a spec."""
    return write(folder / spec.directory, spec.scenario, seen, spec.number, spec.subject.name)
