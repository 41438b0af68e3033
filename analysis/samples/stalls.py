"""Finds stalls: slots of the window in which no message came in time, for any subscriber (R1, R8).

Invariant: the earliest arrival decides, so a slow subscriber or a poll that was not due yet is not a stall; neither is
a fault of the scenario. A median does not show a stop of half a second, and few windows are long enough for a tail in
time, so this search does. Called by the series, while a trial's samples are in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtbench.analysis.samples.samples import SLOT_NS, Samples

LATE_NS = SLOT_NS
"""The shortest stall: a slot, five times the largest latency of undisturbed `ci` trials here."""

LATE_TIMES = 10
"""A stall is also this many times later than the trial's usual: a proxy that delays everything is only slow."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Messages that came late together; times in ns from the planned moment, the span in seconds of the window."""

    first_s: float
    last_s: float
    """Due moments of the first and the last message concerned."""
    messages: int
    latest_ns: int
    part: str
    """The part of the way that took longest: "due_to_sent", "sent_to_kernel" or "kernel_to_app"."""
    part_ns: int
    """Its share of the latest message's."""


def find(samples: Samples) -> Stall | None:
    """The stalls of a trial as one, from the first message concerned to the last; None when there was none."""
    if not samples.tick.size or samples.trial.manifest.get("events"):
        return None
    latency, slot = samples.span("latency_app"), samples.slot[samples.tick]
    earliest = np.full(samples.slots, np.iinfo(np.int64).max)
    np.minimum.at(earliest, slot, latency)
    usual = float(np.median(earliest[np.unique(slot)]))
    concerned = np.flatnonzero((earliest > max(LATE_NS, LATE_TIMES * usual))[slot])
    if not concerned.size:
        return None
    latest = int(concerned[np.argmax(latency[concerned])])
    tick = samples.tick[latest]
    due, sent = int(samples.ticks["due_ns"][tick]), int(samples.ticks["sent_ns"][tick])
    app, kernel = int(samples.app_ns[latest]), int(samples.kernel_ns[latest])
    parts = {"due_to_sent": sent - due, "sent_to_kernel": app - sent}
    if kernel >= 0:
        parts |= {"sent_to_kernel": kernel - sent, "kernel_to_app": app - kernel}
    part = max(parts, key=lambda name: parts[name])
    dues = (samples.ticks["due_ns"][samples.tick[concerned]] - samples.window[0]) / 1e9
    return Stall(float(dues.min()), float(dues.max()), concerned.size, int(latency[latest]), part, parts[part])
