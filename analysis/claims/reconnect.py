"""Claim 4: SSE reconnects by itself, without loss.

The load generator comes back as an EventSource does: after its pause, with the last id
(loadtests/reconnect_policy.py). That a
real browser does is shown by tests/pages; here it is counted for thousands.
"""

from __future__ import annotations

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Outcome
from rtbench.analysis.claims.points import counted, measured, plain, rate_hz, sentence
from rtbench.analysis.evidence import Evidence, Result
from rtbench.analysis.sweep.cells import at, scenario


def judge(evidence: Evidence) -> Finding | None:
    subjects = plain(evidence, "sse")
    killed = [r for s in subjects for r in evidence.of(s.name) if r.metrics and _kills(r)]
    if not killed:
        return None
    faults = [fault for result in killed for fault in _faults(result)]
    points = []
    for subject in plain(evidence, "sse", "websocket", "short-poll", "long-poll"):
        found = (
            *(measured(evidence, m, subject.name) for m in ("recovery_p50_ns", "recovery_max_ns")),
            *(counted(evidence, m, subject.name) for m in ("lost", "duplicated", "replayed")),
        )
        points += [p for p in found if p is not None]
    trials = f"{len(killed)} trials of SSE in which the server was killed"
    said = "; ".join(faults) or "every subscriber came back and had every message once"
    text = f"In {trials}: {said}. "
    outcome: Outcome = "contradicted" if faults else "supported"
    return Finding(outcome, text + sentence(points), tuple(points), _flips(evidence))


def _kills(result: Result) -> bool:
    events = result.trial.manifest.get("events") or ()
    return any(e.get("do") == "kill" and e.get("what") == "server" for e in events)


def _faults(result: Result) -> list[str]:
    who = f"{result.trial.subject}, trial {result.trial.number}"
    found = [f"{who}: {n:,.0f} {kind}" for kind in ("lost", "duplicated") if (n := result.metrics.get(kind))]
    if result.metrics.get("recovery_max_ns") is None:
        found.append(f"{who}: somebody did not come back within the trial")
    return found


def _flips(evidence: Evidence) -> str:
    ring, rate = at(scenario(evidence), "server.ring_messages"), rate_hz(evidence)
    if ring is None or rate is None:
        return ""
    return (
        f"Messages are lost (and a gap notice says so) when the outage and the pause before coming back last longer "
        f"than the ring: {ring:,.0f} messages, {format.number(ring / rate)} s at {format.number(rate)} a second."
    )


HYPOTHESIS = Hypothesis(
    number=4,
    claim="SSE reconnects by itself, without loss.",
    hypothesis="After the server was killed and started again, every SSE subscriber comes back as an EventSource does "
    "and gets every message exactly once.",
    test="All trials with a kill of the server: lost and duplicated are 0, and every subscriber had a message on a new "
    "connection. Contradicted when one trial says otherwise.",
    scenario="rtbench run reconnect --claims",
    metric="lost",
    judge=judge,
)
