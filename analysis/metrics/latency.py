"""Latency charged from the plan, its parts, and the spread over subscribers within one tick (R1, R2, R8).

`latency_*` is received − due, with lost messages at infinity; the parts split what arrived. p99 and p999 need 368 and
3,688 distinct due instants; below that they are null, and `…_within_tick_…` says what a fan-out does to its last
subscriber.
"""

from __future__ import annotations

from functools import partial

from rtbench.analysis.metrics import POLLING, Metric, register
from rtbench.analysis.samples.samples import Samples
from rtbench.analysis.statistics.quantiles import LEVELS

_SPANS = {
    "latency_kernel": ("Delivery latency (kernel)", "from the planned time to the client's kernel", ()),
    "latency_app": ("Delivery latency (application)", "from the planned time to the client's code", ()),
    "due_to_sent": ("Publisher's lag", "from the planned time until the publisher was ready to send", ()),
    "sent_to_kernel": ("Server and network", "from the publisher's send to the client's kernel", ()),
    "kernel_to_app": ("Load generator's queueing", "from the client's kernel to the client's code", ()),
    "sent_to_request": ("Poll wait", "from the publisher's send to the request that fetched the message", POLLING),
    "request_to_kernel": ("Answer to a poll", "from that request (or the send, if later) to the kernel", POLLING),
}

_WORDS = {
    "p50": "median",
    "p90": "90th percentile",
    "p99": "99th percentile",
    "p999": "99.9th percentile",
    "max": "maximum",
}


def _percentile(samples: Samples, span: str, level: str) -> float | None:
    return samples.percentile(span, level)


def _within(samples: Samples, span: str, level: str) -> float | None:
    return samples.within_tick.get(span, {}).get(level)


for _span, (_title, _caption, _transports) in _SPANS.items():
    for _level in LEVELS:
        register(
            Metric(
                name=f"{_span}_{_level}_ns",
                unit="ns",
                direction="lower",
                title=f"{_title}, {_WORDS[_level]}",
                caption=f"{_caption}; over all messages of the window"
                + ("" if _level in ("p50", "p90", "max") else "; null without enough distinct due instants"),
                function=partial(_percentile, span=_span, level=_level),
                transports=_transports,
            )
        )

for _span in ("latency_kernel", "latency_app"):
    for _level in ("p50", "p99", "max"):
        register(
            Metric(
                name=f"{_span}_within_tick_{_level}_ns",
                unit="ns",
                direction="lower",
                title=f"{_SPANS[_span][0]}, {_WORDS[_level]} over subscribers",
                caption="the percentile over the subscribers of one tick, then the median over the ticks: a tail over "
                "the fan-out, not in time (with fewer than 100 subscribers the p99 is the last one's)",
                function=partial(_within, span=_span, level=_level),
            )
        )
