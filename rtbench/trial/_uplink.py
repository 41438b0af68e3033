"""Due times of the uplink: latency of subscribers' messages counts from their planned time of sending (R1).

The publisher numbers each message when it arrives and stamps that time as due. This module joins each tick with its
planned send, by digest, and moves the due time to the planned time. Latency then runs from the sender's timetable to
each receipt, and `due → sent` is the uplink. Invariant: every send that was planned in the window is a tick that all
subscribers should receive. One that never arrived gets a new number and is lost to all. A tick without a planned send
keeps its time and is counted. Called by the trial before it is judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.records import tables
from rtbench.records.reason import Reason
from rtbench.trial._run import Run, store
from rtbench.workload import Workload


def uplink(workload: Workload, channel: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """A mask of the channel numbers that belong to conversations."""
    if not workload.pace.conversation:
        return np.zeros(len(channel), dtype=np.bool_)
    return np.isin(channel, [one.number for one in workload.channels() if workload.takes(one.number)])


def settle(run: Run, window: tuple[int, int]) -> tuple[dict[str, int], list[Reason]]:
    """Rewrite ticks.parquet from sends.parquet; the counts of sends over the window, and warnings."""
    workload, path = run.spec.scenario.make_workload(), run.folder / "ticks.parquet"
    sends_path = run.folder / "sends.parquet"
    sends = tables.read_table(sends_path, "sends") if sends_path.exists() else tables.concatenate("sends", [])
    ticks = tables.read_table(path, "ticks")
    ticks = {name: column.copy() for name, column in ticks.items()}
    uplinks = np.flatnonzero(uplink(workload, ticks["channel"]))
    of_send = _join(ticks["digest"][uplinks], ticks["payload_bytes"][uplinks], sends)
    known = of_send >= 0
    ticks["due_ns"][uplinks[known]] = sends["planned_ns"][of_send[known]]
    arrived = np.zeros(len(sends["digest"]), dtype=np.bool_)
    arrived[of_send[known]] = True
    missing = np.flatnonzero(~arrived)
    inside = (sends["planned_ns"] >= window[0]) & (sends["planned_ns"] < window[1])
    channel = np.asarray([workload.channel_of(int(one)) for one in sends["subscriber"][missing]], dtype=np.int64)
    top = int(ticks["seq"].max(initial=0)) + 1_000_000
    lost = {
        "channel": channel,
        "seq": top + np.arange(len(missing)),
        "due_ns": sends["planned_ns"][missing],
        "sent_ns": sends["planned_ns"][missing],
        "payload_bytes": sends["payload_bytes"][missing],
        "digest": sends["digest"][missing],
    }
    table = {name: np.concatenate([ticks[name], np.asarray(lost[name])]) for name in ticks}
    store(lambda: tables.write_table(path, "ticks", table), run.folder)
    counts = {
        "sends": int(np.count_nonzero(inside)),
        "sends_unsaid": int(np.count_nonzero(inside & (sends["started_ns"] < 0))),
        "sends_lost": int(np.count_nonzero(inside & ~arrived)),
        "sends_refused": int(np.count_nonzero(inside & (sends["status"] >= 400))),
        "sends_unknown": int(np.count_nonzero(~known)),
    }
    warnings = []
    for name, text, remedy in (
        ("sends_lost", "never came back: each is lost to every subscriber", "see sends.parquet"),
        ("sends_unknown", "arrived without a planned send", "check whether the server changes messages"),
    ):
        if counts[name]:
            warnings.append(Reason("conversation", f"{counts[name]:,} messages {text}", remedy, []))
    return counts, warnings


def _join(digest: np.ndarray, size: np.ndarray, sends: tables.Columns) -> np.ndarray:
    """For each tick the row of its send, -1: none. Equal digests are matched in the order of their times."""
    key = (digest.astype(np.int64) << 31) | size
    uplinks = (sends["digest"].astype(np.int64) << 31) | sends["payload_bytes"]
    order = np.lexsort((sends["planned_ns"], uplinks))
    place = np.searchsorted(uplinks[order], key, side="left") + _rank(key)
    found = np.full(len(key), -1, dtype=np.int64)
    here = place < len(order)
    rows = order[place[here]]
    found[here] = np.where(uplinks[rows] == key[here], rows, -1)
    return found


def _rank(key: np.ndarray) -> np.ndarray:
    """The number of equal keys before each."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = np.arange(len(key)) - first
    return rank
