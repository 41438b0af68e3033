"""A storm's figures: how many were cut, how long until all are subscribed again beside the least that it can take, what
was missed, what it cost the server, and what those that were not cut noticed.

Only for trials whose manifest has a cut of connections among its events; null for all others. `recovery.py` has the
time until messages flow again. Called by the registry; the report has a table of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.analysis.metrics import Metric, metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import LEVELS, quantiles
from rtbench.records.tables import CUT, SUCCEEDED

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Storm:
    """The cut of one trial. `who`: the subscribers that were cut; the arrays after it have one entry for each."""

    began_ns: int
    count: int
    who: Ints
    wait_ns: Ints
    """From the end of the connection that was cut to when the next attempt was to begin: the policy's wait; -1: there
    was no attempt, or it is not known."""
    started_ns: Ints
    """When the first attempt after the cut that was answered began; -1: there was none."""
    again_ns: Ints
    """When that answer came; -1: it did not."""

    @property
    def last_ns(self) -> int | None:
        """When the last of them was subscribed again; None where one never was."""
        return None if not self.again_ns.size or self.again_ns.min() < 0 else int(self.again_ns.max())


def storm(samples: Samples) -> Storm | None:
    """The storm of a trial, from its manifest and connections."""
    events = samples.trial.manifest.get("events") or ()
    cuts = [event for event in events if event["do"] == "cut"]
    if not cuts:
        return None
    began_ns = int(min(event["began_ns"] for event in cuts))
    table = samples.connections
    who: Ints = np.unique(table["subscriber"][table["outcome"].astype(str) == CUT]).astype(np.int64)
    later = (table["started_ns"] > began_ns) & (table["connection"] >= 0) & np.isin(table["subscriber"], who)
    answered = later & (table["response_ns"] >= 0)
    planned_ns = _first(who, table, later, "planned_ns")
    closed_ns = _first(who, table, table["outcome"].astype(str) == CUT, "closed_ns")
    return Storm(
        began_ns,
        sum(int(event.get("count") or 0) for event in cuts),
        who,
        np.where(planned_ns < 0, -1, np.maximum(planned_ns - closed_ns, 0)),
        _first(who, table, answered, "started_ns"),
        _first(who, table, answered, "response_ns"),
    )


def _first(who: Ints, table: Any, kept: Any, column: str) -> Ints:
    """For each of `who`, this column of the first of its kept connections; -1: it has none."""
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(table["started_ns"][rows], kind="stable")][::-1]  # written last: the earliest
    found = np.full(who.size, -1, dtype=np.int64)
    found[np.searchsorted(who, table["subscriber"][rows])] = table[column][rows]
    return found


def _of(name: str, unit: str, direction: Any, title: str, caption: str) -> Callable[..., Any]:
    """Decorator: a metric that is null without a storm."""

    def add(function: Callable[[Samples, Storm], float | None]) -> Callable[[Samples, Storm], float | None]:
        def value(samples: Samples) -> float | None:
            found = storm(samples)
            return None if found is None else function(samples, found)

        metric(name, unit, direction, title, caption)(value)
        return function

    return add


@_of("storm_cut", "connections", "neither", "Cut", "connections that the storm reset")
def cut(_: Samples, found: Storm) -> float | None:
    return found.count


@_of(
    "storm_subscribed_max_ns",
    "ns",
    "lower",
    "All subscribed again",
    "from the cut until the last subscriber that was cut has an answer on a new connection; null where one has none",
)
def subscribed(_: Samples, found: Storm) -> float | None:
    return None if found.last_ns is None else found.last_ns - found.began_ns


@_of(
    "storm_minimum_ns",
    "ns",
    "neither",
    "The least that it can take",
    "by arithmetic: each subscriber's own wait, then the set-ups one after another at the server's CPU a return on its "
    "cores, and twice the shortest TCP connect",
)
def minimum(samples: Samples, found: Storm) -> float | None:
    each = cpu_per_return(samples, found)
    table = samples.connections
    joined = (table["connected_ns"] >= 0) & (table["started_ns"] >= 0)
    if each is None or not found.wait_ns.size or found.wait_ns.min() < 0 or not joined.any():
        return None
    cores = (samples.trial.manifest.get("processes") or {}).get("server", {}).get("cores") or (0,)
    waits = np.sort(found.wait_ns)
    behind = np.arange(waits.size, 0, -1) * max(0.0, each) / len(cores)
    round_trip = int((table["connected_ns"] - table["started_ns"])[joined].min())
    return float((waits + behind).max()) + 2 * round_trip


@_of(
    "storm_gap",
    "messages",
    "neither",
    "Due while away",
    "messages that were due between the cut and the new connection of each subscriber that was cut: what has to be "
    "replayed",
)
def gap(samples: Samples, found: Storm) -> float | None:
    until = np.where(found.started_ns < 0, samples.window[1], found.started_ns)
    channel_of = samples.trial.channel_of()
    count = 0
    for channel in np.unique(channel_of[found.who]):
        mine = samples.inside & (samples.ticks["channel"] == channel)
        due = np.sort(samples.ticks["due_ns"][mine])
        ends = np.searchsorted(due, until[channel_of[found.who] == channel])
        count += int(np.maximum(ends - np.searchsorted(due, found.began_ns), 0).sum())
    return count


@_of(
    "storm_missed",
    "messages",
    "lower",
    "Missed for good",
    "messages of the window that a subscriber that was cut never had, in spite of the replay",
)
def missed(samples: Samples, found: Storm) -> float | None:
    channel_of = samples.trial.channel_of()
    of_channel = np.bincount(samples.ticks["channel"][samples.inside], minlength=int(channel_of.max(initial=0)) + 1)
    had = np.bincount(samples.subscriber, minlength=samples.trial.subscribers)
    return int((of_channel[channel_of[found.who]] - had[found.who]).sum())


@_of(
    "storm_attempts_failed",
    "connections",
    "lower",
    "Attempts that failed",
    "connection attempts after the cut that were refused, reset, timed out or broken by an error",
)
def attempts_failed(samples: Samples, found: Storm) -> float | None:
    table = samples.connections
    good = np.isin(table["outcome"].astype(str), SUCCEEDED)
    return int(np.count_nonzero((table["started_ns"] > found.began_ns) & ~good))


@_of(
    "storm_listen_overflows",
    "connections",
    "lower",
    "Listen queue full",
    "connection attempts of the window that found the listen queue full, in the network namespaces of server and load "
    "(ListenOverflows or ListenDrops, the larger)",
)
def listen_overflows(samples: Samples, _: Storm) -> float | None:
    table = samples.trial.manifest.get("network") or {}
    names = ("listen_overflows", "listen_drops")
    if not all(f"{name}_{edge}" in table for name in names for edge in ("at_start", "at_end")):
        return None
    return max(int(table[f"{name}_at_end"]) - int(table[f"{name}_at_start"]) for name in names)


@_of(
    "storm_server_cpu_ns_per_return",
    "ns",
    "lower",
    "Server CPU per return",
    "processor time of the server from the cut until all are subscribed again, beyond what the subscribers that were "
    "there cost it before the cut, by those that returned; what was replayed is in it",
)
def cpu_per_return(samples: Samples, found: Storm) -> float | None:
    if found.last_ns is None or not samples.trial.has("probes"):
        return None
    table = samples.trial.read("probes", ["at_ns", "server_cpu_ns"])
    at, cpu = table["at_ns"], table["server_cpu_ns"]
    begin = int(np.searchsorted(at, samples.window[0]))
    before = int(np.searchsorted(at, found.began_ns, side="right")) - 1
    after = int(np.searchsorted(at, found.last_ns))
    if not begin < before < after < at.size or min(cpu[begin], cpu[before], cpu[after]) < 0:
        return None
    pace = float(cpu[before] - cpu[begin]) / float(at[before] - at[begin])
    away = float((found.again_ns - found.began_ns).sum()) / samples.trial.subscribers
    return (float(cpu[after] - cpu[before]) - pace * (float(at[after] - at[before]) - away)) / found.who.size


def _uncut(samples: Samples, level: str, during: bool) -> float | None:
    """Latency of what was due until all were back, or in the same time before the cut, at those that were not cut."""
    found = storm(samples)
    if found is None or found.who.size == samples.trial.subscribers:
        return None
    end_ns = samples.window[1] if found.last_ns is None else found.last_ns
    begin_ns = max(samples.window[0], 2 * found.began_ns - end_ns)
    span = (found.began_ns, end_ns) if during else (begin_ns, found.began_ns)
    due = samples.ticks["due_ns"]
    due_then = samples.inside & (due >= span[0]) & (due < span[1])
    kept = ~np.isin(samples.subscriber, found.who) & due_then[samples.tick]
    stamped = kept & samples.stamped
    kernel = 2 * np.count_nonzero(stamped) >= np.count_nonzero(kept)
    received, of = (samples.kernel_ns, stamped) if kernel else (samples.app_ns, kept)
    staying = np.setdiff1d(np.arange(samples.trial.subscribers), found.who)
    most = int(samples.ticks["channel"].max(initial=0)) + 1
    audience = np.bincount(samples.trial.channel_of()[staying], minlength=most)
    expected = int(audience[samples.ticks["channel"][due_then]].sum())
    (value,) = quantiles(
        np.sort((received - due[samples.tick])[of]), [LEVELS[level]], lost=expected - int(np.count_nonzero(kept))
    )
    return value


for _during, _name, _words in (
    (True, "storm_uncut", "due from the cut until all are back"),
    (False, "storm_uncut_before", "due in the same time before the cut, as far as it is in the window"),
):
    for _level, _title in (("p50", "median"), ("max", "maximum")):
        register(
            Metric(
                name=f"{_name}_{_level}_ns",
                unit="ns",
                direction="lower" if _during else "neither",
                title=f"Latency of those that were not cut, {_title}{'' if _during else ', before'}",
                caption=f"of messages {_words}, at subscribers that were not cut; by the kernel's stamp where half of "
                "the messages have one, else by the application's",
                function=partial(_uncut, level=_level, during=_during),
            )
        )
