"""Did something stand still? A slot of the window of which not one message came in time, for any subscriber (R1, R8).

Invariant: the earliest arrival decides, so neither a slow subscriber nor a poll that was not due yet is a stall; what
the scenario itself did to the server is none either. A median does not show a stop of half a second, and few windows
are long enough for a tail in time: it is looked for. Called by the series, while a trial's samples are in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtbench.analysis.samples.samples import SLOT_NS, Samples

LATE_NS = SLOT_NS
"""The least that is called a stall: a slot. Five times the largest latency that undisturbed `ci` trials show here."""

LATE_TIMES = 10
"""And that many times the trial's usual: a proxy that holds everything back is slow, it does not stall."""


@dataclass(frozen=True, slots=True)
class Stall:
    """What came late together; times in ns from the planned moment, the span in seconds of the window."""

    first_s: float
    last_s: float
    """Due moments of the first and the last message concerned."""
    messages: int
    latest_ns: int
    part: str
    """Which part of the way took most of it: "due_to_sent", "sent_to_kernel" or "kernel_to_app"."""
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
