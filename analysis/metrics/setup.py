"""Set-up, apart from everything else: TCP connect, first response byte, first message, and what did not succeed
(R6)."""

from __future__ import annotations

import numpy as np

from rtbench.analysis.metrics import metric
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import quantiles
from rtbench.records.tables import SUCCEEDED


def _median(samples: Samples, moment: str) -> float | None:
    """Median of `moment` − started over the connections to which the moment came. Failed attempts are counted apart."""
    table = samples.connections
    came = (table[moment] >= 0) & (table["connection"] >= 0)  # not those on which it sends
    (middle,) = quantiles(np.sort((table[moment] - table["started_ns"])[came]), [0.5])
    return middle


@metric("connect_p50_ns", "ns", "lower", "TCP connect, median", "from the start of the attempt until TCP was connected")
def connect(samples: Samples) -> float | None:
    return _median(samples, "connected_ns")


@metric(
    "response_p50_ns", "ns", "lower", "First response byte, median", "from the start of the attempt: 101 or headers"
)
def response(samples: Samples) -> float | None:
    return _median(samples, "response_ns")


@metric(
    "first_message_p50_ns",
    "ns",
    "lower",
    "First message, median",
    "from the start of the attempt; has the wait for the next tick in it",
)
def first_message(samples: Samples) -> float | None:
    return _median(samples, "first_message_ns")


@metric(
    "connections_failed",
    "connections",
    "lower",
    "Failed connections",
    "attempts that were refused, reset, timed out or broken by an error, in the whole trial",
)
def connections_failed(samples: Samples) -> float | None:
    return int(np.count_nonzero(~np.isin(samples.connections["outcome"].astype(str), SUCCEEDED)))
