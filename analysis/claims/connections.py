"""Claim 5: 1,000 and more concurrent connections with minimal resource overhead.

"Minimal" has to be a number before it can be tested: half a core, and 64 KiB of memory a connection on both sides of
the system call, are what a small server has to spare for each thousand.
"""

from __future__ import annotations

from rtbench.analysis import format
from rtbench.analysis.claims.claim import Finding, Hypothesis, Point
from rtbench.analysis.claims.points import counted, measured, plain, rate_hz, sentence
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming

CONNECTIONS = 1000
CORE_SHARE = 0.5
MEMORY_BYTES = 65536
MEMORY = ("server_memory_bytes_per_connection", "kernel_memory_bytes_per_connection")
CPU = "server_cpu_ns_per_message"


def judge(evidence: Evidence) -> Finding | None:
    subjects = [s for s in plain(evidence, "sse") if _subscribers(evidence, s) >= CONNECTIONS]
    rate = rate_hz(evidence)
    known = [s for s in subjects if measured(evidence, CPU, s.name)]
    if not known or rate is None:
        return None
    points: list[Point] = []
    faults, flips = [], []
    for subject in known:
        found = (
            *(counted(evidence, m, subject.name) for m in ("connections_failed", "lost")),
            *(measured(evidence, m, subject.name) for m in (CPU, *MEMORY)),
        )
        mine = [p for p in found if p is not None]
        points += mine
        count = _subscribers(evidence, subject)
        wrong = _faults({p.metric: p for p in mine}, count, rate)
        faults += [f"{naming.title(subject)}: {fault}" for fault in wrong]
        cpu = next(p for p in mine if p.metric == CPU)
        flips.append(_full(naming.capital(naming.title(subject)), cpu, rate, count))
    text = f"{'; '.join(faults)}. " if faults else ""
    return Finding("contradicted" if faults else "supported", text + sentence(points), tuple(points), " ".join(flips))


def _subscribers(evidence: Evidence, subject: ComparedSubject) -> int:
    return max((r.trial.subscribers for r in evidence.of(subject.name) if r.metrics), default=0)


def _faults(points: dict[str, Point], count: int, rate: float) -> list[str]:
    wrong = [f"{points[m].value:,.0f} {m.replace('_', ' ')}" for m in ("connections_failed", "lost") if points[m].value]
    share = points[CPU].value * count * rate / 1e9
    if share > CORE_SHARE:
        wrong.append(f"{share:.0%} of a core at {count:,} connections, the limit is {CORE_SHARE:.0%}")
    memory = [points[m].value for m in MEMORY if m in points]
    if sum(memory) > MEMORY_BYTES:
        wrong.append(f"{format.quantity(sum(memory), 'bytes')} of memory a connection, the limit is 64 KiB")
    return wrong


def _full(subject: str, cpu: Point, rate: float, count: int) -> str:
    most = [1e9 * CORE_SHARE / (x * rate) for x in (cpu.value, cpu.high or cpu.value, cpu.low or cpu.value)]
    beyond = f", extrapolated from {count:,}" if most[0] > count else ""
    return (
        f"{subject} reaches half a core at some {most[0]:,.0f} connections [{most[1]:,.0f}, {most[2]:,.0f}] with "
        f"{format.number(rate)} messages a second each{beyond}."
    )


HYPOTHESIS = Hypothesis(
    number=5,
    claim="1,000 and more concurrent SSE connections with minimal resource overhead.",
    hypothesis=f"With {CONNECTIONS:,} subscribers or more, an SSE server accepts and serves every one, for less than "
    "half a core and less than 64 KiB of memory (its own and the kernel's) a connection.",
    test="Every SSE subject in trials of at least 1,000 subscribers: no failed connection, nothing lost, server CPU at "
    "most 50 % of a core, and, where a ladder measured it, memory at most 64 KiB a connection. Contradicted when one "
    "is not.",
    scenario="rtbench run ten-thousand --claims",
    metric=CPU,
    judge=judge,
)
