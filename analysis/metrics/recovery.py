"""Recovery after the server was killed: when messages flow again, how many were replayed, how big the herd was.

Only for trials whose manifest has a kill of the server among its events; null for all others. A subscriber has
recovered when a message that was due after the kill reaches it on a connection that it made after the kill.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rtbench.analysis.metrics import Metric, metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import LEVELS, quantiles

_HERD_NS = 100_000_000
"""Connection attempts are counted by slots of 100 ms."""


def _kill_ns(samples: Samples) -> int | None:
    """When the server was killed, the first time; None when it was not."""
    events = samples.trial.manifest.get("events") or ()
    killed = [event["began_ns"] for event in events if event["do"] == "kill" and event["what"] == "server"]
    return int(min(killed)) if killed else None


def _recovered_ns(samples: Samples, kill_ns: int) -> Any:
    """For every subscriber, how long after the kill its first message on a new connection came; inf: never."""
    table = samples.connections
    subscribers = samples.trial.subscribers
    first = np.full(subscribers, np.inf)
    again = (table["started_ns"] > kill_ns) & (table["first_message_ns"] > kill_ns)
    np.minimum.at(first, table["subscriber"][again], table["first_message_ns"][again] - kill_ns)
    return first


def _recovery(samples: Samples, level: str) -> float | None:
    kill_ns = _kill_ns(samples)
    if kill_ns is None:
        return None
    ordered = np.sort(_recovered_ns(samples, kill_ns))
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
            caption="from the server's kill until a message comes on a new connection; null where a subscriber had "
            "none (with fewer than 100 subscribers the p99 is the last one's)",
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
    if _kill_ns(samples) is None:
        return None
    table, connection = samples.connections, samples.connection
    listening = table["connection"] >= 0
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
    "connection attempts a second in the busiest 100 ms after the kill of the server",
)
def herd(samples: Samples) -> float | None:
    kill_ns = _kill_ns(samples)
    if kill_ns is None:
        return None
    started = samples.connections["started_ns"]
    later = started[started > kill_ns]
    if not later.size:
        return 0.0
    return float(np.bincount((later - kill_ns) // _HERD_NS).max() / (_HERD_NS / 1e9))


@metric(
    "attempts_per_recovery",
    "connections",
    "lower",
    "Attempts per recovery",
    "connection attempts after the kill of the server, by the subscribers that recovered",
)
def attempts(samples: Samples) -> float | None:
    kill_ns = _kill_ns(samples)
    if kill_ns is None:
        return None
    back = int(np.count_nonzero(np.isfinite(_recovered_ns(samples, kill_ns))))
    tried = int(np.count_nonzero(samples.connections["started_ns"] > kill_ns))
    return tried / back if back else None
