"""The costs of polling beside latency: requests, CPU a request, empty answers, round trips (R1). Requests started in
the window count.

The CPU of a message is requests a message times CPU a request: the transport decides the first factor, the stack the
second (R17). Both are divided by counts of one window, so the product holds exactly in every trial.
"""

from __future__ import annotations

import numpy as np

from rtbench.analysis.metrics import POLLING, metric
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import quantiles


@metric(
    "requests_per_message",
    "requests",
    "lower",
    "Requests per message",
    "requests started in the window, by the messages that arrived in it",
    *POLLING,
)
def requests_per_message(samples: Samples) -> float | None:
    return samples.per_message(samples.requests["started_ns"].size)


@metric(
    "server_cpu_ns_per_request",
    "ns",
    "lower",
    "Server CPU per request",
    "processor time of the server's whole process tree in the window, by the requests started in it; times the "
    "requests per message it is the server CPU per message",
    *POLLING,
)
def server_cpu_per_request(samples: Samples) -> float | None:
    cpu_ns, requests = samples.process("server", "cpu_ns"), samples.requests["started_ns"].size
    return cpu_ns / requests if cpu_ns is not None and requests else None


@metric(
    "empty_poll_share",
    "share",
    "lower",
    "Empty polls",
    "share of the answered requests that brought no message",
    *POLLING,
)
def empty_poll_share(samples: Samples) -> float | None:
    table = samples.requests
    answered = (table["response_ns"] >= 0) & (table["status"] > 0)
    return float((table["messages"][answered] == 0).mean()) if bool(answered.any()) else None


@metric(
    "poll_round_trip_p50_ns",
    "ns",
    "lower",
    "Round trip of a poll, median",
    "from request to answer: a cost, not the latency of polling; a long poll's has its wait for a message in it",
    *POLLING,
)
def poll_round_trip(samples: Samples) -> float | None:
    table = samples.requests
    answered = table["response_ns"] >= 0
    (middle,) = quantiles(np.sort((table["response_ns"] - table["started_ns"])[answered]), [0.5])
    return middle
