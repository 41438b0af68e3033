"""Churn's figures: how long a visitor waits, what visitors missed between joining and leaving, what a join costs the
server, and what the server kept of those that left.

Only for trials with visitors ([churn]); null for all others. Over a window of 60 s or longer `growth.py` has the slope
of the server's memory. Called by the registry; the report has a table of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.analysis.metrics import Direction, Metric, metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.growth import PARTS
from rtbench.analysis.statistics.quantiles import LEVELS, quantiles
from rtbench.analysis.statistics.shares import cost_of_last
from rtbench.records.visiting import of_visit

LEAST_ROWS = 12
"""The cost of a join needs as many intervals between two probes."""
_OF_ITS_OWN = ("open", "closed by the subscriber")


def _churned(samples: Samples) -> bool:
    return samples.trial.has("visits")


def _in_window(samples: Samples) -> npt.NDArray[np.bool_]:
    """Which visits were to begin in the window."""
    planned = samples.visits["planned_ns"]
    found: npt.NDArray[np.bool_] = (planned >= samples.window[0]) & (planned < samples.window[1])
    return found


def _of(samples: Samples, column: str) -> npt.NDArray[Any]:
    return of_visit(samples.visits, samples.connections, column)


_COUNTS: dict[str, tuple[str, Direction, str]] = {
    "visits": ("connections", "neither", "visits that were to begin in the window"),
    "expected": ("messages", "neither", "messages of the window that visitors had to have, each by its own span"),
    "lost": ("messages", "lower", "of these, those that never arrived"),
    "duplicated": ("messages", "lower", "arrivals beyond a message's first at a visitor"),
    "reordered": ("messages", "lower", "first arrivals after a higher number at a visitor"),
    "corrupted": ("messages", "lower", "arrivals at visitors with other bytes than the tick's, or an unknown number"),
    "undecided": ("messages", "neither", "due before a visitor left, and maybe on the way then: neither had nor lost"),
}


def _count(samples: Samples, name: str) -> float | None:
    return int(getattr(samples.visit_audit, name)) if _churned(samples) else None


for _name, (_unit, _direction, _caption) in _COUNTS.items():
    _title = "Visits" if _name == "visits" else f"{_name.capitalize()} at visitors"
    register(Metric(f"churn_{_name}", _unit, _direction, _title, _caption, partial(_count, name=_name)))


@metric(
    "churn_failed",
    "connections",
    "lower",
    "Visits that failed",
    "visits of the window that ended before the visitor left, or that had no answer in spite of lasting the grace",
)
def failed(samples: Samples) -> float | None:
    if not _churned(samples):
        return None
    return int(np.count_nonzero(_in_window(samples) & (_ended_early(samples) | _unanswered(samples))))


def _ended_early(samples: Samples) -> npt.NDArray[np.bool_]:
    """Which visits ended by something else than the visitor's leaving."""
    return ~np.isin(_of(samples, "outcome").astype(str), _OF_ITS_OWN)


def _unanswered(samples: Samples) -> npt.NDArray[np.bool_]:
    """Which visits had no answer, though they ended early or lasted the grace. Others left before one could come."""
    table = samples.visits
    lasting = _ended_early(samples) | (table["had_until_ns"] >= table["planned_ns"])
    found: npt.NDArray[np.bool_] = (_of(samples, "response_ns") < 0) & lasting
    return found


def _waited(samples: Samples, moment: str, level: str) -> float | None:
    """From the planned arrival to `moment`. A visitor that left before it had to have come is left out."""
    if not _churned(samples):
        return None
    came_ns, counted = _of(samples, moment), _in_window(samples)
    never = (came_ns < 0) & (_unanswered(samples) | (samples.visit_audit.lost_of > 0))
    came = counted & (came_ns >= 0)
    (value,) = quantiles(
        np.sort((came_ns - samples.visits["planned_ns"])[came]),
        [LEVELS[level]],
        lost=int(np.count_nonzero(counted & never)),
    )
    return value


