"""Claim 1: polling creates excessive server load.

What decides is the server's gross processor time by delivered message, empty polls in it (R4). Where polling gets
cheaper follows from it: a poll costs what it costs however many messages its answer brings, so at k times the interval
(or rate) short polling costs 1/k a message. That charges everything to requests and nothing to the messages in them,
so it is the earliest interval, and it goes with data that old.
"""

from __future__ import annotations

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Point
from rtbench.analysis.claims.points import OVER_STACKS, compared, judged, named, pairs, rate_hz, sentence
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.sweep.cells import at, scenario

METRIC = "server_cpu_ns_per_message"


def judge(evidence: Evidence) -> Finding | None:
    found = pairs(evidence, ("short-poll", "long-poll"), ("sse", "websocket"))
    points = [p for a, b in found if (p := compared(evidence, METRIC, a.name, b.name)) is not None]
    if not points:
        return None
    flips = [text for a, b in found for p in points if (p.a, p.b) == (a.name, b.name) for text in _flips(evidence, p)]
    return Finding(
        judged(evidence, points, "a higher"), sentence(points), tuple(points), " ".join(dict.fromkeys(flips))
    )


def _flips(evidence: Evidence, point: Point) -> list[str]:
    transport = next(s.transport for s in evidence.subjects if s.name == point.a)
    one = naming.capital(named(evidence, point.a))
    if transport == "long-poll":
        asked = evidence.summary(point.a, "requests_per_message")
        count = format.summary(asked) if asked else format.MISSING
        return [
            f"{one} asked {count} times a message: no interval changes that; only messages that come closer "
            "together than an answer and the next request share one."
        ]
    flip = flip_interval(evidence, point)
    rate = rate_hz(evidence)
    if flip is None or rate is None:
        return []
    interval_s, low, high = flip
    edge = "earliest" if point.value > 1 else "latest"
    faster = [rate * x / interval_s * point.value for x in flip]
    return [
        f"{one} costs less CPU than {named(evidence, point.b)} from a poll interval of {format.number(interval_s)} s "
        f"[{format.number(low)}, {format.number(high)}] on at {format.number(rate)} messages a second, or from "
        f"{format.number(faster[0])} messages a second [{format.number(faster[1])}, {format.number(faster[2])}] on at "
        f"the interval measured; at the {edge}, since all of a poll's cost is charged to the request, and with data as "
        "old as the interval."
    ]


def flip_interval(evidence: Evidence, point: Point) -> tuple[float, float, float] | None:
    """The poll interval in seconds, with its 95 % limits, at which a short poll's cost a message meets push's."""
    interval_s = at(scenario(evidence), "poll.interval_s")
    if interval_s is None or point.low is None or point.high is None:
        return None
    return interval_s * point.value, interval_s * point.low, interval_s * point.high


HYPOTHESIS = Hypothesis(
    number=1,
    claim="Polling creates excessive server load.",
    hypothesis="A server that is polled spends more processor time for each delivered message than a push server of "
    "the same stack that delivers the same messages.",
    test="Server CPU per message of every polling subject against every push subject of its stack, block-paired with "
    "a 95 % interval. Supported when every ratio is above 1, contradicted when one is below. "
    f"{OVER_STACKS}",
    scenario="rtbench run matrix",
    metric=METRIC,
    judge=judge,
)
