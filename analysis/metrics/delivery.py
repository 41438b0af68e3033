"""The delivery of the window's ticks: the audit's integers, the stamped share and the rate (R2, R3)."""

from __future__ import annotations

from functools import partial

from rtbench.analysis.metrics import Direction, Metric, metric, register
from rtbench.analysis.samples.samples import Samples

_COUNTS: dict[str, tuple[Direction, str]] = {
    "expected": ("neither", "ticks due in the window, once for each subscriber of their channel"),
    "delivered": ("neither", "of these, those that arrived"),
    "lost": ("lower", "of these, those that never arrived, not even in the grace after the window"),
    "duplicated": ("lower", "arrivals of a tick beyond its first at a subscriber"),
    "reordered": ("lower", "first arrivals after a higher number of the same channel"),
    "corrupted": ("lower", "arrivals whose digest or length differ from the tick's, or whose number no tick has"),
}


def _count(samples: Samples, name: str) -> float | None:
    return samples.audit.counts()[name]


for _name, (_direction, _caption) in _COUNTS.items():
    register(Metric(_name, "messages", _direction, _name.capitalize(), _caption, partial(_count, name=_name)))


@metric(
    "stamped_share",
    "share",
    "neither",
    "Messages with a kernel stamp of their own",
    "the others share a later message's stamp and are left out of kernel latency",
)
def stamped_share(samples: Samples) -> float | None:
    return samples.stamped_share


@metric("delivered_hz", "hz", "neither", "Delivered rate", "messages that arrived between the window's edges, a second")
def delivered_hz(samples: Samples) -> float | None:
    return samples.arrived / samples.seconds
