"""The reasons of an option: its cost and the age of its data, the needs that it fails, and what was not measured.

Invariant: every sentence is made from the option's values and the evidence; nothing here decides a rank. Called by
`options`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtbench.analysis import format
from rtbench.analysis.advice.option import CPU, SAME, Needs, Option, Seen
from rtbench.analysis.claims.infrastructure import faults_of
from rtbench.analysis.claims.points import counted
from rtbench.analysis.evidence import ComparedSubject, Evidence
from rtbench.analysis.statistics.compare import Summary
from rtbench.analysis.sweep.cells import Cell, at


def cost(cpu: Summary, s: Seen, cores: float, count: float, rate: float, interval_s: float | None) -> str:
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


def age(p50: float | None, p90: float | None) -> list[str]:
    if p50 is None:
        return []
    late = f", {format.quantity(p90, 'ns')} at the 90th percentile" if p90 is not None else ""
    return [f"data is {format.quantity(p50, 'ns')} old at the median{late}"]


def unmet(option: Option, needs: Needs) -> list[str]:
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
    if option.subject.proxy:
        found += faults_of(evidence, option.subject, 1e9 / option.seen.rate_hz)
    return found


def older(option: Option, needs: Needs) -> list[str]:
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


def asks(subject: ComparedSubject, needs: Needs, cell: Cell, s: Seen) -> list[str]:
    found = []
    if needs.bidirectional and subject.transport != "websocket" and not at(cell.scenario, "chat.senders"):
        found.append("what clients send needs a POST for each message, which is not in this cost")
    if needs.through_proxy and not subject.proxy:
        upgrade = ", which must pass upgrades" if subject.transport == "websocket" else ""
        found.append(f"was not measured behind a proxy{upgrade}")
    if needs.tls and not s.tls:
        found.append("was not measured with TLS")
    if needs.http2 and not s.http2:
        found.append("was not measured over HTTP/2")
    if needs.stack and subject.stack != needs.stack:
        found.append(
            f"was not measured on {needs.stack}: this is its cost on {subject.stack}{_elsewhere(subject, cell)}"
        )
    return found


def _elsewhere(subject: ComparedSubject, cell: Cell) -> str:
    """What the matrix expects of its transport on a stack that was not measured (R17)."""
    for row in cell.evidence.matrix:
        if (row.metric, row.transport) == (CPU, subject.transport) and row.predicted is not None:
            expected = format.span(row.predicted)
            return f"; another stack is expected at {expected} the server CPU of its {row.relative_to} subject"
    return ""


def disturbed(evidence: Evidence, subject: ComparedSubject) -> list[str]:
    """What was done to its processes while it was measured: its costs have that in them."""
    done = {
        f"{e['do']} of the {e['what']}" for r in evidence.of(subject.name) for e in r.trial.manifest.get("events") or ()
    }
    return [f"measured with a {what} in the window" for what in sorted(done)]


def beyond(
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
        found.append(
            f"{format.number(need)} {words}, {_where(key, need, have, reach)}: measured at {format.number(have)}"
        )
    if s.interval_s is not None and (needs.rate_hz or interval_s != s.interval_s):
        before, after = s.rate_hz * s.interval_s, rate * (interval_s or s.interval_s)
        if abs(after / before - 1) > SAME:
            edge = "at least" if after > before else "at most"
            found.append(f"its cost is {edge} that: an answer would bring {format.number(after)} messages, not "
                         f"{format.number(before)}")  # fmt: skip
    return found


def network(subject: ComparedSubject, s: Seen, needs: Needs, reach: Mapping[str, tuple[float, float]]) -> list[str]:
    """What of the network is not what was measured, and what that leaves out."""
    found = []
    rtt_ms, loss = needs.rtt_ms, needs.loss
    if rtt_ms is not None and abs(rtt_ms - s.rtt_ms) > SAME * rtt_ms:
        again = "; what is due while a poll comes back waits longer" if subject.transport == "long-poll" else ""
        found.append(
            f"a round trip of {rtt_ms:g} ms, {_where('rtt_ms', rtt_ms, s.rtt_ms, reach)}: measured at "
            f"{s.rtt_ms:g} ms, and half of the difference is in the age of data{again}"
        )
    if loss is not None and abs(loss - s.loss) > SAME * loss:
        found.append(
            f"a loss of {loss * 100:g} %, {_where('loss', loss, s.loss, reach)}: measured at {s.loss * 100:g} %; "
            "the wait for what is sent again is that of the measured loss"
        )
    return found


def _where(key: str, need: float, have: float, reach: Mapping[str, tuple[float, float]]) -> str:
    low, high = reach.get(key, (have, have))
    return "between measured cells" if low <= need <= high else "extrapolated"
