"""Recovery after the server was killed or a storm cut connections: when messages flow again, how many were replayed,
how big the herd was.

Only for trials whose manifest has a kill of the server or a cut among its events; null for all others. The subscribers
are all of them after a kill, and those that were cut after a storm. Each has recovered when a message reaches it on a
connection that it made afterwards. `storm.py` has what only a storm has.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rtbench.analysis.metrics import Metric, metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import LEVELS, quantiles
from rtbench.records.tables import CUT

_HERD_NS = 100_000_000
"""Connection attempts are counted by slots of 100 ms."""
_INTERRUPTIONS = (("kill", "server"), ("cut", "connections"))


def _begin_ns(samples: Samples) -> int | None:
    """When the server was killed or connections were cut, the first time; None when neither happened."""
    events = samples.trial.manifest.get("events") or ()
    begun = [event["began_ns"] for event in events if (event["do"], event["what"]) in _INTERRUPTIONS]
    return int(min(begun)) if begun else None


def _hit(samples: Samples) -> Any:
    """For every subscriber, whether it has to come back: all, or those with a connection that was cut."""
    everyone = np.arange(samples.trial.subscribers)
    if any(event["do"] == "kill" for event in samples.trial.manifest.get("events") or ()):
        return np.ones(everyone.size, dtype=np.bool_)
    table = samples.connections
    return np.isin(everyone, table["subscriber"][table["outcome"].astype(str) == CUT])


def _recovered_ns(samples: Samples, begin_ns: int) -> Any:
    """For every subscriber, how long after that its first message on a new connection came; inf: never."""
    table = samples.connections
    subscribers = samples.trial.subscribers
    first = np.full(subscribers, np.inf)
    again = (table["started_ns"] > begin_ns) & (table["first_message_ns"] > begin_ns)
    again &= table["subscriber"] < subscribers  # no visitors
    np.minimum.at(first, table["subscriber"][again], table["first_message_ns"][again] - begin_ns)
    return first


def _recovery(samples: Samples, level: str) -> float | None:
    begin_ns = _begin_ns(samples)
    if begin_ns is None:
        return None
    ordered = np.sort(_recovered_ns(samples, begin_ns)[_hit(samples)])
    known = ordered[np.isfinite(ordered)]
    (value,) = quantiles(known, [LEVELS[level]], lost=int(ordered.size - known.size))
    return value


for _level, _words in (("p50", "median"), ("p99", "99th percentile"), ("max", "maximum")):
    register(
        Metric(
            name=f"recovery_{_level}_ns",
            unit="ns",
            direction="lower",
            title=f"Recovery, {_words} over subscribers",
            caption="from the server's kill, or a storm's cut, until a message comes on a new connection; null where a "
            "subscriber had none (with fewer than 100 subscribers the p99 is the last one's)",
            function=partial(_recovery, level=_level),
        )
    )


@metric(
    "replayed",
    "messages",
    "neither",
    "Replayed",
    "messages that came on a connection that was made after they were due, out of the server's ring",
)
def replayed(samples: Samples) -> float | None:
    if _begin_ns(samples) is None:
        return None
    table, connection = samples.connections, samples.connection
    listening = (table["connection"] >= 0) & (table["subscriber"] < samples.trial.subscribers)
    table = {name: column[listening] for name, column in table.items()}
    width = 1 + int(max(table["connection"].max(initial=0), connection.max(initial=0)))
    started = np.zeros(samples.trial.subscribers * width, dtype=np.int64)
    started[table["subscriber"].astype(np.int64) * width + table["connection"]] = table["started_ns"]
    of_message = started[samples.subscriber.astype(np.int64) * width + connection]
    return int(np.count_nonzero(of_message > samples.ticks["due_ns"][samples.tick]))


@metric(
    "herd_peak_hz",
    "hz",
    "lower",
    "Herd",
    "connection attempts a second in the busiest 100 ms after the kill or the cut",
)
def herd(samples: Samples) -> float | None:
    begin_ns = _begin_ns(samples)
    if begin_ns is None:
        return None
    started = samples.connections["started_ns"]
    later = started[started > begin_ns]
    if not later.size:
        return 0.0
    return float(np.bincount((later - begin_ns) // _HERD_NS).max() / (_HERD_NS / 1e9))


@metric(
    "attempts_per_recovery",
    "connections",
    "lower",
    "Attempts per recovery",
    "connection attempts after the kill or the cut, by the subscribers that recovered",
)
def attempts(samples: Samples) -> float | None:
    begin_ns = _begin_ns(samples)
    if begin_ns is None:
        return None
    hit, table = _hit(samples), samples.connections
    back = int(np.count_nonzero(np.isfinite(_recovered_ns(samples, begin_ns)) & hit))
    trying = table["subscriber"][table["started_ns"] > begin_ns]
    tried = int(np.count_nonzero(hit[trying[trying < hit.size]]))
    return tried / back if back else None