for _moment, _metric, _words in (
    ("response_ns", "churn_subscribed", "its first answer"),
    ("first_message_ns", "churn_first_message", "its first message, with the wait for the next tick in it"),
):
    for _level, _title in (("p50", "median"), ("p99", "99th percentile")):
        register(
            Metric(
                name=f"{_metric}_{_level}_ns",
                unit="ns",
                direction="lower",
                title=f"Visitor to {_words.partition(',')[0]}, {_title}",
                caption=f"from a visitor's planned arrival to {_words}; visits of the window",
                function=partial(_waited, moment=_moment, level=_level),
            )
        )


def _cost(samples: Samples, which: str) -> float | None:
    """`which`: "slope", "low" or "high" of the cost of a join and the leaving that belongs to it."""
    if not _churned(samples) or not samples.trial.has("probes"):
        return None
    table = samples.trial.read("probes", ["at_ns", "server_cpu_ns"])
    kept = (table["at_ns"] >= samples.window[0]) & (table["server_cpu_ns"] >= 0)
    kept &= table["at_ns"] < samples.window[1]
    at, cpu = table["at_ns"][kept], table["server_cpu_ns"][kept]
    if at.size <= LEAST_ROWS:
        return None
    app_ns = [samples.trial.read("deliveries", ["app_ns"])["app_ns"], samples.visit_deliveries["app_ns"]]
    messages = _between(np.concatenate(app_ns), at)
    moves = (_between(_of(samples, "started_ns"), at) + _between(_of(samples, "closed_ns"), at)) / 2
    found = cost_of_last(np.diff(cpu).astype(np.float64), [np.diff(at) / 1e9, messages, moves])
    return None if found is None else getattr(found, which)


def _between(moments: npt.NDArray[np.int64], at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How many moments fall between each two neighbours of `at`."""
    return np.diff(np.searchsorted(np.sort(moments), at)).astype(np.float64)


_CAPTIONS = {
    "slope": (
        "",
        "processor time of the server for a visitor's join and leave: least squares over the intervals between probes "
        "of the window, beside the time and the messages of each",
    ),
    "low": ("_low", "lower end of its 95 % interval (Student's t)"),
    "high": ("_high", "upper end of its 95 % interval"),
}
for _which, (_suffix, _caption) in _CAPTIONS.items():
    register(
        Metric(
            name=f"churn_server_cpu_ns_per_join{_suffix}",
            unit="ns",
            direction="neither" if _suffix else "lower",
            title=f"Server CPU per join{', ' * bool(_suffix)}{_suffix[1:]}",
            caption=_caption,
            function=partial(_cost, which=_which),
        )
    )


def _memory(samples: Samples, part: int) -> float | None:
    """The mean of the server's resident set over one of PARTS equal parts of the window."""
    if not _churned(samples) or not samples.trial.has("probes"):
        return None
    table = samples.trial.read("probes", ["at_ns", "server_memory_bytes"])
    start, end = samples.window
    inside = (table["at_ns"] >= start) & (table["at_ns"] < end) & (table["server_memory_bytes"] >= 0)
    mine = inside & ((table["at_ns"] - start) * PARTS // (end - start) == part)
    return float(table["server_memory_bytes"][mine].mean()) if mine.any() else None


for _when, _part, _words in (("before", 0, "first"), ("after", PARTS - 1, "last")):
    register(
        Metric(
            name=f"churn_server_memory_{_when}_bytes",
            unit="bytes",
            direction="neither",
            title=f"Server memory, {_words} part of the window",
            caption=f"mean resident set of the server over the {_words} of 12 equal parts of the window",
            function=partial(_memory, part=_part),
        )
    )


@metric(
    "churn_descriptors_kept",
    "connections",
    "lower",
    "Descriptors kept",
    "open file descriptors of the server at the window's end less those at its start, less the same difference of "
    "visitors that are there: what the others have left behind; a few are on their way",
)
def descriptors_kept(samples: Samples) -> float | None:
    row = (samples.trial.manifest.get("processes") or {}).get("server") or {}
    begin, end = row.get("descriptors_at_start"), row.get("descriptors_at_end")
    if not _churned(samples) or begin is None or end is None or min(begin, end) < 0:
        return None
    started, closed = _of(samples, "started_ns"), _of(samples, "closed_ns")
    there = [int(np.count_nonzero((started < at) & ((closed < 0) | (closed >= at)))) for at in samples.window]
    return int(end - begin - (there[1] - there[0]))
