"""What became of a trial: audit, bytes, validity, steadiness; and its manifest (interface.md).

Invariant: judged from the files as they were written, so that what is written is what is judged. Called by the trial
after its processes are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rtbench.records import tables
from rtbench.records.audit import Match, in_window, match
from rtbench.records.audit import judge as audit
from rtbench.trial import steadiness, validity
from rtbench.trial._run import Run
from rtbench.trial._uplink import uplink
from rtbench.workload import Workload


def judge(run: Run) -> None:
    """Fill counts, bytes, reasons, warnings and status of `run` from the files in its folder."""
    spec, folder = run.spec, run.folder
    workload = spec.scenario.make_workload()
    deliveries = tables.read_table(folder / "deliveries.parquet", "deliveries")
    ticks = tables.read_table(folder / "ticks.parquet", "ticks")
    connections = tables.read_table(folder / "connections.parquet", "connections")
    channel_of = np.asarray([workload.channel_of(index) for index in range(spec.scenario.subscribers)], dtype=np.int64)
    joined = match(deliveries, ticks, channel_of)
    found = audit(joined, deliveries, ticks, run.window, channel_of)
    outcomes, listening = connections["outcome"], connections["connection"] >= 0
    run.counts = {
        "subscribers": spec.scenario.subscribers,
        "subscribed": len(np.unique(connections["subscriber"][connections["response_ns"] >= 0])),
        **found.counts(),
        "connections": int(np.count_nonzero(listening)),
        "connections_failed": sum(outcome not in tables.SUCCEEDED for outcome in outcomes),
        **run.uplinks,
    }
    run.details = found.details()
    evidence = validity.Inputs(
        window=run.window,
        load=run.reports,
        processes=run.processes,
        network=run.network,
        cores=os.cpu_count() or 1,
        ticks=_played(ticks, workload),
        deliveries=deliveries,
        limits=spec.scenario.validity,
    )
    inside = evidence.arrived
    counted = (connections["tcp_received_bytes_at_start"] >= 0) & (connections["tcp_received_bytes_at_end"] >= 0)
    run.bytes |= {
        "payload": int(deliveries["payload_bytes"][inside].sum()),
        "messages_in_window": int(inside.sum()),
        **{
            direction: int(
                (connections[f"tcp_{name}_bytes_at_end"] - connections[f"tcp_{name}_bytes_at_start"])[counted].sum()
            )
            for direction, name in (("tcp_down", "received"), ("tcp_up", "sent"))
        },
    }
    run.reasons += validity.check(evidence)
    run.warnings += validity.findings(evidence)
    if run.reasons:
        run.status = "invalid"
    run.uses["compression"] = compression(report.response_headers for report in run.reports)
    _steadiness(run, joined, deliveries, ticks)
    faults = [fault for report in run.reports for fault in report.faults]
    if faults:
        text = f"the wire protocol was broken, first by {faults[0]}"
        run.warnings.append(validity.reason("protocol fault", text, "run `rtbench verify`", []))
    if (again := run.counts["connections"] - spec.scenario.subscribers) > 0:
        text = f"{again:,} connections were made again"
        run.warnings.append(validity.reason("reconnections", text, "see connections.parquet for outcomes", []))


def _played(ticks: tables.Columns, workload: Workload) -> tables.Columns:
    """The ticks as the publisher is to be judged by: it cannot be late with what subscribers say."""
    return {**ticks, "sent_ns": np.where(uplink(workload, ticks["channel"]), ticks["due_ns"], ticks["sent_ns"])}


def _steadiness(run: Run, joined: Match, deliveries: tables.Columns, ticks: tables.Columns) -> None:
    """Mark a trial whose latency drifted through its window (R14); one that was disturbed on purpose is not asked."""
    if run.events or not len(ticks["due_ns"]):
        return
    kept = joined.first & in_window(ticks, run.window)[joined.tick]
    stamped = kept & (deliveries["kernel_ns"] >= 0)
    enough = 2 * np.count_nonzero(stamped) >= np.count_nonzero(kept)
    here, received = (stamped, "kernel_ns") if enough else (kept, "app_ns")
    drift = steadiness.drift(ticks["due_ns"][joined.tick[here]], deliveries[received][here], run.window)
    if drift is None:
        return
    run.steadiness = {"drift_share": drift.share, "p": drift.p, "batches": drift.batches}
    limit = run.spec.scenario.validity.drift_share
    if drift.significant and abs(drift.share) > limit:
        text = f"latency was not steady: its median changed by {drift.share:+.0%} over the window, limit {limit:.0%}"
        run.warnings.append(validity.reason("not steady", text, "a longer warm-up", validity.LATENCY))


def compression(headers: Iterable[Mapping[str, str]]) -> str:
    """What was negotiated, from the response heads that the load processes saw (R11)."""
    found = {
        head[name] for head in headers for name in ("content-encoding", "sec-websocket-extensions") if name in head
    }
    return ", ".join(sorted(found)) or "none"


def manifest(run: Run) -> dict[str, Any]:
    """manifest.json (interface.md)."""
    spec = run.spec
    pairs = [list(pair) for pair in run.reports[0].clock_pairs] if run.reports else []
    return {
        "schema": tables.SCHEMA,
        "trial": spec.number,
        **spec.subject.describe(),
        "block": spec.block,
        "position": spec.position,
        "seed": spec.scenario.seed,
        "scenario_hash": spec.scenario_hash or spec.scenario.hash,
        "cell": spec.cell,
        "window": {"start_ns": run.window[0], "end_ns": run.window[1]},
        "clocks": {"pairs": pairs},
        "status": run.status,
        "reasons": run.reasons,
        "warnings": run.warnings,
        "counts": run.counts,
        "audit": run.details,
        "processes": run.processes,
        "network": run.network,
        "bytes": run.bytes,
        "fairness": run.uses,
        "timeline": run.timeline,
        "due": run.due,
        "unknown": run.unknown,
        "events": run.events,
        "faults": spec.scenario.as_dict()["faults"],
        "steadiness": run.steadiness,
        "memory": run.memory,
        "idle": run.idle,
        "controls": _sum(report.controls for report in run.reports),
        "environment": spec.environment,
    }


def _sum(tables: Iterator[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for table in tables:
        for key, value in table.items():
            total[key] = total.get(key, 0) + value
    return total
