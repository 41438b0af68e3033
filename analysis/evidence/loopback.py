"""A server's CPU if it paid for its own TCP alone: the formula and its values from a campaign (R23).

On loopback a sender pays for the reception of its messages. A message that costs the server `cost`, in `segments`
segments and after `requests` requests, would cost it

    cost − share × segments + asked × requests + acknowledged × segments

where `share` is the calibration's share at the message's pace, `asked` is the reception of a request, between the
sustained and the sparse share, and `acknowledged` is the reception of an acknowledgement, between nothing (it comes
while the server sleeps, or together with others) and the calibration's value. docs/explanation/loopback.md has
the assumptions.

Invariant: a pair is computed with the same values for both, and its range is over all ends of these; None where a value
is unknown, or a cost falls to 0 or below. Called by the report.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtbench.analysis.evidence.model import ComparedSubject, Evidence
from rtbench.analysis.metrics import POLLING
from rtbench.records import record
from rtbench.records.loopback import Loopback

METRIC = "server_cpu_ns_per_message"
PACE_S = 0.2
"""TCP's smallest retransmission timeout: after a longer silence the pace is sparse."""
_POISSON_S = 0.02
"""The mean gap of Poisson arrivals below which silences of PACE_S hardly ever occur."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Flow:
    """A subject's server CPU in ns a message, its segments and requests a message, and which paces it is at."""

    cost: float
    segments: float
    requests: float
    paces: tuple[str, ...]


def paces(gap_s: float, poisson: bool) -> tuple[str, ...]:
    """Which paces messages are at that come `gap_s` apart on a connection, on average."""
    if poisson and gap_s > _POISSON_S:
        return ("sustained", "sparse")
    return ("sustained",) if gap_s <= PACE_S * 1.01 else ("sparse",)


def shares(evidence: Evidence) -> Loopback | None:
    """The campaign's calibration of loopback. Raises ResultsError for one that is damaged."""
    found = (evidence.calibration or {}).get("loopback")
    return None if found is None else record.read(Loopback, found, "calibration.loopback")


def flows(evidence: Evidence) -> dict[str, Flow]:
    """The flow of each subject; without subjects that were not on `lo` or that lack a value."""
    found = {subject.name: _flow(evidence, subject) for subject in evidence.subjects}
    return {name: one for name, one in found.items() if one is not None}


def _flow(evidence: Evidence, subject: ComparedSubject) -> Flow | None:
    scenario = evidence.campaign.document.get("scenario") or {}
    cost, rate, asked = (
        None if (row := evidence.summary(subject.name, metric)) is None else row.median
        for metric in (METRIC, "delivered_hz", "requests_per_message")
    )
    polls = subject.transport in POLLING
    if scenario.get("netns") or not cost or not rate or (polls and not asked):
        return None
    trial = evidence.of(subject.name)[0].trial
    if trial.network:
        return None
    segments = asked if polls and asked else 1.0
    arrival = subject.cell.get("workload.arrival") or (scenario.get("workload") or {}).get("arrival")
    gap_s = trial.subscribers / (rate * segments)
    return Flow(cost, segments, segments if polls else 0.0, paces(gap_s, arrival == "poisson"))


def corners(found: Loopback | None) -> list[dict[str, float]]:
    """Every combination of the ends of the calibration's intervals; none without a share."""
    if found is None or not (found.sustained.share_ns and found.sparse.share_ns and found.acknowledged_ns):
        return []
    sustained, sparse = found.sustained.share_ns, found.sparse.share_ns
    ends = {
        "sustained": (sustained.low, sustained.high),
        "sparse": (sparse.low, sparse.high),
        "asked": (sustained.low, max(sustained.high, sparse.high)),
        "acknowledged": (0.0, found.acknowledged_ns.high),
    }
    return [dict(zip(ends, values, strict=True)) for values in itertools.product(*ends.values())]


def moved(flow: Flow, pace: str, corner: Mapping[str, float]) -> float:
    """The formula at one corner, in ns a message."""
    segment = corner["acknowledged"] - corner[pace]
    return flow.cost + segment * flow.segments + corner["asked"] * flow.requests


def receive_path(found: Loopback | None, flow: Flow) -> Range | None:
    """The client's reception in `flow.cost`, in ns a message, from its smallest to its largest possible value."""
    return _range([corner[pace] * flow.segments for corner in corners(found) for pace in flow.paces])


def sensitivity(found: Loopback | None, ratio: float, a: Flow | None, b: Flow | None) -> Range | None:
    """The range of a ratio a/b of CPU when each server pays for its own TCP alone."""
    if a is None or b is None:
        return None
    pairs = [
        (moved(a, pace_a, corner) / a.cost, moved(b, pace_b, corner) / b.cost)
        for corner in corners(found)
        for pace_a, pace_b in itertools.product(a.paces, b.paces)
    ]
    return _range([ratio * own_a / own_b for own_a, own_b in pairs]) if all(min(pair) > 0 for pair in pairs) else None


def _range(values: Sequence[float]) -> Range | None:
    return (min(values), max(values)) if values else None
