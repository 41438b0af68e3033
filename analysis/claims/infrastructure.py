"""Claim 3: SSE works through existing HTTP infrastructure as it is.

A proxy that buffers holds messages back; it loses none at once. So what decides is both: that everything arrives, and
that it arrives before the next message is due.
"""

from __future__ import annotations

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Point
from rtbench.analysis.claims.points import counted, measured, rate_hz, sentence
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming

COUNTS = ("lost", "duplicated", "reordered", "corrupted")
TUNED = "-tuned"


def judge(evidence: Evidence) -> Finding | None:
    behind = [s for s in evidence.subjects if s.transport == "sse" and s.proxy]
    shipped = [s for s in behind if not s.proxy.endswith(TUNED)]
    rate = rate_hz(evidence)
    if not shipped or rate is None:
        return None
    points, faults = [], []
    for subject in shipped:
        points += _points(evidence, subject)
        wrong = faults_of(evidence, subject, 1e9 / rate)
        faults += [f"{naming.title(subject)}: {'; '.join(wrong)}"] if wrong else []
    passed = [naming.title(s) for s in behind if s.proxy.endswith(TUNED) and not faults_of(evidence, s, 1e9 / rate)]
    text = f"As shipped, {'. '.join(faults)}. " if faults else f"{len(shipped)} proxies as shipped held nothing back. "
    flips = f"Configured for streams it works: {', '.join(passed)}." if passed else ""
    return Finding("contradicted" if faults else "supported", text + sentence(points), tuple(points), flips)


def _points(evidence: Evidence, subject: ComparedSubject) -> list[Point]:
    names = (measured(evidence, evidence.latency, subject.name), counted(evidence, "lost", subject.name))
    return [p for p in names if p is not None]


def faults_of(evidence: Evidence, subject: ComparedSubject, period_ns: float) -> list[str]:
    """Why this subject does not deliver as a stream should; empty when it does."""
    trials = evidence.of(subject.name)
    failed = [r.trial for r in trials if r.trial.status == "failed"]
    why = failed[0].reasons[0].get("message", "") if failed and failed[0].reasons else ""
    wrong = [f"{len(failed)} of {len(trials)} trials failed ({why or 'no reason was recorded'})"] if failed else []
    for kind in COUNTS:
        total = counted(evidence, kind, subject.name)
        wrong += [f"{total.value:,.0f} {kind}"] if total and total.value else []
    late = evidence.summary(subject.name, evidence.latency)
    if late is not None and late.median is not None and late.median > period_ns:
        when = format.quantity(late.median, "ns")
        wrong.append(f"held back: median latency {when}, a message every {format.quantity(period_ns, 'ns')}")
    return wrong


HYPOTHESIS = Hypothesis(
    number=3,
    claim="SSE works through existing HTTP infrastructure as it is.",
    hypothesis="Behind nginx, HAProxy and Caddy with nothing but an upstream configured, SSE delivers every message "
    "once and in order, before the next one is due.",
    test="Every SSE subject behind a proxy as shipped: no failed trial, nothing lost, duplicated, reordered or "
    "corrupted, and a median latency below the time between two messages. Contradicted when one of them does not.",
    scenario="rtbench run ci --subjects sse-aiohttp,sse-aiohttp+nginx,sse-aiohttp+nginx-tuned,sse-aiohttp+haproxy",
    metric="lost",
    judge=judge,
)
