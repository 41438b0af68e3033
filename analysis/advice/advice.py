"""Which transport for these needs: ranked, with the measurements behind each reason, and what would change it.

Invariant: two options are told apart only by a ratio whose interval excludes 1 and that is beyond the noise floor (R8,
R9); where both take less of a core than `TRIVIAL`, or nothing tells them apart, it does not matter, and that is said.
Options of different stacks are never compared without saying so (R10). Called by `rtbench advise` and the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.advice.option import CPU, Needs, Option
from rtbench.analysis.advice.options import options
from rtbench.analysis.advice.reasons import percent
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.statistics.compare import Comparison, compare, verdict
from rtbench.analysis.sweep.cells import cells
from rtbench.errors import ResultsError

TRIVIAL = 0.05
"""Share of a core below which two servers' costs are not worth choosing by."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An option with its place. `ratio`: its cost over that of the very first. `note`: that in words; `tie`: the same
    against the first of its own place, empty for that one."""

    rank: int
    option: Option
    ratio: Comparison | None
    note: str
    tie: str

    def row(self) -> dict[str, Any]:
        """For JSON."""
        o, r = self.option, self.ratio
        return {
            "rank": self.rank,
            "subject": o.subject.name,
            "transport": o.subject.transport,
            "stack": o.subject.stack,
            "arm": o.subject.arm,
            "name": o.name,
            "cell": dict(o.cell.settings),
            "poll_interval_s": o.interval_s,
            "cores": o.cores,
            "cores_low": o.low,
            "cores_high": o.high,
            "tcp_bytes_hz": o.bytes_hz,
            "age_p50_ns": o.age_p50_ns,
            "age_p90_ns": o.age_p90_ns,
            "unmet": list(o.unmet),
            "asks": list(o.asks),
            "reasons": list(o.reasons),
            "extrapolated": list(o.extrapolated),
            "note": self.note,
            "cost_ratio": None
            if r is None
            else {"to": r.b, "ratio": r.ratio, "low": r.low, "high": r.high, "verdict": r.verdict},
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """The whole of it."""

    campaign: str
    needs: Needs
    ranking: tuple[Ranked, ...]
    equal: tuple[str, ...]
    """Where it does not matter, and why."""
    changes: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    """Who is not ranked, and why."""

    @property
    def answer(self) -> str:
        """One sentence."""
        if not self.ranking:
            return "Nothing can be advised: no transport has enough usable trials."
        first = [r.option for r in self.ranking if r.rank == 1]
        names = " or ".join(o.name for o in first)
        if first[0].unmet:
            return f"Nothing that was measured meets these needs; {names} comes nearest ({'; '.join(first[0].unmet)})."
        matter = ": it does not matter which" if len(first) > 1 else ""
        return f"{names}{matter}."

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": 1,
            "campaign": self.campaign,
            "needs": self.needs.row(),
            "answer": self.answer,
            "ranking": [r.row() for r in self.ranking],
            "does_not_matter": list(self.equal),
            "would_change": list(self.changes),
            "not_ranked": [{"subject": name, "why": why} for name, why in self.left],
        }

    def text(self) -> str:
        """For a terminal."""
        lines = [self.answer, ""]
        for one in self.ranking:
            option = one.option
            lines.append(f"{one.rank}. {option.name} ({option.subject.transport})")
            lines += [f"   ✗ {text}" for text in option.unmet]
            lines += [f"   ! {text}" for text in (*option.asks, *option.extrapolated)]
            lines += [f"   · {text}" for text in (*option.reasons, *([one.note] if one.note else []))]
        for title, texts in (
            ("It does not matter", self.equal),
            ("What would change this", self.changes),
            ("Not ranked", [f"{name}: {why}" for name, why in self.left]),
        ):
            if texts:
                lines += ["", f"{title}:", *(f" - {text}" for text in texts)]
        return "\n".join(lines)


def of_folder(folder: Path, needs: Needs, every: bool = False) -> Advice:
    """Advice from a results folder. `every`: all subjects, not the best of each transport. Raises ResultsError for a
    folder that cannot be read or from which nothing can be concluded, UserError for needs that cannot be."""
    needs.check()
    found = advise(gather(load(folder)), needs, every)
    if not found.ranking:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.left) or "it has no subjects"
        raise ResultsError(f"{folder}: nothing can be advised ({why})", "run more blocks: `rtbench run ci`")
    return found


def advise(evidence: Evidence, needs: Needs, every: bool = False) -> Advice:
    """Advice from evidence that is already there; its ranking is empty when there is too little of it."""
    found, left = options(cells(evidence), needs)
    ordered = sorted(found, key=lambda option: (*option.worth, option.name))
    if not every:
        best: dict[str, Option] = {}
        for option in ordered:
            best.setdefault(option.subject.transport, option)
        ordered = list(best.values())
    ranking = _ranked(ordered)
    return Advice(
        campaign=str(evidence.campaign.document.get("campaign")),
        needs=needs,
        ranking=tuple(ranking),
        equal=tuple(_equal(ranking)),
        changes=tuple(_changes(ranking, needs)),
        left=tuple(left),
    )


def cost_ratio(a: Option, b: Option) -> Comparison | None:
    """The cost of a over that of b under the needs: the measured ratio times that of the two factors."""
    if a.cell is b.cell:
        found = a.cell.evidence.comparison(CPU, a.subject.name, b.subject.name)
    else:
        values = {o.name: o.cell.evidence.values[CPU].get(o.subject.name, {}) for o in (a, b)}
        each = compare(CPU, values, [(a.name, b.name)])
        found = each[0] if each else None
    if found is None or not b.factor:
        return None
    by = a.factor / b.factor
    low, high = (None if x is None else x * by for x in (found.low, found.high))
    said = verdict(found.ratio * by, low, high, a.cell.evidence.floor(CPU))
    return replace(found, a=a.name, b=b.name, ratio=found.ratio * by, low=low, high=high, verdict=said)


def _apart(a: Option, leader: Option, ratio: Comparison | None) -> bool:
    """Whether a is worse than the leader for a reason that was measured and is worth it."""
    if a.worth[:2] != leader.worth[:2]:
        return True
    if _trivial(a) and _trivial(leader):
        return False
    return ratio is not None and ratio.verdict != "no difference seen"


def _trivial(option: Option) -> bool:
    return (option.cores if option.high is None else option.high) < TRIVIAL


def _ranked(ordered: Sequence[Option]) -> list[Ranked]:
    found: list[Ranked] = []
    leader: Option | None = None
    for place, option in enumerate(ordered, start=1):
        if leader is None:
            leader = option
            found.append(Ranked(1, option, None, "", ""))
            continue
        first = found[0].option
        near, ratio = cost_ratio(option, leader), cost_ratio(option, first)
        apart = _apart(option, leader, near)
        rank, tie = (place, "") if apart else (found[-1].rank, _note(option, leader, near))
        found.append(Ranked(rank, option, ratio, _note(option, first, ratio), tie))
        leader = option if apart else leader
    return found


def _note(option: Option, leader: Option, ratio: Comparison | None) -> str:
    if ratio is None:
        return f"there is no block to compare its cost with {leader.name}'s"
    same = ratio.verdict == "no difference seen"
    said = "" if ratio.low is None or not same else ", no difference seen"
    said = ", too few blocks to tell" if ratio.low is None else said
    stacks = option.subject.stack != leader.subject.stack
    across = f" (stacks differ: {option.subject.stack}, {leader.subject.stack})" if stacks else ""
    return f"its server CPU is {format.ratio(ratio)} of {leader.name}'s{said}{across}"


def _equal(ranking: Sequence[Ranked]) -> list[str]:
    """Groups of one place, with what makes them equal."""
    lines = []
    for rank in sorted({r.rank for r in ranking}):
        group = [r for r in ranking if r.rank == rank]
        if len(group) < 2:
            continue
        names = ", ".join(r.option.name for r in group)
        if all(_trivial(r.option) for r in group):
            most = max(r.option.high or r.option.cores for r in group)
            ages = [format.quantity(r.option.age_p50_ns, "ns") for r in group]
            why = f"each takes less than {percent(TRIVIAL)} of a core (at most {percent(most)})"
            why += f"; their data is {', '.join(ages)} old at the median, choose by that if it matters"
        else:
            why = "; ".join(f"{r.option.name}: {r.tie}" for r in group[1:])
        lines.append(f"{names}: {why}")
    return lines


def _changes(ranking: Sequence[Ranked], needs: Needs) -> list[str]:
    """Conditions under which another would come first, computed from what was measured."""
    if not ranking:
        return []
    first = ranking[0].option
    lines = []
    for one in ranking[1:]:
        lines += _for_polls(one.option, first, needs)
        if one.option.unmet and one.option.age_p90_ns is not None and _too_old(one.option, needs):
            age = format.quantity(one.option.age_p90_ns, "ns")
            lines.append(f"{one.option.name} would be fresh enough if data might be {age} old.")
    per = first.cores / (needs.subscribers or first.seen.subscribers)
    if per:
        count = math.floor(1 / per)
        beyond = ", extrapolated" if count > first.seen.subscribers * 1.02 else ""
        lines.append(
            f"{first.name} fills one core at some {count:,} subscribers{beyond}; then more processes are needed."
        )
    if not needs.bidirectional and any(r.option.subject.transport != "websocket" for r in ranking):
        lines.append(
            "If clients send, too (--bidirectional), WebSocket does it on its connection; all others need a POST."
        )
    return lines


def _too_old(option: Option, needs: Needs) -> bool:
    return needs.freshness_ms is not None and (option.age_p90_ns or 0.0) > needs.freshness_ms * 1e6


def _for_polls(one: Option, first: Option, needs: Needs) -> list[str]:
    """The interval and the rate at which a short poll's cost meets that of a transport that does not poll so."""
    if (one.interval_s is None) == (first.interval_s is None):
        return []
    poll, other = (one, first) if one.interval_s is not None else (first, one)
    ratio, interval_s = cost_ratio(poll, other), poll.interval_s
    if ratio is None or interval_s is None:
        return []
    rate = needs.rate_hz or other.seen.rate_hz
    edge = "at the earliest" if ratio.ratio > 1 else "at the latest"
    return [
        f"{poll.subject.name} costs less CPU than {other.name} with a poll interval of {_times(ratio, interval_s)} s "
        f"or longer ({edge}), and data that old; or, polled every {format.number(interval_s)} s, from "
        f"{_times(ratio, rate)} messages a second on. Measure it: --set poll.interval_s=…"
    ]


def _times(ratio: Comparison, value: float) -> str:
    """`4.34 [3.97, 4.74]`: a value times a ratio and its limits."""
    text = format.number(ratio.ratio * value)
    if ratio.low is None or ratio.high is None:
        return text
    return f"{text} [{format.number(ratio.low * value)}, {format.number(ratio.high * value)}]"
