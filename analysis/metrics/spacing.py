"""The time between arrivals: the measure for a server with unknown due times (a URL, R1).

A gap is the time from one arrival to the next at the same subscriber, at the client's kernel; messages that ended in
one read count as arrived together (R2). Invariant: given only where latency cannot be; a long gap may be the server's
own pace, so neither direction is better.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rtbench.analysis.metrics import Metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import LEVELS, eligible, quantiles
from rtbench.records.audit import Ints

_WORDS = {"p50": "median", "p99": "99th percentile"}


def gaps(samples: Samples) -> Ints:
    """Times between successive arrivals at each subscriber, ns, unsorted; of the messages of the window."""
    order = np.lexsort((samples.app_ns, samples.subscriber))  # stable: as they were read
    subscriber, stamped = samples.subscriber[order], samples.stamped[order]
    arrived = np.where(stamped, samples.kernel_ns[order], samples.app_ns[order])
    # A message without a stamp of its own gets its subscriber's next stamp: both messages ended in one read.
    places = np.where(stamped, np.arange(arrived.size), arrived.size)
    following = np.minimum.accumulate(places[::-1])[::-1]
    within = following < arrived.size
    within[within] = subscriber[following[within]] == subscriber[within]
    arrived[within] = arrived[following[within]]
    same = subscriber[1:] == subscriber[:-1]
    found: Ints = np.maximum(np.diff(arrived), 0)[same]
    return found


def _percentile(samples: Samples, level: str) -> float | None:
    if samples.trial.manifest.get("due") != "unknown" or not eligible(level, samples.instants):
        return None
    (value,) = quantiles(np.sort(gaps(samples)), [LEVELS[level]])
    return value


for _level, _word in _WORDS.items():
    register(
        Metric(
            name=f"arrival_gap_{_level}_ns",
            unit="ns",
            direction="neither",
            title=f"Time between arrivals, {_word}",
            caption="from one arrival to the next at the same subscriber; only where due times are not known, and "
            "latency with them" + ("" if _level == "p50" else "; null without enough distinct instants"),
            function=partial(_percentile, level=_level),
        )
    )
