"""The options of an advice: each subject's cost under the reader's needs, and the needs that it does not meet.

The model is one multiplication, so that a reader can check it. A push server's and a long poll's processor time is the
measured time a message × the messages a second; a short poll's is the measured time a request × the requests a second,
all of it charged to the request. So a short poll's cost is at least the model's where an answer carries more messages
than when it was measured, and at most the model's where it carries fewer. Invariant: everything beyond the measured
range is named in `extrapolated`. Called by the advice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rtbench.analysis import format
from rtbench.analysis.advice import reasons
from rtbench.analysis.advice.option import CPU, Needs, Option, Seen
from rtbench.analysis.advice.reasons import percent
from rtbench.analysis.evidence import USABLE_NEEDED, ComparedSubject, Evidence
from rtbench.analysis.evidence.stacks import TRANSPORTS
from rtbench.analysis.statistics.compare import Summary
from rtbench.analysis.sweep.cells import Cell, at

LITTLE_LOSS = 0.001
"""The share of lost packets below which a network counts nearly as one without loss."""


def options(parts: Sequence[Cell], needs: Needs) -> tuple[list[Option], list[tuple[str, str]]]:
    """Every subject's best option over the cells nearest to the needs, and the subjects without one, with reasons."""
    reach = _reach(parts)
    found: list[Option] = []
    left: list[tuple[str, str]] = []
    for subject in parts[0].evidence.subjects if parts else ():
        why = _excluded(subject, needs)
        mine = [] if why else [(c, s) for c in parts if (s := seen(c, subject)) is not None]
        if why or not mine:
            left.append((subject.name, why or "no usable trial measured its cost"))
            continue
        far = [_distance(s, needs) for _, s in mine]
        lacks, least = min(far)
        near = [pair for pair, by in zip(mine, far, strict=True) if by[0] == lacks and by[1] <= least + 1e-9]
        each = [option for cell, s in near for option in _options(cell, subject, s, needs, reach)]
        found.append(min(each, key=lambda option: option.worth))
    return found, left


def _excluded(subject: ComparedSubject, needs: Needs) -> str:
    if subject.transport not in TRANSPORTS:
        return f"{subject.transport} is a floor, not a transport to choose"
    if "@" in subject.name:
        return "a second label of another subject (A/A control)"
    if subject.proxy and not needs.through_proxy:
        return "measured behind a proxy, which the needs do not ask for"
    if subject.usable < USABLE_NEEDED:
        return f"{subject.usable} usable trial{'s' * (subject.usable != 1)}: nothing is concluded about it"
    return ""


