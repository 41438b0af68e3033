"""Subjects behind a proxy, each beside itself without one (claim 3 of the article).

Invariant: a verdict is read off the audit and the latencies alone. `breaks`: no trial was measured, or most messages
were lost; `loses`: it lost messages that the subject alone did not; `holds back`: the median message came later by
HELD_NS or more; `works`: none of these. Called by the report.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, Evidence, total

HELD_NS = 50_000_000
"""More than any proxy needs to pass a message on: it waited for a buffer to fill, or for a timer."""


@dataclass(frozen=True, slots=True)
class ProxiedRow:
    """A subject behind a proxy; texts as a reader sees them."""

    subject: str
    proxy: str
    verdict: str
    """"works", "holds back", "loses", "breaks"; "not measured" when the subject alone was not in the campaign."""
    why: str
    added: str
    """Latency, median: its own less the subject's alone, and the ratio."""
    proxy_cpu: str
    """The proxy's own CPU per message."""
    server_cpu: str
    """Ratio of the server's own CPU per message to that without the proxy."""


def behind(evidence: Evidence, latency: str) -> list[ProxiedRow]:
    """A row for every subject that has a proxy before it; `latency` is the metric that is headlined."""
    return [_row(evidence, s, latency) for s in evidence.subjects if s.proxy]


def _row(evidence: Evidence, subject: ComparedSubject, latency: str) -> ProxiedRow:
    base, _, rest = subject.name.partition("+")
    alone = base + "".join(rest.partition("@")[1:])
    alone = alone if alone in evidence.names else base
    mine, theirs = evidence.summary(subject.name, latency), evidence.summary(alone, latency)
    added_ns = (
        mine.median - theirs.median
        if mine and theirs and mine.median is not None and theirs.median is not None
        else None
    )
    ratio = evidence.comparison(latency, subject.name, alone)
    sign = "+" if added_ns is not None and added_ns >= 0 else ""
    added = f"{sign}{format.quantity(added_ns, 'ns')}"
    added += f" ({format.ratio(ratio)})" if ratio else ""
    cpu = evidence.comparison("server_cpu_ns_per_message", subject.name, alone)
    verdict, why = _verdict(evidence, subject, alone, added_ns)
    return ProxiedRow(
        subject=subject.name,
        proxy=subject.proxy,
        verdict=verdict,
        why=why,
        added=added,
        proxy_cpu=format.summary(evidence.summary(subject.name, "proxy_cpu_ns_per_message")),
        server_cpu=format.ratio(cpu) if cpu else format.MISSING,
    )


def _verdict(evidence: Evidence, subject: ComparedSubject, alone: str, added_ns: float | None) -> tuple[str, str]:
    results = evidence.of(subject.name)
    measured = [r for r in results if r.metrics]
    if results and not measured:
        reasons = [str(reason.get("message", "")) for r in results for reason in r.trial.reasons]
        return "breaks", next(filter(None, reasons), "no trial was measured")
    lost, expected = total(measured, "lost"), total(measured, "expected")
    if expected and lost > expected / 2:
        return "breaks", f"{lost:,} of {expected:,} messages never came"
    if lost and not total([r for r in evidence.of(alone) if r.metrics], "lost"):
        return "loses", f"{lost:,} of {expected:,} messages never came"
    if added_ns is None:
        absent = alone not in evidence.names
        return "not measured", f"{alone} is not in this campaign" if absent else "no latency to compare"
    if added_ns >= HELD_NS:
        return "holds back", "messages wait in its buffer"
    return "works", ""
