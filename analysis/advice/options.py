"""What each subject would cost under somebody's needs, and what of them it does not meet: the options of an advice.

The model is one multiplication, so that a reader can check it. A push server's and a long poll's processor time is the
measured time a message × the messages a second; a short poll's is the measured time a request × the requests a second,
all of it charged to the request. So a short poll's cost is at least the model's where more messages come in an answer
than did when it was measured, and at most that where fewer do. Invariant: what is beyond what was measured is named in
`extrapolated`, never used in silence. Called by the advice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.claims import counted, proxy_of
from rtbench.analysis.claims.infrastructure import faults_of
from rtbench.analysis.evidence import USABLE_NEEDED, ComparedSubject, Evidence
from rtbench.analysis.statistics.compare import Summary
from rtbench.analysis.sweep.cells import Cell, at
from rtbench.errors import UserError

CPU = "server_cpu_ns_per_message"
TRANSPORTS = ("sse", "websocket", "short-poll", "long-poll")
SAME = 0.02
"""Relative difference between what is needed and what was measured that is no extrapolation."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What somebody needs. None: as it was measured (`freshness_ms`: any age will do). `rate_hz`: messages a second
    that each subscriber gets."""

    subscribers: int | None = None
    rate_hz: float | None = None
    freshness_ms: float | None = None
    bidirectional: bool = False
    through_proxy: bool = False
    payload_bytes: float | None = None

    def check(self) -> Needs:
        """Itself. Raises UserError that names a number that is none, or not above 0."""
        for name in ("subscribers", "rate_hz", "freshness_ms", "payload_bytes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                option = f"--{name.removesuffix('_hz').replace('_', '-')}"
                raise UserError(f"{option} {value} cannot be", "a finite number above 0")
        return self

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a subject was measured at in a cell, medians over its usable trials."""

    subscribers: int
    rate_hz: float
    payload_bytes: float
    interval_s: float | None


@dataclass(frozen=True, slots=True)
class Option:
    """A subject under the needs. `cores`: processor time of the server, as a share of one core, with its 95 % interval.

    `factor`: what the measured CPU a message is multiplied with (messages a second). `unmet`: needs that it does not
    meet; `asks`: what it meets only with something more, or nobody measured. `bytes_hz`: TCP stream, both directions.
    """

    subject: ComparedSubject
    cell: Cell
    seen: Seen
    factor: float
    cores: float
    low: float | None
    high: float | None
    bytes_hz: float | None
    age_p50_ns: float | None
    age_p90_ns: float | None
    interval_s: float | None
    unmet: tuple[str, ...]
    asks: tuple[str, ...]
    reasons: tuple[str, ...]
    extrapolated: tuple[str, ...]

    @property
    def name(self) -> str:
        """The subject, and how often it polls where that is not what was measured."""
        if self.interval_s is not None and self.interval_s != self.seen.interval_s:
            return f"{self.subject.name} every {format.number(self.interval_s)} s"
        return self.subject.name

    @property
    def worth(self) -> tuple[int, int, float]:
        """What it is ranked by: needs met, met without more, cheap."""
        return len(self.unmet), len(self.asks), self.cores


def options(parts: Sequence[Cell], needs: Needs) -> tuple[list[Option], list[tuple[str, str]]]:
    """Every subject's best option over the cells that are nearest to the needs; and who has none, with the reason."""
    reach = _reach(parts)
    found: list[Option] = []
    left: list[tuple[str, str]] = []
    for subject in parts[0].evidence.subjects if parts else ():
        why = _excluded(subject, needs)
        mine = [] if why else [(c, s) for c in parts if (s := seen(c, subject)) is not None]
        if why or not mine:
            left.append((subject.name, why or "no usable trial says what it costs"))
            continue
        far = [_distance(s, needs) for _, s in mine]
        near = [pair for pair, by in zip(mine, far, strict=True) if by <= min(far) + 1e-9]
        each = [option for cell, s in near for option in _options(cell, subject, s, needs, reach)]
        found.append(min(each, key=lambda option: option.worth))
    return found, left


def _excluded(subject: ComparedSubject, needs: Needs) -> str:
    if subject.transport not in TRANSPORTS:
        return f"{subject.transport} is no transport to choose"
    if "@" in subject.name:
        return "a second label of another subject (A/A control)"
    if proxy_of(subject) and not needs.through_proxy:
        return "measured behind a proxy, which is not needed"
    if subject.usable < USABLE_NEEDED:
        return f"{subject.usable} usable trial{'s' * (subject.usable != 1)}: nothing is concluded about it"
    return ""