def seen(cell: Cell, subject: ComparedSubject) -> Seen | None:
    """This cell's figures of this subject; None without a usable trial."""
    results = [r for r in cell.evidence.of(subject.name) if r.trial.status == "ok" and r.metrics.get("delivered_hz")]
    if not results or _summary(cell.evidence, subject, CPU) is None:
        return None
    trial = results[0].trial
    payload = _summary(cell.evidence, subject, "payload_bytes_per_message")
    rates = sorted((r.metrics["delivered_hz"] or 0.0) / r.trial.subscribers for r in results)
    interval_s = at(cell.scenario, "poll.interval_s") if subject.transport == "short-poll" else None
    delay_ms = trial.network.get("delay_ms", 0.0)
    return Seen(
        subscribers=trial.subscribers,
        rate_hz=rates[len(rates) // 2],
        payload_bytes=payload.median or 0.0 if payload else 0.0,
        interval_s=interval_s,
        rtt_ms=delay_ms + trial.network.get("up_delay_ms", delay_ms),
        loss=trial.network.get("loss", 0.0),
        tls=bool((trial.manifest.get("tls") or {}).get("negotiated")),
        http2=bool(at(cell.scenario, "http2.streams_per_connection")),
    )


def _summary(evidence: Evidence, subject: ComparedSubject, metric: str) -> Summary | None:
    found = evidence.summary(subject.name, metric)
    return found if found is not None and found.median is not None else None


def _distance(s: Seen, needs: Needs) -> tuple[int, float]:
    """The distance of this cell from the needs: the protocols that it lacks, and that of all numbers together."""
    lacks = (needs.tls and not s.tls) + (needs.http2 and not s.http2)
    pairs = (
        (s.subscribers, needs.subscribers), (s.rate_hz, needs.rate_hz), (s.payload_bytes, needs.payload_bytes),
    )  # fmt: skip
    far = sum(abs(math.log(have / need)) for have, need in pairs if need and have)
    if needs.rtt_ms is not None:
        far += abs(math.log1p(needs.rtt_ms) - math.log1p(s.rtt_ms))
    if needs.loss is not None:
        far += abs(math.log1p(needs.loss / LITTLE_LOSS) - math.log1p(s.loss / LITTLE_LOSS))
    return lacks, far


def _reach(parts: Sequence[Cell]) -> Mapping[str, tuple[float, float]]:
    """The smallest and largest measured value for each need, over all cells and subjects."""
    every = [s for cell in parts for subject in cell.evidence.subjects if (s := seen(cell, subject)) is not None]
    values: dict[str, list[float]] = {
        name: [getattr(s, name) for s in every]
        for name in ("subscribers", "rate_hz", "payload_bytes", "rtt_ms", "loss")
    }
    values["interval_s"] = [s.interval_s for s in every if s.interval_s is not None]
    return {name: (min(row), max(row)) for name, row in values.items() if row}


def _options(
    cell: Cell, subject: ComparedSubject, s: Seen, needs: Needs, reach: Mapping[str, tuple[float, float]]
) -> list[Option]:
    """The subject as measured; for a short poll that is too slow, also with an interval that is fresh enough."""
    whole = _option(cell, subject, s, needs, reach, s.interval_s)
    if s.interval_s is None or needs.freshness_ms is None or whole.age_p90_ns is None:
        return [whole]
    # nine tenths of the messages wait at most nine tenths of the interval; the rest of the age is the answer's way
    rest_ns = max(0.0, whole.age_p90_ns - 0.9e9 * s.interval_s)
    interval_s = (needs.freshness_ms * 1e6 - rest_ns) / 0.9e9
    if interval_s <= 0 or interval_s >= s.interval_s:
        return [whole]
    faster = _option(cell, subject, s, needs, reach, _floor(interval_s))
    hint = (
        f"asked for every {format.number(_floor(interval_s))} s it would be fresh enough, for {percent(faster.cores)} "
    )
    return [replace(whole, reasons=(*whole.reasons, f"{hint}of a core (extrapolated)")), faster]


def _floor(value: float) -> float:
    """The largest number of two significant digits that is not above `value`."""
    digits = 1 - math.floor(math.log10(value))
    return float(round(math.floor(value * 10**digits + 1e-9) / 10**digits, max(0, digits)))


def _option(
    cell: Cell,
    subject: ComparedSubject,
    s: Seen,
    needs: Needs,
    reach: Mapping[str, tuple[float, float]],
    interval_s: float | None,
) -> Option:
    evidence = cell.evidence
    count, rate = needs.subscribers or s.subscribers, needs.rate_hz or s.rate_hz
    payload = needs.payload_bytes or s.payload_bytes
    faster = s.interval_s / interval_s if s.interval_s and interval_s else 1.0
    # costs that follow from messages, and costs that follow from requests
    factor = count * (rate if s.interval_s is None else s.rate_hz * faster)
    cpu = _summary(evidence, subject, CPU)
    assert cpu is not None and cpu.median is not None  # `seen` gives nothing without it
    cores = cpu.median * factor / 1e9
    side = evidence.latency.removesuffix("_p50_ns")
    ages = [_summary(evidence, subject, f"{side}_{level}_ns") for level in ("p50", "p90")]
    p50, p90 = (a.median if a is not None else None for a in ages)
    if needs.rtt_ms is not None:
        way_ns = (needs.rtt_ms - s.rtt_ms) * 1e6 / 2
        p50, p90 = (None if value is None else max(0.0, value + way_ns) for value in (p50, p90))
    if faster != 1.0 and s.interval_s and interval_s:
        shorter = (s.interval_s - interval_s) * 1e9
        p50 = None if p50 is None else max(0.5e9 * interval_s, p50 - 0.5 * shorter)
        p90 = None if p90 is None else max(0.9e9 * interval_s, p90 - 0.9 * shorter)
    option = Option(
        subject=subject,
        cell=cell,
        seen=s,
        factor=factor,
        cores=cores,
        low=None if cpu.low is None else cpu.low * factor / 1e9,
        high=None if cpu.high is None else cpu.high * factor / 1e9,
        bytes_hz=_bytes(evidence, subject, s, count * rate * payload, factor),
        age_p50_ns=p50,
        age_p90_ns=p90,
        interval_s=interval_s,
        unmet=(),
        asks=tuple(reasons.asks(subject, needs, cell, s)),
        reasons=(reasons.cost(cpu, s, cores, count, rate, interval_s), *reasons.age(p50, p90)),
        extrapolated=(
            *reasons.beyond(s, needs, reach, interval_s, rate),
            *reasons.network(subject, s, needs, reach),
            *reasons.disturbed(evidence, subject),
        ),
    )
    return replace(
        option, unmet=tuple(reasons.unmet(option, needs)), asks=(*option.asks, *reasons.older(option, needs))
    )


def _bytes(evidence: Evidence, subject: ComparedSubject, s: Seen, payload_hz: float, factor: float) -> float | None:
    ways = [_summary(evidence, subject, f"tcp_{way}_bytes_per_message") for way in ("down", "up")]
    known = [w.median for w in ways if w is not None and w.median is not None]
    return payload_hz + max(0.0, sum(known) - s.payload_bytes) * factor if len(known) == 2 else None
