"""Inferred ticks: the messages of a server with its own timetable, as received by its subscribers.

The harness did not play them, so the ticks are made from the deliveries. Invariant: an unknown value is named
(`unknown` in the manifest), never guessed. A due time comes from the server's plan (`/plan`), else from the place in
the payload that the subject names (`due`). Otherwise due time and latency are unknown, and a tick has the time of its
first arrival. A message that no subscriber received leaves no trace. Called by the trial before it is judged.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtbench.machine import clock
from rtbench.messages.load import LoadReport
from rtbench.records import tables
from rtbench.records.reason import Reason
from rtbench.subjects.bounded import get
from rtbench.trial._run import Run, store

UNKNOWN = ["latency_*", "due_to_sent_*", "sent_to_*", "request_to_*"]
"""Metrics that need a due time."""
UNKNOWN_SENT = ["due_to_sent_*", "sent_to_*", "request_to_*"]
"""Metrics that need the time at which the publisher was ready to send."""
_MOST_PLANS = 100
_PATIENCE_S = 5
_PATIENCE_ALL_S = 30
"""Time limits for one plan and for all of them together."""


def infer_ticks(run: Run, reports: Sequence[LoadReport], url: str) -> tuple[str, list[str], list[Reason]]:
    """Write ticks.parquet from deliveries.parquet; number messages without an id by their first arrival.

    Returns the source of due times ("plan", "payload" or "unknown"), the unknown metrics, and warnings.
    """
    warnings = []
    path = run.folder / "deliveries.parquet"
    table = tables.read_table(path, "deliveries")
    if len(table["seq"]) and bool((table["seq"] < 0).all()):
        table["seq"] = _numbered(table)
        store(lambda: tables.write_table(path, "deliveries", table), run.folder)
        text = "messages carry no id: rtbench identifies them by content and numbers them by arrival"
        warnings.append(Reason("no ids", text, "name the place of the id (carries_id)", ["lost", "reordered"]))
    table = {name: column[table["seq"] >= 0] for name, column in table.items()}  # the others are corrupted
    key = (table["channel"].astype(np.int64) << 40) | table["seq"]
    received = np.where(table["kernel_ns"] >= 0, table["kernel_ns"], table["app_ns"])
    order = np.lexsort((received, key))
    unique, first = np.unique(key[order], return_index=True)
    rows = order[first]
    channel, seq = unique >> 40, unique & ((1 << 40) - 1)
    due, how = _due(run, reports, url, channel, seq)
    known = due >= 0
    due = np.where(known, due, received[rows])
    ticks = {
        "channel": channel,
        "seq": seq,
        "due_ns": due,
        "sent_ns": due,
        "payload_bytes": table["payload_bytes"][rows],
        "digest": table["digest"][rows],
    }
    store(lambda: tables.write_table(run.folder / "ticks.parquet", "ticks", ticks), run.folder)
    if not (bool(known.all()) and len(known)):
        return "unknown", UNKNOWN, warnings
    return how, UNKNOWN_SENT, warnings


def _numbered(table: tables.Columns) -> Any:
    """Numbers from 1 in the order of the first arrival of each content, channel by channel."""
    key = (table["channel"].astype(np.int64) << 32) | table["digest"]
    # Rows are in order of arrival within a load process only: the first arrival is sought over all of them.
    arrival = np.argsort(table["app_ns"], kind="stable")
    _, first, sorted_inverse = np.unique(key[arrival], return_index=True, return_inverse=True)
    first = arrival[first]
    inverse = np.empty_like(sorted_inverse)
    inverse[arrival] = sorted_inverse
    by_channel = np.lexsort((table["app_ns"][first], table["channel"][first]))
    rank = np.empty(len(first), dtype=np.int64)
    start = 0
    channels = table["channel"][first][by_channel]
    for channel in np.unique(channels):
        count = int(np.count_nonzero(channels == channel))
        rank[by_channel[start : start + count]] = np.arange(1, count + 1)
        start += count
    return rank[inverse]


def _due(run: Run, reports: Sequence[LoadReport], url: str, channel: Any, seq: Any) -> tuple[Any, str]:
    """Due times (CLOCK_MONOTONIC, -1: not known) and their source."""
    due = np.full(len(seq), -1, dtype=np.int64)
    planned: dict[tuple[int, int], int] = {
        (number, message): moment for report in reports for number, message, moment in report.due
    }
    how, offset_ns = "payload", _offset_ns(reports)
    if not planned:
        # A server makes its plan out when it is asked: with its clocks as they are now, not as they were in the trial.
        planned = _plan(run, url, sorted(set(channel.tolist())))
        how, offset_ns = "plan", clock.offset_ns()
    for index, pair in enumerate(zip(channel.tolist(), seq.tolist(), strict=True)):
        moment = planned.get(pair)
        if moment is not None:
            due[index] = moment - offset_ns
    return due, how


def _offset_ns(reports: Sequence[LoadReport]) -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC, in the middle of the trial."""
    pairs = reports[0].clock_pairs if reports else ((0, 0),)
    monotonic, real = pairs[len(pairs) // 2]
    return int(real - monotonic)


def _plan(run: Run, url: str, channels: list[int]) -> dict[tuple[int, int], int]:
    """The `/plan` of every channel; empty if the server has no plan or does not finish it in time."""
    found: dict[tuple[int, int], int] = {}
    url = re.sub("^ws", "http", url)  # wss is https
    deadline = time.monotonic() + _PATIENCE_ALL_S
    workload = run.spec.scenario.make_workload()
    for number in channels[:_MOST_PLANS]:
        query = workload.channel(number).query
        try:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return {}
            answer = get(f"{url}/plan/{query}", min(_PATIENCE_S, left_s), tls_ca=run.spec.subject.tls_ca)
            if answer.status != 200:
                return {}
            table: Mapping[str, Any] = json.loads(answer.body)
            found |= {(number, int(seq)): int(due) for seq, due in table["ticks"]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
    return found