def seen(cell: Cell, subject: ComparedSubject) -> Seen | None:
    """What this cell measured this subject at; None where it has no usable trial of it."""
    results = [r for r in cell.evidence.of(subject.name) if r.trial.status == "ok" and r.metrics.get("delivered_hz")]
    if not results or _summary(cell.evidence, subject, CPU) is None:
        return None
    trial = results[0].trial
    payload = _summary(cell.evidence, subject, "payload_bytes_per_message")
    rates = sorted((r.metrics["delivered_hz"] or 0.0) / r.trial.subscribers for r in results)
    interval_s = at(cell.scenario, "poll.interval_s") if subject.transport == "short-poll" else None
    return Seen(trial.subscribers, rates[len(rates) // 2], payload.median or 0.0 if payload else 0.0, interval_s)


def _summary(evidence: Evidence, subject: ComparedSubject, metric: str) -> Summary | None:
    found = evidence.summary(subject.name, metric)
    return found if found is not None and found.median is not None else None


def _distance(s: Seen, needs: Needs) -> float:
    """How far this cell is from the needs, over everything that is needed otherwise than measured."""
    pairs = (
        (s.subscribers, needs.subscribers), (s.rate_hz, needs.rate_hz), (s.payload_bytes, needs.payload_bytes),
    )  # fmt: skip
    return sum(abs(math.log(have / need)) for have, need in pairs if need and have)


def _reach(parts: Sequence[Cell]) -> Mapping[str, tuple[float, float]]:
    """The smallest and largest value of everything that a need can name, over all cells and subjects."""
    every = [s for cell in parts for subject in cell.evidence.subjects if (s := seen(cell, subject)) is not None]
    values: dict[str, list[float]] = {
        name: [getattr(s, name) for s in every] for name in ("subscribers", "rate_hz", "payload_bytes")
    }
    values["interval_s"] = [s.interval_s for s in every if s.interval_s is not None]
    return {name: (min(row), max(row)) for name, row in values.items() if row}


def _options(
    cell: Cell, subject: ComparedSubject, s: Seen, needs: Needs, reach: Mapping[str, tuple[float, float]]
) -> list[Option]:
    """As it was measured; and for a short poll that is too slow, with the interval that is fresh enough."""
    whole = _option(cell, subject, s, needs, reach, s.interval_s)
    if s.interval_s is None or needs.freshness_ms is None or whole.age_p90_ns is None:
        return [whole]
    # nine tenths of the messages wait at most nine tenths of the interval; what is left is the way of an answer
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
    # what follows from messages, and what follows from requests
    factor = count * (rate if s.interval_s is None else s.rate_hz * faster)
    cpu = _summary(evidence, subject, CPU)
    assert cpu is not None and cpu.median is not None  # `seen` gives nothing without it
    cores = cpu.median * factor / 1e9
    side = evidence.latency.removesuffix("_p50_ns")
    ages = [_summary(evidence, subject, f"{side}_{level}_ns") for level in ("p50", "p90")]
    p50, p90 = (a.median if a is not None else None for a in ages)
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
        asks=tuple(_asks(subject, needs, cell)),
        reasons=(_cost(cpu, s, cores, count, rate, interval_s), *_age(p50, p90)),
        extrapolated=(*_beyond(s, needs, reach, interval_s, rate), *_disturbed(evidence, subject)),
    )
    return replace(option, unmet=tuple(_unmet(option, needs)), asks=(*option.asks, *_older(option, needs)))


def _bytes(evidence: Evidence, subject: ComparedSubject, s: Seen, payload_hz: float, factor: float) -> float | None:
    ways = [_summary(evidence, subject, f"tcp_{way}_bytes_per_message") for way in ("down", "up")]
    known = [w.median for w in ways if w is not None and w.median is not None]
    return payload_hz + max(0.0, sum(known) - s.payload_bytes) * factor if len(known) == 2 else None


def _cost(cpu: Summary, s: Seen, cores: float, count: float, rate: float, interval_s: float | None) -> str:
    measured = format.summary(cpu)
    if interval_s is None or s.interval_s is None:
        how = f"{measured} a message × {format.number(rate)} a second × {count:,.0f} subscribers"
    else:
        each = format.quantity((cpu.median or 0.0) * s.rate_hz * s.interval_s, "ns")
        how = f"{each} a poll × one every {format.number(interval_s)} s × {count:,.0f} subscribers"
    return f"server CPU {percent(cores)} of a core: {how}"


def percent(cores: float) -> str:
    """A share of one core: `3.84 %`."""
    return f"{format.number(cores * 100)} %"


def _age(p50: float | None, p90: float | None) -> list[str]:
    if p50 is None:
        return []
    late = f", {format.quantity(p90, 'ns')} at the 90th percentile" if p90 is not None else ""
    return [f"data is {format.quantity(p50, 'ns')} old at the median{late}"]


def _unmet(option: Option, needs: Needs) -> list[str]:
    found = []
    evidence, name = option.cell.evidence, option.subject.name
    limit, p90 = needs.freshness_ms, option.age_p90_ns
    if limit is not None and p90 is None:
        found.append(f"nothing says whether data is younger than {limit:g} ms")
    elif limit is not None and p90 is not None and p90 > limit * 1e6:
        why = f": it is asked for every {format.number(option.interval_s)} s" if option.interval_s else ""
        found.append(f"data is {format.quantity(p90, 'ns')} old at the 90th percentile, not {limit:g} ms{why}")
    if option.cores > 1:
        found.append(f"{format.number(option.cores)} cores, and one process has one")
    lost = counted(evidence, "lost", name)
    if lost is not None and lost.value:
        found.append(f"lost {lost.value:,.0f} messages when it was measured")
    if proxy_of(option.subject):
        found += faults_of(evidence, option.subject, 1e9 / option.seen.rate_hz)
    return found


def _older(option: Option, needs: Needs) -> list[str]:
    """Whether a fan-out to more subscribers than were measured is fresh enough: in proportion it would not be."""
    s, limit, p90 = option.seen, needs.freshness_ms, option.age_p90_ns
    if limit is None or p90 is None or not needs.subscribers or needs.subscribers <= s.subscribers * (1 + SAME):
        return []
    wait_ns = 0.9e9 * (option.interval_s or 0.0)
    grown_ns = wait_ns + max(0.0, p90 - wait_ns) * needs.subscribers / s.subscribers
    if p90 > limit * 1e6 or grown_ns <= limit * 1e6:
        return []
    return [
        f"whether data is younger than {limit:g} ms was measured with {s.subscribers:,} subscribers only; in "
        f"proportion it would be {format.quantity(grown_ns, 'ns')} old at the 90th percentile"
    ]


def _asks(subject: ComparedSubject, needs: Needs, cell: Cell) -> list[str]:
    found = []
    if needs.bidirectional and subject.transport != "websocket" and not at(cell.scenario, "chat.senders"):
        found.append("what clients send needs a POST for each message, which is not in this cost")
    if needs.through_proxy and not proxy_of(subject):
        upgrade = ", which must pass upgrades" if subject.transport == "websocket" else ""
        found.append(f"was not measured behind a proxy{upgrade}")
    return found


def _disturbed(evidence: Evidence, subject: ComparedSubject) -> list[str]:
    """What was done to its processes while it was measured: its costs have that in them."""
    done = {
        f"{e['do']} of the {e['what']}" for r in evidence.of(subject.name) for e in r.trial.manifest.get("events") or ()
    }
    return [f"measured with a {what} in the window" for what in sorted(done)]


def _beyond(
    s: Seen, needs: Needs, reach: Mapping[str, tuple[float, float]], interval_s: float | None, rate: float
) -> list[str]:
    """What of the needs is not what was measured: outside all of it, or between two of its cells."""
    found = []
    asked: list[tuple[str, str, float | None, float]] = [
        ("subscribers", "subscribers", needs.subscribers, s.subscribers),
        ("rate_hz", "messages a second", needs.rate_hz, s.rate_hz),
        ("payload_bytes", "bytes of payload", needs.payload_bytes, s.payload_bytes),
        ("interval_s", "seconds between polls", interval_s, s.interval_s or 0.0),
    ]
    if needs.subscribers and needs.subscribers > s.subscribers * (1 + SAME):
        found.append(f"the age of data is that with {s.subscribers:,} subscribers; more of them wait longer")
    for key, words, need, have in asked:
        if need is None or (have and abs(need / have - 1) <= SAME):
            continue
        low, high = reach.get(key, (have, have))
        where = "extrapolated" if not low <= need <= high else "between measured cells"
        found.append(f"{format.number(need)} {words}, {where}: measured at {format.number(have)}")
    if s.interval_s is not None and (needs.rate_hz or interval_s != s.interval_s):
        before, after = s.rate_hz * s.interval_s, rate * (interval_s or s.interval_s)
        if abs(after / before - 1) > SAME:
            edge = "at least" if after > before else "at most"
            found.append(f"its cost is {edge} that: an answer would bring {format.number(after)} messages, not "
                         f"{format.number(before)}")  # fmt: skip
    return found
