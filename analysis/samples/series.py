"""What the figures need of a trial after its samples are gone: a few thousand numbers, whatever the trial's size.

Invariant: nothing here is averaged over trials; a figure that shows several trials draws each of them. Called by the
evidence, which makes one `Series` a trial while the trial is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbench.analysis.samples.samples import SLOT_NS, Distribution, Samples
from rtbench.analysis.samples.stalls import Stall, find
from rtbench.analysis.statistics.quantiles import quantiles, sorted_by_group, within_groups

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One trial in time. Seconds count from the start of the window; warm-up is negative."""

    slot_s: Floats
    delivered: Floats
    """Messages that arrived in each slot, duplicates too."""
    due_s: Floats
    middle_ns: Floats
    highest_ns: Floats
    """Median and maximum latency of the messages due in each slot; inf where that one was lost."""
    stamp: str
    """"kernel" or "application": whose clock the latencies end at."""
    window_s: float
    events: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """The reduced distributions of a trial, and its time line if it was asked for."""

    distributions: Mapping[str, Distribution]
    instants: int
    audience: int
    """Subscribers of a tick (the largest)."""
    timeline: Timeline | None
    stall: Stall | None


def reduce(samples: Samples, timeline: bool) -> Series:
    """The series of a trial that is in memory."""
    names = ["latency_kernel", "latency_app", "due_to_sent", "sent_to_kernel", "kernel_to_app"]
    return Series(
        distributions={name: samples.distribution(name) for name in names},
        instants=samples.instants,
        audience=int(samples.audience.max(initial=0)),
        timeline=_timeline(samples) if timeline else None,
        stall=find(samples),
    )


def _timeline(samples: Samples) -> Timeline:
    start, end = samples.window
    arrivals = samples.trial.read("deliveries", ["app_ns"])["app_ns"]
    slot = np.floor_divide(arrivals - start, SLOT_NS)
    lowest = int(slot.min(initial=0))
    delivered = np.bincount(slot - lowest).astype(np.float64)

    # the latency of what was due in each slot of the window; the rest of the trial shows in the count of arrivals
    of_tick, slots = samples.slot, samples.slots
    wanted = np.bincount(of_tick[samples.inside], weights=samples.audience[samples.inside], minlength=slots)
    expected = wanted.astype(np.int64)
    stamp = "kernel" if samples.stamped.any() else "application"
    rows = samples.stamped if stamp == "kernel" else np.ones(samples.tick.size, dtype=np.bool_)
    group = of_tick[samples.tick[rows]]
    expected = expected - np.bincount(of_tick[samples.tick[~rows]], minlength=slots)
    values, group = sorted_by_group(samples.span("latency_kernel" if stamp == "kernel" else "latency_app"), group)
    present = np.flatnonzero(expected > 0)
    events = sorted(
        ((moment - start) / 1e9, name.removesuffix("_ns").replace("_", " "))
        for name, moment in (samples.trial.manifest.get("timeline") or {}).items()
        if isinstance(moment, int) and moment >= 0
    )
    return Timeline(
        slot_s=(np.arange(delivered.size) + lowest) * SLOT_NS / 1e9,
        delivered=delivered,
        due_s=present * SLOT_NS / 1e9,
        middle_ns=within_groups(values, group, expected, 0.5),
        highest_ns=within_groups(values, group, expected, 1.0),
        stamp=stamp,
        window_s=(end - start) / 1e9,
        events=tuple(events),
    )


def median_of(values: Floats) -> float | None:
    """The nearest-rank median, None when there is none or it is infinite."""
    (middle,) = quantiles(np.sort(values), [0.5])
    return middle if middle is not None and np.isfinite(middle) else None
