"""The sentences of the report as they are worded today, held by the files of `tests/approved/`.

The answer is made from typed findings, the others from the golden campaign: a change of wording is a visible diff.
`RTBENCH_APPROVE=1` with these tests rewrites the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rtbench.analysis import claims
from rtbench.analysis.advice.advice import advise
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.evidence import ComparedSubject, Evidence, naming
from rtbench.analysis.report import answer, caveats
from rtbench.analysis.report.findings import (
    CPU,
    Across,
    Alike,
    Alone,
    Apart,
    Changed,
    Delivered,
    Finding,
    Grown,
    Measured,
    Nothing,
    Order,
    Spread,
)  # fmt: skip
from rtbench.analysis.statistics.across_stacks import AcrossStacks, across
from rtbench.analysis.statistics.judgement import Comparison, Verdict
from rtbench.analysis.sweep.rows import Crossover, Exponent, Flip, KeyEffect, Slice

APPROVED = Path(__file__).parents[1] / "approved"
LATENCY = "latency_kernel_p50_ns"


def subject(name: str, transport: str, stack: str) -> ComparedSubject:
    return ComparedSubject(name, transport, stack, "controlled", "encode-once", 3, 3, {}, name, {})


SSE = subject("sse-aiohttp", "sse", "aiohttp")
SOCKET = subject("websocket-aiohttp", "websocket", "aiohttp")
OTHER = subject("websocket-websockets", "websocket", "websockets")
SHORT = subject("short-poll-aiohttp", "short-poll", "aiohttp")
LONG = subject("long-poll-aiohttp", "long-poll", "aiohttp")
BEHIND = subject("sse-aiohttp+nginx-tuned@2", "sse", "aiohttp")
MINE, YOURS = subject("mine", "sse", "node"), subject("yours", "websocket", "node")
LENGTHY = subject("a-name-that-a-user-made-up-and-that-has-far-more-letters-than-a-line-can-hold" * 2, "sse", "node")


def compared(metric: str, verdict: Verdict, ratio: float = 1.0, low: float = 0.8, high: float = 1.3) -> Comparison:
    limit = None if verdict in ("equivalent", "a lower", "a higher") else "interval"
    return Comparison(
        metric, "a", "b", ratio, low, high, 0.95, 5, True, verdict=verdict, margin=0.05, limited_by=limit
    )  # fmt: skip


def alike(verdict: Verdict, *subjects: ComparedSubject, cpu: Verdict | None = None) -> Alike:
    of = tuple(compared(LATENCY, verdict) for _ in subjects)
    return Alike(subjects, SSE, of, tuple(compared(CPU, cpu or verdict) for _ in subjects))


def apart(mine: Measured, latency: Comparison | None, cpu: Comparison | None, beside: ComparedSubject = SSE) -> Apart:
    return Apart(mine, beside, latency, cpu)


def findings() -> Iterator[Finding]:
    """One of every kind and shape."""
    yield Nothing(0, "")
    yield Nothing(1, "the server ended with 1")
    yield Nothing(4, "the server ended with 139 " * 9)
    yield Alone(Measured(SSE, 5.21e6, 10_800, 10.3e6))
    yield Alone(Measured(SSE, None, 10_800))
    yield Alone(Measured(BEHIND, 5.21e6, None, 10.3e6))
    yield Alone(Measured(LENGTHY, 5.21e6, 10_800, 10.3e6))
    yield alike("equivalent", SOCKET)
    yield alike("equivalent", SOCKET, cpu="not resolved")
    yield alike("not resolved", SOCKET, OTHER)
    yield alike("too few blocks", SOCKET, OTHER)
    yield alike("equivalent", SOCKET, cpu="too few blocks")
    yield alike("equivalent", SOCKET, OTHER, LONG, BEHIND, MINE)
    yield Alike((SOCKET,), SSE, (), ())
    yield replace(alike("not resolved", YOURS), beside=MINE)
    higher = compared(LATENCY, "a higher", 4.58, 4.1, 5.2), compared(CPU, "a higher", 10.04, 9, 11)
    yield apart(Measured(LONG, 16.2e6, 93_000), *higher)
    yield apart(Measured(SHORT, 500e6, 41_000, every_s=1.0), *higher)
    yield apart(Measured(SOCKET, 5.2e6, 9_000), compared(LATENCY, "equivalent"), compared(CPU, "a lower", 0.83))
    yield apart(Measured(SOCKET, 5.2e6, 9_000), compared(LATENCY, "a lower", 0.9987), compared(CPU, "not resolved"))
    yield apart(Measured(YOURS, 5.2e6, 21_000), *higher, beside=MINE)
    yield apart(Measured(OTHER, 5.2e6, None), higher[0], None)
    yield apart(Measured(LENGTHY, 5.2e6, 21_000), *higher, beside=LENGTHY)
    every = over(CPU, ("a higher", 1.9), ("a higher", 9.9), ("a higher", 3.1), ("a higher", 2.8), ("a higher", 5.1))
    depends = over(LATENCY, ("a higher", 4.6), ("a lower", 0.86), ("a higher", 1.6), ("a higher", 1.3))
    none = over(LATENCY, *[("not resolved", 1.02)] * 5)
    same = over(CPU, *[("equivalent", 1.0)] * 5)
    some = over(CPU, *[("a higher", 1.3)] * 3, *[("not resolved", 1.2)] * 2)
    yield Across("long-poll", "sse", depends, every)
    yield Across("short-poll", "sse", every, every, every_s=1.0)
    yield Across("websocket", "sse", none, same)
    yield Across("short-poll", "sse", some, some, every_s=0.5)
    yield Across("long-poll", "sse", over(LATENCY, *[("a higher", 1.3)] * 4), every)
    yield Across("websocket", "sse", over(LATENCY, *[("equivalent", 1.0)] * 4), same)
    yield Across(
        "long-poll", "sse", over(LATENCY, ("a higher", 4.6), ("a higher", 2.1)), over(CPU, ("equivalent", 1.0))
    )
    yield Across("websocket", "sse", None, every)
    yield Spread(LATENCY, SSE, 0.66e6, SHORT, 500e6, higher[0], 12, 4)
    yield Spread(CPU, SSE, 5_500, LONG, 93_000, compared(CPU, "not resolved"), 0, 1)
    part = Slice("subscribers", {}, ((100, {}), (5000, {})))
    yield Grown(
        LATENCY, part, tuple((s, exponent(s, e)) for s, e in ((SSE, 0.3), (SHORT, 0.01), (OTHER, 0.0))), (LONG,)
    )
    yield Grown(CPU, part, ((SSE, exponent(SSE, 0.0)),), ())
    yield Grown(CPU, replace(part, key="workload.rate_hz"), (), (SSE, SOCKET))
    stops = Slice("faults.deaf", {}, ((0, {}), (1, {})))
    effect = KeyEffect("faults.deaf", {}, "sse-aiohttp", 0, 1, compared(LATENCY, "equivalent"))
    yield Changed(LATENCY, stops, ((SSE, effect),))
    yield Changed(CPU, stops, ((SSE, replace(effect, comparison=higher[1])), (SOCKET, effect)))
    yield Changed(CPU, stops, ())
    names = tuple((s.base, s) for s in (SSE, SOCKET))
    flip = Flip(912.4, 800, 1000, SSE.base, SOCKET.base)
    row = Crossover("subscribers", {}, CPU, SSE.base, SOCKET.base, False, "crosses", None, (flip,), (), 100, 5000, 5)
    yield Order(part, names, (), 20, 0)
    yield Order(part, names, (row,), 20, 3)
    yield Order(part, names, (row, row, row), 20, 3)
    yield Delivered(1_250_000, 0, 0, 0, 0, 24, 1, 0, ())
    yield Delivered(7_040, 2, 3, 0, 1, 10, 1, 1, (OTHER,))


def over(metric: str, *each: tuple[Verdict, float]) -> AcrossStacks:
    """A stack for each verdict and ratio: `stack 0`, …"""
    found = {f"stack {i}": compared(metric, verdict, ratio) for i, (verdict, ratio) in enumerate(each)}
    return across(metric, "a", "b", found)


def exponent(of: ComparedSubject, value: float) -> Exponent:
    low, high = (value - 0.005, value + 0.005)
    return Exponent("subscribers", {}, of.base, LATENCY, value, low, high, 5, 100, 5000, (), None, None, None)


def approved(name: str, lines: list[str]) -> None:
    """The lines are those of the approved file; RTBENCH_APPROVE=1 rewrites it."""
    file, text = APPROVED / name, "".join(f"{line}\n" for line in lines)
    if os.environ.get("RTBENCH_APPROVE"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_the_lines_of_the_answer() -> None:
    lines = [answer.line(one) for one in findings()]
    assert all(0 < len(line) <= answer.LONGEST for line in lines)
    approved("answer.txt", lines)


def test_a_name_that_is_older_than_its_stacks_is_read_by_its_stack() -> None:
    """Folders from before have the stack that was recorded in them."""
    for stack in ("starlette", "uvicorn"):
        older = subject("websocket-uvicorn", "websocket", stack)
        assert (naming.title(older), naming.own(older)) == (f"WebSocket on {stack}", False)


def test_the_caveats_of_a_campaign(evidence: Evidence) -> None:
    approved("caveats.txt", [f"{c.kind}: {c.message} → {c.remedy}" for c in caveats.collect(evidence)])


def test_the_claims_of_a_campaign(evidence: Evidence) -> None:
    lines = [
        f"{j.hypothesis.number}. {j.hypothesis.claim} {j.outcome}: {j.text} {j.flips}" for j in claims.judge([evidence])
    ]
    approved("claims.txt", lines)


def test_the_advice_of_a_campaign(evidence: Evidence) -> None:
    needs = Needs(subscribers=20_000, freshness_ms=200, bidirectional=True, through_proxy=True)
    approved("advice.txt", advise(evidence, needs, every=True).text().splitlines())
